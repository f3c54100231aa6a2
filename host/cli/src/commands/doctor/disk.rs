//! The disk of the data folder.

use std::path::Path;

use weir_pubsub::embedded::DiskUse;

use super::{Finding, fail, ok, warn};
use crate::output::size;
use crate::settings::Settings;

/// Above the reserve by so much there is time to do something.
const NEAR_PERCENT: u64 = 5;

/// Whether the broker takes messages, by the same rule by which it decides.
pub(super) fn check(data: &Path, settings: &Settings) -> Finding {
    // A folder that is yet to be made will be on the disk of the nearest one that is there.
    let there = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let there = there.ancestors().find(|folder| folder.is_dir()).unwrap_or(data);
    match DiskUse::of(there) {
        Ok(disk) => judge(disk, settings.broker.disk_reserve_percent),
        Err(error) => {
            warn("disk", format!("how full it is cannot be told: {error}"), format!("look at it by hand: df {}", there.display()))
        }
    }
}

fn judge(disk: DiskUse, reserve_percent: u64) -> Finding {
    let used = disk.used_bytes();
    let percent = used.saturating_mul(100).checked_div(disk.total_bytes).unwrap_or(0);
    let what = format!("{percent} % of {} are used, {} are free", size(disk.total_bytes), size(disk.free_bytes));
    let reserve = format!("{reserve_percent} % are kept free (broker.disk-reserve-percent)");
    if used > disk.limit_bytes(reserve_percent) {
        let what = format!("{what}; {reserve}: nothing more is taken from outside, what is in the queues is still worked off");
        return fail("disk", what, "free some of it, or lower the setting; messages are taken again a second later, without a restart");
    }
    if used > disk.limit_bytes(reserve_percent + NEAR_PERCENT) {
        return warn("disk", format!("{what}; {reserve}"), "free some of it before nothing more is taken");
    }
    ok("disk", what)
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    #[test]
    fn the_reserve_decides() {
        let of = |used_percent: u64| judge(DiskUse { total_bytes: 100 << 30, free_bytes: (100 - used_percent) << 30 }, 5).grade;
        assert_eq!(
            (of(50), of(89), of(91), of(95), of(96), of(100)),
            (Grade::Ok, Grade::Ok, Grade::Warn, Grade::Warn, Grade::Fail, Grade::Fail)
        );
    }
}
