//! The limit on bytes of requests and responses in memory, for all callers together.
//!
//! Code that keeps such bytes in memory has a [`Share`], whose first [`FREE_BYTES`] are not counted: the number of connections limits them, so that a
//! status request or a stop is served even if others use up the budget.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::error::{GatewayError, Result};

/// The uncounted part of each share: enough for small requests and responses.
pub(crate) const FREE_BYTES: usize = 64 << 10;
/// How long a stream of messages waits for other shares to be released before it ends.
const WAIT_TIME: Duration = Duration::from_secs(2);

/// The limit and the bytes held now.
pub(crate) struct Budget {
    limit_bytes: usize,
    held_bytes: AtomicUsize,
    refused_count: AtomicU64,
    returned: Notify,
}

impl Budget {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Budget { limit_bytes, held_bytes: AtomicUsize::new(0), refused_count: AtomicU64::new(0), returned: Notify::new() }
    }

    /// An empty share.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { budget: self.clone(), counted_bytes: 0 }
    }

    /// A share of this many bytes.
    ///
    /// # Errors
    /// `Overloaded`.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize) -> Result<Share> {
        let mut share = self.share();
        share.resize(bytes)?;
        Ok(share)
    }

    pub(crate) fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// The bytes counted now.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    /// The number of refusals.
    pub(crate) fn refused_count(&self) -> u64 {
        self.refused_count.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let fits = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.limit_bytes);
        self.held_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    fn refusal(&self) -> GatewayError {
        self.refused_count.fetch_add(1, Ordering::Relaxed);
        GatewayError::Overloaded { limit_bytes: self.limit_bytes }
    }
}

/// One holder's share of the budget, until it is dropped.
pub(crate) struct Share {
    budget: Arc<Budget>,
    counted_bytes: usize,
}

impl Share {
    /// Resizes it to the bytes held.
    ///
    /// # Errors
    /// `Overloaded`; the size is then unchanged.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<()> {
        if self.try_resize(bytes) { Ok(()) } else { Err(self.budget.refusal()) }
    }

    /// As [`Share::resize`], but waits for other shares to be released first.
    ///
    /// # Cancel safety
    /// The size is unchanged.
    pub(crate) async fn resize_soon(&mut self, bytes: usize) -> Result<()> {
        let budget = self.budget.clone();
        let deadline = Instant::now() + WAIT_TIME;
        loop {
            let mut returned = pin!(budget.returned.notified());
            returned.as_mut().enable();
            if self.try_resize(bytes) {
                return Ok(());
            }
            if timeout_at(deadline, returned).await.is_err() {
                return Err(budget.refusal());
            }
        }
    }

    pub(crate) fn try_resize(&mut self, bytes: usize) -> bool {
        let counted_bytes = bytes.saturating_sub(FREE_BYTES);
        if counted_bytes > self.counted_bytes && !self.budget.take(counted_bytes - self.counted_bytes) {
            return false;
        }
        if counted_bytes < self.counted_bytes {
            self.budget.held_bytes.fetch_sub(self.counted_bytes - counted_bytes, Ordering::Relaxed);
            self.budget.returned.notify_waiters();
        }
        self.counted_bytes = counted_bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.try_resize(0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn large_shares_are_refused_above_the_limit_and_small_ones_never() {
        let budget = Arc::new(Budget::new(1000));
        let mut first = budget.hold(FREE_BYTES + 600).unwrap();
        let error = budget.hold(FREE_BYTES + 401).err().unwrap();
        assert!(error.to_string().contains("at most 1000"), "{error}");
        assert_eq!((budget.held_bytes(), budget.refused_count()), (600, 1));
        let small = budget.hold(FREE_BYTES).unwrap();
        assert!(first.resize(usize::MAX).is_err() && first.resize(FREE_BYTES + 1000).is_ok());
        first.resize(10).unwrap();
        assert_eq!(budget.held_bytes(), 0);
        drop((first, small));
        assert_eq!((budget.held_bytes(), budget.refused_count()), (0, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_waits_briefly_for_bytes_released_by_others() {
        let budget = Arc::new(Budget::new(1000));
        let (first, mut second) = (budget.hold(FREE_BYTES + 1000).unwrap(), budget.share());
        assert!(second.resize_soon(FREE_BYTES + 1).await.is_err());
        let release = async {
            tokio::time::advance(Duration::from_secs(1)).await;
            drop(first);
        };
        let (held, ()) = tokio::join!(second.resize_soon(FREE_BYTES + 1), release);
        held.unwrap();
        assert_eq!(budget.held_bytes(), 1);
    }
}
