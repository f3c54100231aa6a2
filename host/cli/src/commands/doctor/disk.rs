//! The disk of the data folder.

use std::path::Path;

use weir_config::names::is_dead_letters;
use weir_gateway::protocol::QueueSummary;
use weir_pubsub::disk::DiskUse;

use super::finding::{Finding, Grade, fail, ok, skip, warn};
use crate::output::{number_if_known, size, size_if_known};
use crate::settings::Settings;

/// Free space within this margin above the reserve is a warning.
const NEAR_PERCENT: u64 = 5;
/// The broker keeps its log below this multiple of the queues' content, plus two segments.
const LOG_PER_LIVE: u64 = 4;

/// Whether the disk has space: if the queues are on it, by the rule by which the broker accepts messages.
pub(super) fn check(data: &Path, settings: &Settings) -> Finding {
    // A missing folder will be created on the disk of its nearest existing ancestor.
    let there = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let there = there.ancestors().find(|folder| folder.is_dir()).unwrap_or(data);
    match DiskUse::of(there) {
        Ok(disk) => match settings.broker.storage() {
            Some(storage) => check_disk_use(disk, storage.disk_reserve_percent),
            None => check_disk_without_queues(disk),
        },
        Err(error) => {
            warn("disk", format!("its usage cannot be determined: {error}"), format!("check it manually: df {}", there.display()))
        }
    }
}

fn check_disk_use(disk: DiskUse, reserve_percent: u64) -> Finding {
    let what = used(disk);
    let used = disk.used_bytes();
    let reserve = format!("{reserve_percent} % are reserved (broker.disk-reserve-percent)");
    if used > disk.limit_bytes(reserve_percent) {
        let what = format!("{what}; {reserve}: new messages from clients are refused, queued messages are still processed");
        return fail("disk", what, "free disk space, or lower the setting; messages are accepted again within a second, without a restart");
    }
    if used > disk.limit_bytes(reserve_percent + NEAR_PERCENT) {
        return warn("disk", format!("{what}; {reserve}"), "free disk space before new messages are refused");
    }
    ok("disk", what)
}

/// The disk of a data folder without queues: it has the configuration and components.
fn check_disk_without_queues(disk: DiskUse) -> Finding {
    let what = format!("{}; the broker stores the queues elsewhere", used(disk));
    if disk.used_bytes() > disk.limit_bytes(NEAR_PERCENT) {
        return warn("disk", what, "free disk space: configuration changes are refused once it is full");
    }
    ok("disk", what)
}

fn used(disk: DiskUse) -> String {
    let percent = disk.used_bytes().saturating_mul(100).checked_div(disk.total_bytes).unwrap_or(0);
    format!("{percent} % of {} used, {} free", size(disk.total_bytes), size(disk.free_bytes))
}

/// The size of the log compared with the queues' content, and the queue that occupies most of it.
pub(super) fn check_log(data: &Path, settings: &Settings, queues: &[QueueSummary]) -> Finding {
    let Some(storage) = settings.broker.storage() else {
        return skip("log", "not applicable: the broker stores the queues elsewhere", "check its disk with the broker's own tools");
    };
    let is_disk_short = check(data, settings).grade != Grade::Ok;
    let files = std::fs::read_dir(data.join("queues")).into_iter().flatten().flatten();
    let segments = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
    let log_bytes = segments.filter_map(|file| file.metadata().ok()).map(|found| found.len()).sum();
    check_log_size(log_bytes, storage.segment_bytes, queues, is_disk_short)
}

fn check_log_size(log_bytes: u64, segment_bytes: u64, queues: &[QueueSummary], is_disk_short: bool) -> Finding {
    const CHECK: &str = "log";
    let on_disk = queues.iter().filter(|queue| queue.topic.starts_with("flow:"));
    let live_bytes: u64 = on_disk.clone().filter_map(|queue| queue.size_bytes).sum();
    let what = format!("{} on disk for {} of messages", size(log_bytes), size(live_bytes));
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
        _ if is_dead_letters(&most.topic) => "review the dead letters: weir dead-letters list".to_owned(),
        Some(flow) => format!("check its subscriber: weir flow show {flow}; weir flow stop {flow} --discard deletes its messages"),
        None => "check its subscriber: weir queues".to_owned(),
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
    fn an_oversized_log_is_reported_with_its_largest_queue() {
        let queues = [queue("flow:tg:small:a", 1 << 20), queue("flow:tg:large:a", 3 << 20), queue("request:tg:memory:a", 9 << 20)];
        let judged = |log_mib: u64, is_disk_short| check_log_size(log_mib << 20, 8 << 20, &queues, is_disk_short);
        assert_eq!((judged(32, false).grade, judged(33, false).grade, judged(1, true).grade), (Grade::Ok, Grade::Warn, Grade::Warn));
        let found = judged(33, false);
        assert!(found.what.contains("most is held by flow:tg:large:a (subscription s): 3.0 MiB in 2 messages"), "{}", found.what);
        assert!(found.next.unwrap().contains("weir flow show a"));
        assert_eq!(check_log_size(1 << 40, 1, &[], true).grade, Grade::Ok);
    }

    #[test]
    fn reserve_and_log_are_not_checked_for_an_external_broker() {
        let mut settings = Settings::default();
        settings.broker.url = "amqp://host".to_owned();
        let folder = tempfile::tempdir().unwrap();
        let found = check(folder.path(), &settings);
        assert!(found.what.contains("elsewhere") && !found.what.contains("reserve"), "{found:?}");
        assert_eq!(check_log(folder.path(), &settings, &[queue("flow:tg:large:a", 3 << 20)]).grade, Grade::Skip);
        let of =
            |used_percent: u64| check_disk_without_queues(DiskUse { total_bytes: 100 << 30, free_bytes: (100 - used_percent) << 30 }).grade;
        assert_eq!((of(94), of(96), of(100)), (Grade::Ok, Grade::Warn, Grade::Warn));
    }

    #[test]
    fn the_disk_reserve_is_the_threshold() {
        let of = |used_percent: u64| check_disk_use(DiskUse { total_bytes: 100 << 30, free_bytes: (100 - used_percent) << 30 }, 5).grade;
        assert_eq!(
            (of(50), of(89), of(91), of(95), of(96), of(100)),
            (Grade::Ok, Grade::Ok, Grade::Warn, Grade::Warn, Grade::Fail, Grade::Fail)
        );
    }
}
