//! Code shared by the backends of network brokers, whatever their protocol.

mod buffered;
mod detached;
mod held_lock;
mod keyed_locks;
mod settling;
mod until;

pub(crate) use buffered::{BUFFERED_COUNT, Buffered, SubscriberBuffer};
pub(crate) use detached::run_detached;
pub(crate) use held_lock::{HeldLock, LockState};
pub(crate) use keyed_locks::KeyedLocks;
pub(crate) use settling::{BATCH_COUNT, Confirmed, Settling, few_count, gathered, judge, outcomes};
pub(crate) use until::until;

use crate::error::PubsubError;

/// The backend was closed.
pub(crate) fn closed() -> PubsubError {
    PubsubError::unavailable("it is closed")
}
