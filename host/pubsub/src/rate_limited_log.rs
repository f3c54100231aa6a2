//! Rate-limited logging of events that others may cause arbitrarily often: the first immediately, then at intervals, with the count.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::lock;

/// The minimum interval between log lines.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Counts events, and decides when to log them.
#[derive(Debug, Default)]
pub struct RateLimitedLog(Mutex<Suppressed>);

#[derive(Debug, Default)]
struct Suppressed {
    suppressed_count: u64,
    logged_at: Option<Instant>,
}

impl RateLimitedLog {
    /// Counts events. Returns the number not logged so far, including these, if a line is due: for the first event, then every 10 s at most.
    pub fn count(&self, more_count: u64) -> Option<u64> {
        let mut counted = lock(&self.0);
        counted.suppressed_count += more_count;
        let now = Instant::now();
        if counted.logged_at.is_some_and(|at| now.duration_since(at) < LOG_INTERVAL) {
            return None;
        }
        counted.logged_at = Some(now);
        Some(std::mem::take(&mut counted.suppressed_count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_repeated_event_is_logged_at_once_and_then_occasionally_with_its_count() {
        let rate_limited_log = RateLimitedLog::default();
        assert_eq!((rate_limited_log.count(1), rate_limited_log.count(1), rate_limited_log.count(2)), (Some(1), None, None));
        tokio::time::advance(LOG_INTERVAL).await;
        assert_eq!((rate_limited_log.count(1), rate_limited_log.count(1)), (Some(4), None));
    }
}
