//! Admission: publishers wait here, in order, until their message fits into the memory for messages waiting for the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::task::coop::unconstrained;

use crate::embedded::refusal::closed;
use crate::embedded::state::Permit;
use crate::error::Result;

/// Upper limit of the bytes that wait for the commit thread.
const WAITING_BYTES: usize = 64 << 20;
/// Bytes per permit.
const PERMIT_BYTES: usize = 1 << 10;

/// The memory for messages that wait for the commit thread.
#[derive(Debug)]
pub(crate) struct Admission {
    permits: Arc<Semaphore>,
    waiting_count: AtomicUsize,
}

impl Admission {
    pub(super) fn new() -> Self {
        Admission { permits: Arc::new(Semaphore::new(WAITING_BYTES / PERMIT_BYTES)), waiting_count: AtomicUsize::new(0) }
    }

    /// Waits until a message of this size is admitted. Admission is in order of the calls, also among the futures of one task: a call that finds
    /// another one waiting queues up behind it, and is exempt from tokio's cooperative budget, which would let a later call pass.
    ///
    /// # Errors
    /// `Unavailable` when the broker is closed.
    pub(crate) async fn admit(&self, memory_bytes: u64) -> Result<Permit> {
        let count = (memory_bytes as usize).div_ceil(PERMIT_BYTES).clamp(1, WAITING_BYTES / PERMIT_BYTES) as u32;
        if self.waiting_count.load(Ordering::Acquire) == 0
            && let Ok(permit) = self.permits.clone().try_acquire_many_owned(count)
        {
            return Ok(permit);
        }
        let _waiting = Waiting::begin(&self.waiting_count);
        unconstrained(self.permits.clone().acquire_many_owned(count)).await.map_err(|_| closed())
    }

    /// Refuses all calls from now on.
    pub(crate) fn close(&self) {
        self.permits.close();
    }
}

/// Counts a waiting call, until it is admitted or gives up.
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
