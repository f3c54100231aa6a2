//! The reserve: a file of allocated blocks without content. The log's reserve becomes its next segment when the disk is full.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use super::disk::DiskUse;

/// The reserve takes at most 1/32 of the disk, so that it does not fill a small disk.
const PART_OF_DISK: u64 = 32;
/// A smaller reserve is useless.
const MIN_BYTES: u64 = 64 << 10;
/// Blocks as `stat` counts them.
const BLOCK_BYTES: u64 = 512;

/// A file that holds space on a disk until it is needed.
#[derive(Debug)]
pub struct DiskReserve {
    path: PathBuf,
    wanted_bytes: u64,
    held: Option<File>,
    is_supported: bool,
}

impl DiskReserve {
    /// A reserve that is not allocated yet; the file may exist from before.
    pub fn new(path: PathBuf, wanted_bytes: u64) -> Self {
        DiskReserve { path, wanted_bytes, held: None, is_supported: true }
    }

    /// Its file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes allocated.
    pub fn held_bytes(&self) -> u64 {
        self.held.as_ref().map_or(0, allocated)
    }

    /// Whether it was used up or not allocated yet, and may be allocated later.
    pub fn is_missing(&self) -> bool {
        self.held.is_none() && self.is_supported && self.wanted_bytes > 0
    }

    /// Takes the file for writing.
    pub(super) fn take(&mut self) -> Option<File> {
        self.held.take()
    }

    /// Frees the space; returns whether any was allocated.
    pub fn give_up(&mut self) -> bool {
        self.held = None;
        std::fs::remove_file(&self.path).is_ok()
    }

    /// Allocates it if it is missing and the disk has twice the space for it; on a small disk at most 1/32 of the disk. After a failure, call it
    /// again. Blocks for some milliseconds.
    pub fn fill(&mut self, disk: DiskUse) {
        if !self.is_missing() {
            return;
        }
        let bytes = self.wanted_bytes.min(disk.total_bytes / PART_OF_DISK);
        if bytes < MIN_BYTES {
            return;
        }
        match self.allocate(bytes, disk.free_bytes) {
            Ok(held) => self.held = held,
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "disk space cannot be reserved: on a full disk settling stops too");
                self.is_supported = false;
                let _ = std::fs::remove_file(&self.path);
            }
        }
    }

    fn allocate(&self, bytes: u64, free_bytes: u64) -> io::Result<Option<File>> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&self.path)?;
        if file.metadata()?.len() > 0 {
            // The process crashed while the file was being turned into a segment.
            file.set_len(0)?;
        }
        if allocated(&file) >= bytes {
            return Ok(Some(file));
        }
        if free_bytes < bytes * 2 {
            return Ok(None);
        }
        // The length stays 0, so that a segment made from it ends with its last frame.
        rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, bytes)?;
        Ok(Some(file))
    }
}

fn allocated(file: &File) -> u64 {
    file.metadata().map_or(0, |found| found.blocks() * BLOCK_BYTES)
}
