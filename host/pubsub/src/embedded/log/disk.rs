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
        let disk = DiskUse::of(&self.folder).ok()?;
        Some(DiskFull {
            disk: format!("the disk of {}", self.folder.display()),
            used_bytes: disk.used_bytes(),
            limit_bytes: disk.limit_bytes(self.reserve_percent),
        })
    }
}

/// How much of a disk is used, as the broker sees it: what is kept for the system's administrator counts as used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskUse {
    /// All of it.
    pub total_bytes: u64,
    /// What may still be written.
    pub free_bytes: u64,
}

impl DiskUse {
    /// The disk of a folder.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(folder)?;
        let (total_bytes, free_bytes) = (found.f_blocks.saturating_mul(found.f_frsize), found.f_bavail.saturating_mul(found.f_frsize));
        Ok(DiskUse { total_bytes, free_bytes })
    }

    /// What is used.
    pub fn used_bytes(&self) -> u64 {
        self.total_bytes.saturating_sub(self.free_bytes)
    }

    /// The use above which a broker with this reserve refuses publishers.
    pub fn limit_bytes(&self, reserve_percent: u64) -> u64 {
        self.total_bytes - self.total_bytes / 100 * reserve_percent.min(100)
    }
}
