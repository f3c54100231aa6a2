//! Locks: one process at a time does what only one may do.

use async_trait::async_trait;

use crate::error::PubsubError;

/// A lock that is held, until it is dropped or lost.
///
/// Dropping it releases it, which may take the broker a moment. It is not a fence: a suspended holder may lose it and continue before it notices.
/// Writes that must not happen then require their own condition.
#[async_trait]
pub trait Lock: Send + Sync {
    /// Waits until the lock is lost, and returns the reason: the connection was lost, the backend was closed, or the broker ended it. From then
    /// on others may hold it. Every later call returns the reason again.
    ///
    /// # Cancel safety
    /// Yes.
    async fn lost(&mut self) -> PubsubError;
}

/// The holder of a lock, as far as the broker shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// Which process it is, for people; `None` where the broker does not show it.
    pub process: Option<String>,
}
