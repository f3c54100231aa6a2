//! Asking hosts for their details.

use std::sync::Arc;

use tokio::sync::OnceCell;
use weir_config::records::DetailsRequest;
use weir_pubsub::{Backend, Message, Producer, PubsubError, Topic};

/// Asks hosts for their details.
pub(crate) struct DetailsRequester {
    backend: Arc<dyn Backend>,
    topic: Topic,
    producer: OnceCell<Box<dyn Producer>>,
}

impl DetailsRequester {
    pub(crate) fn new(backend: Arc<dyn Backend>, topic: Topic) -> Self {
        DetailsRequester { backend, topic, producer: OnceCell::new() }
    }

    /// Asks all hosts; the details that answer carry the id.
    ///
    /// # Errors
    /// As [`Producer::publish`].
    pub(super) async fn ask(&self, id: u64) -> Result<(), PubsubError> {
        let body = serde_json::to_vec(&DetailsRequest { id }).expect("plain fields always become JSON");
        let producer = self.producer.get_or_try_init(|| self.backend.producer(&self.topic)).await?;
        producer.publish_confirmed(Message::new(body)).await
    }
}
