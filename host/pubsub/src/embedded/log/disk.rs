//! Disk usage.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::embedded::refusal::{DiskFull, WriteFailure, copy_of};

/// How long a measurement is valid, apart from the bytes written here since: other programs write to the disk too.
const HOLDS: Duration = Duration::from_secs(1);

/// With less free space a disk is full, regardless of the share to keep free: otherwise publishers would use up the reserve.
const MIN_FREE_BYTES: u64 = 1 << 20;

/// Tracks how full the disk is, by measuring from time to time and counting the bytes written in between.
#[derive(Debug)]
pub(super) struct DiskWatch {
    folder: PathBuf,
    reserve_percent: u64,
    measured: Option<Measured>,
    written_bytes: u64,
    full: Option<DiskFull>,
}

/// A measurement, and when it was made.
#[derive(Clone, Copy, Debug)]
struct Measured {
    disk: DiskUse,
    at: Instant,
}

impl DiskWatch {
    pub(super) fn new(folder: &Path, reserve_percent: u64) -> Self {
        DiskWatch { folder: folder.to_owned(), reserve_percent, measured: None, written_bytes: 0, full: None }
    }

    /// Counts what was written to the disk.
    pub(super) fn count(&mut self, bytes: u64) {
        self.written_bytes += bytes;
    }

    /// Forces a measurement at the next check.
    pub(super) fn invalidate(&mut self) {
        self.measured = None;
    }

    /// Measures if the last measurement is too old, or may be outdated by writes since then; returns the usage if it was measured.
    pub(super) fn look(&mut self) -> Option<DiskUse> {
        if let Some(Measured { disk, at }) = self.measured
            && at.elapsed() < HOLDS
            && (self.full.is_some() || !self.is_full(disk, self.written_bytes))
        {
            return None;
        }
        let disk = DiskUse::of(&self.folder).ok();
        self.written_bytes = 0;
        self.measured = disk.map(|disk| Measured { disk, at: Instant::now() });
        let full = disk.filter(|disk| self.is_full(*disk, 0)).map(|disk| self.disk_full_error(disk));
        if full.is_some() != self.full.is_some() {
            tracing::warn!(folder = %self.folder.display(), is_full = full.is_some(), "disk reserve crossed");
        }
        self.full = full;
        disk
    }

    /// The usage, if the last measurement found too little free space.
    pub(super) fn full(&self) -> Option<&DiskFull> {
        self.full.as_ref()
    }

    /// The error to return for a failed write.
    pub(super) fn failure(&self, error: &io::Error) -> WriteFailure {
        match (error.kind(), DiskUse::of(&self.folder)) {
            (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, Ok(disk)) => WriteFailure::DiskFull(self.disk_full_error(disk)),
            _ => WriteFailure::because("the log could not be written", copy_of(error)),
        }
    }

    fn is_full(&self, disk: DiskUse, written_bytes: u64) -> bool {
        disk.used_bytes().saturating_add(written_bytes) > disk.limit_bytes(self.reserve_percent)
    }

    fn disk_full_error(&self, disk: DiskUse) -> DiskFull {
        DiskFull {
            disk: format!("the disk of {}", self.folder.display()),
            used_bytes: disk.used_bytes(),
            limit_bytes: disk.limit_bytes(self.reserve_percent),
        }
    }
}

/// Usage of a disk, as the broker sees it: space reserved for root counts as used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskUse {
    /// Its size in bytes.
    pub total_bytes: u64,
    /// Space that can still be written, in bytes.
    pub free_bytes: u64,
}

impl DiskUse {
    /// The usage of the disk that contains a folder.
    ///
    /// # Errors
    /// If the operating system cannot report it.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(folder)?;
        let (total_bytes, free_bytes) = (found.f_blocks.saturating_mul(found.f_frsize), found.f_bavail.saturating_mul(found.f_frsize));
        Ok(DiskUse { total_bytes, free_bytes })
    }

    /// Used space, in bytes.
    pub fn used_bytes(&self) -> u64 {
        self.total_bytes.saturating_sub(self.free_bytes)
    }

    /// The usage above which a broker with this reserve refuses publishers; without a reserve, the usage at which nothing more can be written.
    pub fn limit_bytes(&self, reserve_percent: u64) -> u64 {
        let least = MIN_FREE_BYTES.min(self.total_bytes / 64);
        self.total_bytes - (self.total_bytes / 100 * reserve_percent.min(100)).max(least)
    }
}
