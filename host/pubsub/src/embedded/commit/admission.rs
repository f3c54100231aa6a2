//! Admission on the way to the log: publishers wait for it here, in their order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::task::coop::unconstrained;

use crate::embedded::refusal::closed;
use crate::embedded::state::Permit;
use crate::error::Result;

/// Bytes that wait for the commit thread, at most.
const WAITING_BYTES: usize = 64 << 20;
/// What one permit stands for.
const PERMIT_BYTES: usize = 1 << 10;

/// How much may wait for the commit thread.
#[derive(Debug)]
pub(crate) struct Admission {
    permits: Arc<Semaphore>,
    waiting_count: AtomicUsize,
}

impl Admission {
    pub(crate) fn new() -> Self {
        Admission { permits: Arc::new(Semaphore::new(WAITING_BYTES / PERMIT_BYTES)), waiting_count: AtomicUsize::new(0) }
    }

    /// Waits for room. Who asks first gets it first, also among the futures of one task: whoever finds somebody waiting waits behind, and
    /// tokio's budget for tasks, which would let a later one pass, is left out.
    ///
    /// # Errors
    /// `Unavailable` when the broker is closed.
    pub(crate) async fn take(&self, memory_bytes: u64) -> Result<Permit> {
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
    pub(crate) fn close(&self) {
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
