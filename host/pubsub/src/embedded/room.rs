//! Room on the way to the log: publishers wait for it here, in their order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::coop::unconstrained;

use super::queues::closed;
use crate::error::Result;

/// Bytes that wait for the commit thread, at most.
const WAITING_BYTES: usize = 64 << 20;
/// What one permit stands for.
const PERMIT_BYTES: usize = 1 << 10;

/// A part of the room, given back when the message is durable.
pub(super) type Permit = OwnedSemaphorePermit;

/// How much may wait for the commit thread.
#[derive(Debug)]
pub(super) struct Room {
    permits: Arc<Semaphore>,
    waiting_count: AtomicUsize,
}

impl Room {
    pub(super) fn new() -> Self {
        Room { permits: Arc::new(Semaphore::new(WAITING_BYTES / PERMIT_BYTES)), waiting_count: AtomicUsize::new(0) }
    }

    /// Waits for room. Who asks first gets it first, also among the futures of one task: whoever finds somebody waiting waits behind, and
    /// tokio's budget for tasks, which would let a later one pass, is left out.
    ///
    /// # Errors
    /// `Unavailable` when the broker is closed.
    pub(super) async fn take(&self, memory_bytes: u64) -> Result<Permit> {
        let count = (memory_bytes as usize).div_ceil(PERMIT_BYTES).clamp(1, WAITING_BYTES / PERMIT_BYTES) as u32;
        if self.waiting_count.load(Ordering::Acquire) == 0
            && let Ok(permit) = self.permits.clone().try_acquire_many_owned(count)
        {
            return Ok(permit);
        }
        let _waiting = Waiting::begin(&self.waiting_count);
        unconstrained(self.permits.clone().acquire_many_owned(count)).await.map_err(|_| closed())
    }

    /// Refuses everybody from now on.
    pub(super) fn close(&self) {
        self.permits.close();
    }
}

/// Counts one who waits, until it has its room or gives up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
