//! Time for which a call waited for the host itself: it does not count against the limit of the call.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// How often a waiting call is checked once its time-out would have expired.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The waits of one call; shared by the call and its owner, which are polled by one task.
#[derive(Clone)]
pub(crate) struct UntimedWaits(Arc<WaitClock>);

struct WaitClock {
    /// The origin of the times.
    start: Instant,
    /// The total of the waits that have ended.
    waited_us: AtomicU64,
    /// When the current wait began, 0 if there is none.
    since_us: AtomicU64,
}

impl UntimedWaits {
    pub(crate) fn new() -> Self {
        UntimedWaits(Arc::new(WaitClock { start: Instant::now(), waited_us: AtomicU64::new(0), since_us: AtomicU64::new(0) }))
    }

    /// Forgets the waits of the previous call.
    pub(crate) fn reset(&self) {
        self.0.waited_us.store(0, Ordering::Relaxed);
        self.0.since_us.store(0, Ordering::Relaxed);
    }

    /// Begins a wait, which lasts until the returned guard is dropped.
    pub(crate) fn begin(&self) -> UntimedWait {
        self.0.since_us.store(self.now_us(), Ordering::Relaxed);
        UntimedWait(self.clone())
    }

    /// Waits for a call no longer than this, excluding its own waits.
    pub(crate) async fn within<T>(&self, limit: Duration, call: impl Future<Output = T>) -> Option<T> {
        let mut call = pin!(call);
        let began = Instant::now();
        let mut end = began + limit;
        loop {
            if let Ok(ended) = timeout_at(end, &mut call).await {
                return Some(ended);
            }
            let now = Instant::now();
            end = began + limit + self.waited();
            if self.is_waiting() {
                end = end.max(now + POLL_INTERVAL);
            } else if end <= now {
                return None;
            }
        }
    }

    fn is_waiting(&self) -> bool {
        self.0.since_us.load(Ordering::Relaxed) != 0
    }

    fn waited(&self) -> Duration {
        let since_us = self.0.since_us.load(Ordering::Relaxed);
        let going_on_us = if since_us == 0 { 0 } else { self.now_us().saturating_sub(since_us) };
        Duration::from_micros(self.0.waited_us.load(Ordering::Relaxed) + going_on_us)
    }

    /// Never 0.
    fn now_us(&self) -> u64 {
        u64::try_from(self.0.start.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    }
}

/// A wait in progress.
pub(crate) struct UntimedWait(UntimedWaits);

impl Drop for UntimedWait {
    fn drop(&mut self) {
        let waited = self.0.waited();
        self.0.0.waited_us.store(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.0.0.since_us.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn waits_do_not_count_against_the_limit() {
        let (waits, limit) = (UntimedWaits::new(), Duration::from_secs(10));
        let wait = async |seconds: u64| {
            let _wait = waits.begin();
            advance(Duration::from_secs(seconds)).await;
        };
        let began = Instant::now();
        let endless = async {
            wait(100).await;
            advance(Duration::from_secs(1)).await;
            wait(1_000).await;
            std::future::pending::<()>().await;
        };
        assert_eq!(waits.within(limit, endless).await, None);
        assert_eq!(began.elapsed().as_secs(), 1_110);
        waits.reset();
        assert_eq!(waits.within(limit, wait(3_600)).await, Some(()));
        waits.reset();
        let began = Instant::now();
        assert_eq!(waits.within(limit, std::future::pending::<()>()).await, None, "the waits before are forgotten");
        assert_eq!(began.elapsed().as_secs(), 10);
    }
}
