//! Every write of the flow service to the configuration: the only file of this crate that calls the client's write operation. A condition
//! that all writes have in common belongs here.

use std::sync::Arc;

use weir_config::{Batch, ConfigClient, Result};
use weir_pubsub::Backend;

/// What the marks of queues that were found, a longer status, and what is added here may add to a request that was checked before.
const REQUEST_ROOM_BYTES: usize = 256 << 10;

/// Writes configuration.
pub(crate) struct Writes {
    backend: Arc<dyn Backend>,
    config: ConfigClient,
}

impl Writes {
    pub(crate) fn new(backend: Arc<dyn Backend>, config: ConfigClient) -> Self {
        Writes { backend, config }
    }

    /// Writes a batch in one step, or nothing of it.
    ///
    /// # Errors
    /// As [`ConfigClient::apply`].
    ///
    /// # Cancel safety
    /// The batch may be written all the same, whole or not at all.
    pub(crate) async fn write(&self, batch: Batch) -> Result<()> {
        self.config.apply(batch).await
    }

    /// Whether a batch can be written in one step. What undoes a change is checked before the change is written.
    ///
    /// # Errors
    /// `Refused`, with the figure that is too large.
    pub(crate) fn check_fits(&self, batch: &Batch) -> Result<()> {
        batch.check_fits(self.backend.limits().max_message_bytes.saturating_sub(REQUEST_ROOM_BYTES))
    }
}
