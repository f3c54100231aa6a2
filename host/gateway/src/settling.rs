//! Settles messages of an exit that were delivered.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use weir_pubsub::{Backend, Receipt, Settled, Unsettled};

use crate::error::{GatewayError, Result};

/// The maximum number of settles whose outcome is awaited later.
const SETTLING_COUNT: usize = 1024;

/// Pending settles.
pub(crate) struct Settling {
    backend: Arc<dyn Backend>,
    in_flight: VecDeque<BoxFuture<'static, Result<Settled, Unsettled>>>,
}

impl Settling {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        Settling { backend, in_flight: VecDeque::new() }
    }

    /// Settles these; waits only while too many settles are pending.
    pub(crate) async fn settle(&mut self, receipts: impl Iterator<Item = Receipt>) -> Result<()> {
        let receipts: Vec<Receipt> = receipts.collect();
        self.in_flight.extend(self.backend.acknowledge(&receipts));
        self.wait(SETTLING_COUNT).await
    }

    /// Waits until all are settled.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        self.wait(0).await
    }

    async fn wait(&mut self, left_count: usize) -> Result<()> {
        while self.in_flight.len() > left_count {
            let Some(oldest) = self.in_flight.pop_front() else { break };
            let failed = GatewayError::broker("delivered message could not be settled and will be redelivered");
            oldest.await.map_err(|unsettled| failed(unsettled.error))?;
        }
        Ok(())
    }
}
