//! A virtual host for one test: separate names on a shared broker.

use serde_json::json;

use super::{Broker, Management};

/// The type of queues that are declared without a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultQueues {
    /// Classic, the default of brokers.
    Classic,
    /// Quorum where the queue is durable and neither exclusive nor auto-delete; classic otherwise.
    Quorum,
}

impl DefaultQueues {
    /// As spelled in `default_queue_type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DefaultQueues::Classic => "classic",
            DefaultQueues::Quorum => "quorum",
        }
    }
}

/// A fresh vhost. Dropping it deletes it with its content; the broker closes open connections to it.
#[derive(Debug)]
pub struct Vhost {
    name: String,
    url: String,
    management: Management,
}

impl Vhost {
    pub(super) async fn new(broker: &Broker, queues: DefaultQueues) -> Self {
        let name = format!("weir-test-{:016x}", rand::random::<u64>());
        let management = broker.management().clone();
        // RabbitMQ 3.10 spells it without underscores.
        let settings = json!({"default_queue_type": queues.name(), "defaultqueuetype": queues.name()});
        management.put(&format!("vhosts/{name}"), &settings).await;
        management.permit(broker.user(), &name, ".*", ".*", ".*").await;
        Vhost { url: broker.url_of(&name), name, management }
    }

    /// Its name, which needs no quoting in URLs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The broker's URL with this vhost, `amqp://USER:PASSWORD@HOST:PORT/NAME`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let (management, path) = (self.management.clone(), format!("vhosts/{}", self.name));
        // In a separate thread and runtime: that of the test may be ending. If the test has stopped the broker, there is nothing to delete.
        let delete = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(management.send(reqwest::Method::DELETE, &path, None));
        };
        let _ = std::thread::spawn(delete).join();
    }
}
