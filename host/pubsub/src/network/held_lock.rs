//! A lock that is held by a task of the backend.

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::closed;
use crate::backend::Lock;
use crate::error::PubsubError;

/// A held lock. Dropping it makes its task release it.
pub(crate) struct HeldLock {
    /// Why the lock was lost, once it is.
    lost: watch::Receiver<Option<PubsubError>>,
    left: CancellationToken,
}

/// The task's side of a lock.
pub(crate) struct LockState {
    /// Set to the reason when the lock is lost.
    pub(crate) losing: watch::Sender<Option<PubsubError>>,
    /// Cancelled when the holder drops the lock.
    pub(crate) left: CancellationToken,
}

impl HeldLock {
    /// A lock that was taken, and its task's side. The lock is lost when the task ends.
    pub(crate) fn new() -> (Self, LockState) {
        let (losing, lost) = watch::channel(None);
        let left = CancellationToken::new();
        (HeldLock { lost, left: left.clone() }, LockState { losing, left })
    }
}

#[async_trait]
impl Lock for HeldLock {
    async fn lost(&mut self) -> PubsubError {
        let lost = self.lost.wait_for(Option::is_some).await.ok().and_then(|lost| lost.clone());
        lost.unwrap_or_else(closed)
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        self.left.cancel();
    }
}
