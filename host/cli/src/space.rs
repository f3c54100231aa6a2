//! The records for local commands in the data folder, and its disk reserve while Weir runs.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use weir_pubsub::chain;

use crate::disk_reserve::{adjust, reserve};
use crate::folder::{DataFolder, GatewayAccess};

/// Frequent, since a write before the next check fails.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Writes the address and the token for local commands. Failure is not fatal: returns `false`.
pub(crate) fn note(folder: &DataFolder, noted: &GatewayAccess) -> bool {
    let token = noted.secret.as_ref().map_or(Ok(()), |secret| folder.write_token(secret));
    let written = token.and_then(|()| folder.write_note(noted));
    if let Err(error) = &written {
        tracing::warn!(error = %chain(error), url = noted.url, folder = %folder.path().display(), "address not recorded in the data folder: \
             local commands need --gateway URL");
        // A partial record would mislead them.
        if let Err(error) = folder.remove_notes() {
            tracing::warn!(error = %chain(&error), "leftover of the address record not removed");
        }
    }
    written.is_ok()
}

/// Maintains the reserve, releases it while the disk is full, and retries failed records once there is space. Never returns.
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
            let is_full = adjust(&path, &mut held);
            (held, is_full)
        });
        // It only fails on a panic; then there is no reserve until the next check.
        let is_full;
        (held, is_full) = looked.await.unwrap_or_else(|_| (reserve(folder.path()), was_full));
        if is_full != was_full {
            let (folder, held_bytes) = (folder.path().display(), held.held_bytes());
            match is_full {
                true => tracing::warn!(%folder, held_bytes, "disk full"),
                false => tracing::warn!(%folder, held_bytes, "disk space available again"),
            }
            was_full = is_full;
        }
        if !is_noted && !is_full {
            is_noted = note(folder, noted);
        }
    }
}
