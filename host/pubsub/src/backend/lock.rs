//! Locks, for work that only one process at a time may do.

use async_trait::async_trait;

use crate::error::PubsubError;

/// A held lock.
///
/// Dropping it releases the lock, which may take the broker a moment. It is not a fence: a suspended holder may lose it and continue before it
/// notices. Writes that must not happen then require a condition of their own.
#[async_trait]
pub trait Lock: Send + Sync {
    /// Waits until the lock is lost, and returns the reason: the connection was lost, the backend was closed, or the broker ended it. From then on
    /// others may hold it. Later calls return the same reason.
    ///
    /// # Cancel safety
    /// Yes.
    async fn lost(&mut self) -> PubsubError;
}

/// The holder of a lock, as far as the broker reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// Identifies the process, for display; `None` if the broker does not report it.
    pub process: Option<String>,
}
