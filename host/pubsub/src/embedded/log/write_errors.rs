//! Repeated write failures: logged once, then at intervals with their count.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::chain;

/// How often continuing failures are logged.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Whether the last write failed.
#[derive(Debug, Default)]
pub(super) struct WriteErrors(Option<Failing>);

#[derive(Debug)]
struct Failing {
    failed_count: u64,
    logged_at: Instant,
}

impl WriteErrors {
    /// Records a failed write.
    pub(super) fn failed(&mut self, path: &Path, error: &std::io::Error) {
        let now = Instant::now();
        let Some(failing) = &mut self.0 else {
            tracing::error!(path = %path.display(), error = %chain(error), "write failed, truncated to the last commit");
            self.0 = Some(Failing { failed_count: 1, logged_at: now });
            return;
        };
        failing.failed_count += 1;
        if now.duration_since(failing.logged_at) >= LOG_INTERVAL {
            failing.logged_at = now;
            tracing::error!(path = %path.display(), error = %chain(error), failed_count = failing.failed_count, "writes still failing");
        }
    }

    /// Records a successful write.
    pub(super) fn passed(&mut self) {
        if let Some(Failing { failed_count, .. }) = self.0.take() {
            tracing::info!(failed_count, "writes succeed again");
        }
    }
}
