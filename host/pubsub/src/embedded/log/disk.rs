//! How full the disk is.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::embedded::group::Failure;
use crate::embedded::queues::DiskFull;

/// How long one look at the disk is believed: at a gigabyte a second, what is written meanwhile is far below the reserve.
const BELIEVED: Duration = Duration::from_secs(1);

/// Looks at the disk from time to time.
#[derive(Debug)]
pub(super) struct DiskWatch {
    folder: PathBuf,
    reserve_percent: u64,
    looked_at: Option<Instant>,
    full: Option<DiskFull>,
}

impl DiskWatch {
    pub(super) fn new(folder: &Path, reserve_percent: u64) -> Self {
        DiskWatch { folder: folder.to_owned(), reserve_percent, looked_at: None, full: None }
    }

    /// The disk, if it has less free than the reserve.
    pub(super) fn look(&mut self) -> Option<DiskFull> {
        if self.looked_at.is_none_or(|at| at.elapsed() >= BELIEVED) {
            self.looked_at = Some(Instant::now());
            let full = self.measure().filter(|disk| disk.used_bytes > disk.limit_bytes);
            if full.is_some() != self.full.is_some() {
                tracing::warn!(folder = %self.folder.display(), is_full = full.is_some(), "disk reserve crossed");
            }
            self.full = full;
        }
        self.full.clone()
    }

    /// What a failed write means to callers.
    pub(super) fn failure(&self, error: &io::Error) -> Failure {
        match (error.kind(), self.measure()) {
            (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, Some(disk)) => Failure::DiskFull(disk),
            _ => Failure::Unavailable(format!("the log could not be written: {error}")),
        }
    }

    fn measure(&self) -> Option<DiskFull> {
        let found = rustix::fs::statvfs(&self.folder).ok()?;
        let total_bytes = found.f_blocks.saturating_mul(found.f_frsize);
        let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
        let reserve_bytes = total_bytes / 100 * self.reserve_percent.min(100);
        Some(DiskFull {
            disk: format!("the disk of {}", self.folder.display()),
            used_bytes: total_bytes.saturating_sub(free_bytes),
            limit_bytes: total_bytes - reserve_bytes,
        })
    }
}
