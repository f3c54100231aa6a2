//! A lock that a task of the backend keeps.

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::closed;
use crate::backend::Lock;
use crate::error::PubsubError;

/// A lock that is held. Dropping it asks its task to release it.
pub(crate) struct HeldLock {
    /// Why it is lost, once it is.
    lost: watch::Receiver<Option<PubsubError>>,
    left: CancellationToken,
}

/// What the task of a lock has of it.
pub(crate) struct LockState {
    /// To say why it is lost.
    pub(crate) losing: watch::Sender<Option<PubsubError>>,
    /// Its holder has dropped it.
    pub(crate) left: CancellationToken,
}

impl HeldLock {
    /// A lock that was taken, and what its task has of it. It is lost with the task.
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
