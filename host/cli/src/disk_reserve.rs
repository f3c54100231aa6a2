//! Reserves disk space in the data folder for small writes, of the configuration and of the records for local commands; it is released when the disk
//! is full. The queues have their own reserve.

use std::path::Path;

use weir_pubsub::disk::{DiskReserve, DiskUse};

/// Enough for thousands of small writes of the configuration.
const HELD_BYTES: u64 = 4 << 20;
/// With less free space, the next small write may fail; on a small disk, a share of its size.
const MIN_FREE_BYTES: u64 = 512 << 10;
const SHARE_OF_DISK: u64 = 256;

/// The reserve of a data folder.
pub(crate) fn reserve(folder: &Path) -> DiskReserve {
    DiskReserve::new(folder.join("reserve"), HELD_BYTES)
}

/// Whether a disk has no space for small writes.
fn is_full(disk: DiskUse) -> bool {
    disk.free_bytes < MIN_FREE_BYTES.min(disk.total_bytes / SHARE_OF_DISK)
}

/// Frees space for writes on start-up, if the disk is full and an earlier process left a reserve. Returns whether the disk was full.
pub(crate) fn make_room(folder: &Path) -> bool {
    let is_full = DiskUse::of(folder).is_ok_and(is_full);
    if is_full {
        let is_given_up = reserve(folder).give_up();
        tracing::warn!(folder = %folder.display(), is_given_up, "disk full at startup: messages from clients are refused until space is \
             freed");
    }
    is_full
}

/// Fills the reserve, or releases it if the disk is full. Returns whether the disk is full. Blocks.
pub(crate) fn adjust(folder: &Path, held: &mut DiskReserve) -> bool {
    let Ok(disk) = DiskUse::of(folder) else { return false };
    let is_full = is_full(disk);
    if is_full {
        held.give_up();
    } else {
        held.fill(disk);
    }
    is_full
}
