//! Turns at the store of components: deployments side by side, and what removes bytes alone.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Deployments that store bytes at a time; further ones wait.
const DEPLOYMENTS_COUNT: u32 = 16;

/// The turns. Whoever stores bytes has one until they are named by a record, so that what removes bytes that nothing names never takes those.
pub(crate) struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Turns(Semaphore::new(DEPLOYMENTS_COUNT as usize))
    }
}

impl Turns {
    /// A turn for a deployment.
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn deploying(&self) -> SemaphorePermit<'_> {
        self.0.acquire().await.expect("the semaphore is never closed")
    }

    /// All turns: no deployment is under way.
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn alone(&self) -> SemaphorePermit<'_> {
        self.0.acquire_many(DEPLOYMENTS_COUNT).await.expect("the semaphore is never closed")
    }
}
