//! A virtual host for one test: names of its own on a broker that others use, too.

use serde_json::json;

use super::{Broker, Management};

/// The type of queues that are declared without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultQueues {
    /// Classic, as brokers are set up by default.
    Classic,
    /// Quorum where the queue is durable and neither exclusive nor auto-delete; classic otherwise.
    Quorum,
}

impl DefaultQueues {
    /// As `default_queue_type` spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DefaultQueues::Classic => "classic",
            DefaultQueues::Quorum => "quorum",
        }
    }
}

/// A fresh vhost. Dropping it deletes it with all that is in it; open connections to it are closed by the broker.
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
        // A thread and a runtime of its own: the one of the test may be ending. A broker that the test has ended has nothing to delete.
        let delete = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(management.send(reqwest::Method::DELETE, &path, None));
        };
        let _ = std::thread::spawn(delete).join();
    }
}
