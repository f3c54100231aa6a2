//! Requests for the details of hosts.

use std::sync::Arc;

use tokio::sync::OnceCell;
use weir_config::records::DetailsRequest;
use weir_pubsub::{Backend, Message, Producer, PubsubError, Topic};

/// Requests the details of hosts.
pub(crate) struct DetailsRequester {
    backend: Arc<dyn Backend>,
    topic: Topic,
    producer: OnceCell<Box<dyn Producer>>,
}

impl DetailsRequester {
    pub(crate) fn new(backend: Arc<dyn Backend>, topic: Topic) -> Self {
        DetailsRequester { backend, topic, producer: OnceCell::new() }
    }

    /// Sends a request to all hosts; the details sent in response contain the id.
    ///
    /// # Errors
    /// As [`Producer::publish`].
    pub(super) async fn ask(&self, id: u64) -> Result<(), PubsubError> {
        let body = serde_json::to_vec(&DetailsRequest { id }).expect("plain fields always become JSON");
        let producer = self.producer.get_or_try_init(|| self.backend.producer(&self.topic)).await?;
        producer.publish_confirmed(Message::new(body)).await
    }
}
