//! What the backends of brokers over a network have in common, whatever their protocol.

mod buffered;
mod held_lock;
mod settling;
mod turns;
mod until;
mod whole;

pub(crate) use buffered::{BUFFERED_COUNT, Buffer, Buffered};
pub(crate) use held_lock::{HeldLock, Keeping};
pub(crate) use settling::{BATCH_COUNT, Confirmed, Settling, few_count, gathered, judge, outcomes};
pub(crate) use turns::Turns;
pub(crate) use until::until;
pub(crate) use whole::whole;

use crate::error::PubsubError;

/// The backend was closed.
pub(crate) fn closed() -> PubsubError {
    PubsubError::unavailable("it is closed")
}
