//! The disk of the data folder while Weir runs: space is held there for small writes, of the configuration and of the notes for local commands,
//! and given up when the disk is full. The queues have a reserve of their own.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use weir_pubsub::chain;
use weir_pubsub::disk::{DiskReserve, DiskUse};

use crate::folder::DataFolder;
use crate::roles::GatewayAccess;

/// Enough for thousands of small writes of the configuration.
const HELD_BYTES: u64 = 4 << 20;
/// With less free, the next small write may fail; on a small disk a share of it.
const MIN_FREE_BYTES: u64 = 512 << 10;
const SHARE_OF_DISK: u64 = 256;
/// Often, since a write that comes before the look fails.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The reserve of a data folder.
fn reserve(folder: &Path) -> DiskReserve {
    DiskReserve::new(folder.join("reserve"), HELD_BYTES)
}

/// Whether a disk has no room for small writes.
fn is_full(disk: DiskUse) -> bool {
    disk.free_bytes < MIN_FREE_BYTES.min(disk.total_bytes / SHARE_OF_DISK)
}

/// Makes room for the writes of a start, if the disk is full and an earlier process left a reserve; whether the disk was full.
pub(crate) fn make_room(folder: &Path) -> bool {
    let is_full = DiskUse::of(folder).is_ok_and(is_full);
    if is_full {
        let is_given_up = reserve(folder).give_up();
        tracing::warn!(folder = %folder.display(), is_given_up, "disk full at startup: messages from clients are refused until space is \
             freed");
    }
    is_full
}

/// Writes the address and the token for local commands. What cannot be written keeps nothing from working: `false` then.
pub(crate) fn note(folder: &DataFolder, noted: &GatewayAccess) -> bool {
    let token = noted.secret.as_ref().map_or(Ok(()), |secret| folder.write_token(secret));
    let written = token.and_then(|()| folder.write_note(noted));
    if let Err(error) = &written {
        tracing::warn!(error = %chain(error), url = noted.url, folder = %folder.path().display(), "address not recorded in the data folder: \
             local commands need --gateway URL");
        // Half of it would mislead them.
        if let Err(error) = folder.remove_notes() {
            tracing::warn!(error = %chain(&error), "leftover of the address record not removed");
        }
    }
    written.is_ok()
}

/// Holds the reserve, gives it up while the disk is full, and writes what could not be noted once there is room. It never ends.
///
/// # Cancel safety
/// It can be dropped at any time; the reserve stays for the next process.
pub(crate) async fn keep(folder: &DataFolder, noted: &GatewayAccess, mut is_noted: bool) -> Infallible {
    let (mut held, mut was_full) = (reserve(folder.path()), false);
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let path = folder.path().to_owned();
        let looked = tokio::task::spawn_blocking(move || {
            let is_full = look(&path, &mut held);
            (held, is_full)
        });
        // Only a panic ends it otherwise, and then there is no reserve until the next look.
        let is_full;
        (held, is_full) = looked.await.unwrap_or_else(|_| (reserve(folder.path()), was_full));
        if is_full != was_full {
            tracing::warn!(folder = %folder.path().display(), is_full, held_bytes = held.held_bytes(), "disk full or free again");
            was_full = is_full;
        }
        if !is_noted && !is_full {
            is_noted = note(folder, noted);
        }
    }
}

fn look(folder: &Path, held: &mut DiskReserve) -> bool {
    let Ok(disk) = DiskUse::of(folder) else { return false };
    let is_full = is_full(disk);
    if is_full {
        held.give_up();
    } else {
        held.fill(disk);
    }
    is_full
}
