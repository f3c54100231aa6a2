//! The disk of the data folder.

use std::path::Path;

use weir_config::names::is_dead_letters;
use weir_gateway::protocol::QueueSummary;
use weir_pubsub::disk::DiskUse;
use weir_pubsub::is_embedded;

use super::{Finding, Grade, fail, ok, warn};
use crate::output::{number_if_known, size, size_if_known};
use crate::settings::Settings;

/// Above the reserve by so much there is time to do something.
const NEAR_PERCENT: u64 = 5;
/// The broker keeps its log below this many times what is in the queues, and two segments.
const LOG_PER_LIVE: u64 = 4;

/// Whether the broker takes messages, by the same rule by which it decides.
pub(super) fn check(data: &Path, settings: &Settings) -> Finding {
    // A folder that is yet to be made will be on the disk of the nearest one that is there.
    let there = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let there = there.ancestors().find(|folder| folder.is_dir()).unwrap_or(data);
    match DiskUse::of(there) {
        // Only the broker inside the process keeps some of it free; elsewhere the configuration and the components are on it.
        Ok(disk) if !is_embedded(&settings.broker.url) => judge(disk, 0),
        Ok(disk) => judge(disk, settings.broker.embedded.disk_reserve_percent),
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

/// What the log takes beside what is in the queues, and which queue holds most of it.
pub(super) fn check_log(data: &Path, settings: &Settings, queues: &[QueueSummary]) -> Finding {
    let is_disk_short = check(data, settings).grade != Grade::Ok;
    let files = std::fs::read_dir(data.join("queues")).into_iter().flatten().flatten();
    let segments = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
    let log_bytes = segments.filter_map(|file| file.metadata().ok()).map(|found| found.len()).sum();
    judge_log(log_bytes, settings.broker.embedded.segment_bytes, queues, is_disk_short)
}

fn judge_log(log_bytes: u64, segment_bytes: u64, queues: &[QueueSummary], is_disk_short: bool) -> Finding {
    const CHECK: &str = "log";
    let on_disk = queues.iter().filter(|queue| queue.topic.starts_with("flow:"));
    let live_bytes: u64 = on_disk.clone().filter_map(|queue| queue.size_bytes).sum();
    let what = format!("{} on the disk for {} of messages", size(log_bytes), size(live_bytes));
    let Some(most) = on_disk.max_by_key(|queue| queue.size_bytes).filter(|queue| queue.size_bytes > Some(0)) else {
        return ok(CHECK, what);
    };
    let what = format!(
        "{what}; most is held by {} (subscription {}): {} in {} messages",
        most.topic,
        most.subscription,
        size_if_known(most.size_bytes),
        number_if_known(most.depth_count)
    );
    let is_large = log_bytes > live_bytes.saturating_mul(LOG_PER_LIVE).saturating_add(2 * segment_bytes);
    if !is_large && !is_disk_short {
        return ok(CHECK, what);
    }
    let next = match most.flows.first() {
        _ if is_dead_letters(&most.topic) => "look through the dead letters: weir dead-letters list".to_owned(),
        Some(flow) => format!("check what reads it: weir flow show {flow}; weir flow stop {flow} --discard deletes its messages"),
        None => "check what reads it: weir queues".to_owned(),
    };
    warn(CHECK, what, next)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    fn queue(topic: &str, size_bytes: u64) -> QueueSummary {
        serde_json::from_value(json!({
            "topic": topic, "subscription": "s", "flows": ["a"], "depth-count": 2, "unsettled-count": 0, "size-bytes": size_bytes,
            "consumer-count": 1, "dropped-count": 0,
        }))
        .unwrap()
    }

    #[test]
    fn a_log_that_is_too_large_names_the_queue_that_holds_most() {
        let queues = [queue("flow:tg:small:a", 1 << 20), queue("flow:tg:large:a", 3 << 20), queue("request:tg:memory:a", 9 << 20)];
        let judged = |log_mib: u64, is_disk_short| judge_log(log_mib << 20, 8 << 20, &queues, is_disk_short);
        assert_eq!((judged(32, false).grade, judged(33, false).grade, judged(1, true).grade), (Grade::Ok, Grade::Warn, Grade::Warn));
        let found = judged(33, false);
        assert!(found.what.contains("most is held by flow:tg:large:a (subscription s): 3.0 MiB in 2 messages"), "{}", found.what);
        assert!(found.next.unwrap().contains("weir flow show a"));
        assert_eq!(judge_log(1 << 40, 1, &[], true).grade, Grade::Ok);
    }

    #[test]
    fn the_reserve_decides() {
        let of = |used_percent: u64| judge(DiskUse { total_bytes: 100 << 30, free_bytes: (100 - used_percent) << 30 }, 5).grade;
        assert_eq!(
            (of(50), of(89), of(91), of(95), of(96), of(100)),
            (Grade::Ok, Grade::Ok, Grade::Warn, Grade::Warn, Grade::Fail, Grade::Fail)
        );
    }
}
