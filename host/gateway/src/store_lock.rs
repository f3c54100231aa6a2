//! Access to the store of components: shared for deployments, exclusive for removing bytes.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Maximum number of deployments that store bytes concurrently; further ones wait.
const DEPLOYMENTS_COUNT: u32 = 16;

/// The turns. A deployment that stores bytes holds one until a record names them, so that removing unreferenced bytes cannot remove those.
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

    /// All turns: no deployment is in progress.
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn alone(&self) -> SemaphorePermit<'_> {
        self.0.acquire_many(DEPLOYMENTS_COUNT).await.expect("the semaphore is never closed")
    }
}
