//! The queues of flows, and the dead-letter queue: whether they exist, and how full they are.

use weir_gateway::protocol::QueueSummary;

use super::finding::{Finding, fail, ok, some, warn};
use crate::output::{number, number_if_known, size, size_if_known};

/// A queue above this share of its limit is nearly full.
const NEARLY_FULL_PERCENT: u64 = 80;

/// Checks the queues of flows, against the limit of one queue if the broker has one that is set here.
pub(super) fn of_flows(queues: &[QueueSummary], limit_bytes: Option<u64>) -> Finding {
    const CHECK: &str = "queues";
    let missing: Vec<String> = queues.iter().filter(|it| it.is_missing).map(|it| format!("{} is missing", it.topic)).collect();
    if !missing.is_empty() {
        return fail(CHECK, some(&missing), "they are created again within 30 s; if not, stop the flow and start it");
    }
    // The exit of a flow has its own limit, above which it drops its oldest messages.
    let full = |limit_bytes: u64, percent: u64| {
        let is_near = move |size: u64| size.saturating_mul(100) >= limit_bytes.saturating_mul(percent);
        let near = move |it: &&QueueSummary| it.exit.is_none() && it.size_bytes.is_some_and(is_near);
        queues
            .iter()
            .filter(near)
            .map(|it| format!("{} holds {} of {}", it.topic, size_if_known(it.size_bytes), size(limit_bytes)))
            .collect::<Vec<_>>()
    };
    let Some(limit_bytes) = limit_bytes else { return dropping(queues, "their limits are set in the broker".to_owned()) };
    let next = "weir status shows whether its processor keeps up; raise its concurrency or broker.queue-limit, or send less";
    match (full(limit_bytes, 100), full(limit_bytes, NEARLY_FULL_PERCENT)) {
        (over, _) if !over.is_empty() => fail(CHECK, format!("{}: new messages are refused", some(&over)), next),
        (_, near) if !near.is_empty() => warn(CHECK, some(&near), next),
        _ => dropping(queues, fullness(queues)),
    }
}

/// What is known about the sizes of queues if none is nearly full.
fn fullness(queues: &[QueueSummary]) -> String {
    match queues.iter().filter(|it| it.size_bytes.is_none()).count() {
        0 => "none nearly full".to_owned(),
        count if count < queues.len() => format!("none of known size is nearly full; the size of {count} is unknown"),
        _ => "their fill level is unknown: the broker does not report their size".to_owned(),
    }
}

fn dropping(queues: &[QueueSummary], full: String) -> Finding {
    const CHECK: &str = "queues";
    let lost =
        |queue: &QueueSummary| format!("{} ({}): {} messages", queue.topic, queue.subscription, number_if_known(queue.damaged_count));
    let lost: Vec<String> = queues.iter().filter(|queue| queue.damaged_count > Some(0)).map(lost).collect();
    if !lost.is_empty() {
        let what = format!("messages were found damaged or missing on disk since the start, and were set aside:\n{}", some(&lost));
        return fail(CHECK, what, "the log has the segment and offset of each; check the disk, and resend these messages");
    }
    let dropped: u64 = queues.iter().filter_map(|it| it.dropped_count).sum();
    if dropped > 0 {
        let what = format!("{} messages were dropped at exits without a reader", number(dropped));
        return warn(CHECK, what, "take them (weir take FLOW INTERFACE), or raise flow.exit-limit");
    }
    let waiting: u64 = queues.iter().filter_map(|it| it.depth_count).sum();
    let unknown = |of: fn(&QueueSummary) -> bool, what: &str| match queues.iter().filter(|it| of(it)).count() {
        0 => String::new(),
        count => format!("; {what} {count} are unknown"),
    };
    let depths = match queues.iter().filter(|it| it.depth_count.is_none()).count() {
        0 => String::new(),
        count => {
            let ready: Vec<u64> = queues.iter().filter(|it| it.depth_count.is_none()).filter_map(|it| it.ready_count).collect();
            let ready = if ready.is_empty() { String::new() } else { format!(", of which {} are ready", number(ready.iter().sum())) };
            format!("; the messages of {count} are unknown{ready}")
        }
    };
    let losses = unknown(|it| it.damaged_count.is_none(), "lost messages of");
    let dropped = unknown(|it| it.exit.is_some() && it.dropped_count.is_none(), "dropped messages of exits of");
    ok(CHECK, format!("{} queues with {} messages, {full}{depths}{losses}{dropped}", queues.len(), number(waiting)))
}

/// Checks the dead-letter queue, which has its own limit and refuses messages above it.
pub(super) fn dead_letters(queues: &[QueueSummary]) -> Finding {
    const CHECK: &str = "dead letters";
    const NEXT: &str = "weir dead-letters list shows why; then weir dead-letters redrive or delete, or raise dead-letters.max-bytes";
    // If the broker counts only ready messages, their number.
    let count: Option<u64> = queues.iter().map(|queue| queue.depth_count.or(queue.ready_count)).sum();
    let filled = |queue: &QueueSummary| format!("{} of {}", size_if_known(queue.size_bytes), size_if_known(queue.limit_bytes));
    if let Some(queue) = queues.iter().find(|queue| queue.is_full == Some(true)) {
        let what = format!("queue {} is full ({}): messages that cannot be handled stay with their processors", queue.topic, filled(queue));
        return fail(CHECK, what, NEXT);
    }
    if let Some(queue) = queues.iter().find(|queue| queue.is_missing) {
        return fail(CHECK, format!("queue {} is missing", queue.topic), "it is created again within 30 s; if not, restart Weir");
    }
    let near = |queue: &&QueueSummary| {
        let sizes = queue.limit_bytes.zip(queue.size_bytes);
        sizes.is_some_and(|(limit, size)| size.saturating_mul(100) >= limit.saturating_mul(NEARLY_FULL_PERCENT))
    };
    let near = queues.iter().find(near).map(|queue| format!("; {} is nearly full ({})", queue.topic, filled(queue)));
    let Some(count) = count else {
        return warn(CHECK, "the broker does not count them", "weir dead-letters list shows all dead letters");
    };
    let what = match count {
        0 if queues.iter().any(|queue| queue.held_count().is_none()) => return ok(CHECK, "none is ready; the number in flight is unknown"),
        0 => return ok(CHECK, "none"),
        1 => "1 dead letter needs attention".to_owned(),
        count => format!("{} dead letters need attention", number(count)),
    };
    match near {
        Some(near) => warn(CHECK, what + &near, NEXT),
        None => warn(CHECK, what, "weir dead-letters list shows why; weir dead-letters redrive resends them"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::super::finding::Grade;
    use super::*;

    fn queue(size_bytes: u64) -> QueueSummary {
        serde_json::from_value(json!({
            "topic": "flow:tg:in:a", "subscription": "s", "flows": ["a"], "depth-count": 1, "unsettled-count": 0, "size-bytes": size_bytes,
            "consumer-count": 1, "dropped-count": 0,
        }))
        .unwrap()
    }

    #[test]
    fn queues_are_checked_against_their_limit() {
        let judged = |size_bytes: u64| of_flows(&[queue(size_bytes)], Some(100 << 20)).grade;
        assert_eq!((judged(0), judged(79 << 20), judged(80 << 20), judged(100 << 20)), (Grade::Ok, Grade::Ok, Grade::Warn, Grade::Fail));
        let missing = QueueSummary { is_missing: true, depth_count: None, ..queue(0) };
        assert_eq!(of_flows(&[missing], Some(1 << 20)).grade, Grade::Fail);
        let damaged = QueueSummary { damaged_count: Some(2), ..queue(0) };
        assert_eq!(of_flows(&[damaged], Some(1 << 20)).grade, Grade::Fail);
        let dropped = QueueSummary { dropped_count: Some(3), ..queue(0) };
        assert_eq!(of_flows(&[dropped], Some(1 << 20)).grade, Grade::Warn);
    }

    #[test]
    fn unknown_queue_figures_are_not_treated_as_zero() {
        let unknown = || QueueSummary { size_bytes: None, depth_count: None, ready_count: Some(4), damaged_count: None, ..queue(0) };
        let none_known = of_flows(&[unknown(), unknown()], Some(1 << 20)).what;
        assert!(!none_known.contains("nearly full") && none_known.contains("their fill level is unknown"), "{none_known}");
        assert!(none_known.contains("the messages of 2 are unknown, of which 8 are ready"), "{none_known}");
        assert!(none_known.contains("lost messages of 2 are unknown"), "{none_known}");
        let one_known = of_flows(&[QueueSummary { damaged_count: Some(0), ..queue(0) }, unknown()], Some(1 << 20)).what;
        assert!(one_known.contains("none of known size is nearly full; the size of 1 is unknown"), "{one_known}");
        let all_known = of_flows(&[QueueSummary { damaged_count: Some(0), ..queue(0) }], Some(1 << 20)).what;
        assert!(all_known.ends_with("none nearly full"), "{all_known}");
        let limit_elsewhere = of_flows(&[QueueSummary { damaged_count: Some(0), ..queue(1 << 40) }], None);
        assert!(
            limit_elsewhere.grade == Grade::Ok && limit_elsewhere.what.ends_with("their limits are set in the broker"),
            "{limit_elsewhere:?}"
        );
    }

    #[test]
    fn dead_letters_are_checked_against_their_limit() {
        let letters = |size_bytes: u64, is_full: bool| {
            let queue = QueueSummary {
                limit_bytes: Some(100 << 20),
                is_full: Some(is_full),
                depth_count: Some(size_bytes.min(3)),
                ..queue(size_bytes)
            };
            let finding = dead_letters(&[queue]);
            (finding.grade, finding.what)
        };
        assert_eq!(letters(0, false), (Grade::Ok, "none".to_owned()));
        let uncounted = |ready_count| {
            let finding = dead_letters(&[QueueSummary { depth_count: None, unsettled_count: None, ready_count, ..queue(0) }]);
            (finding.grade, finding.what)
        };
        assert_eq!(uncounted(None), (Grade::Warn, "the broker does not count them".to_owned()));
        assert_eq!(uncounted(Some(0)), (Grade::Ok, "none is ready; the number in flight is unknown".to_owned()));
        assert_eq!(uncounted(Some(1)), (Grade::Warn, "1 dead letter needs attention".to_owned()));
        assert_eq!(letters(1, false), (Grade::Warn, "1 dead letter needs attention".to_owned()));
        assert!(letters(80 << 20, false).1.contains("3 dead letters need attention; flow:tg:in:a is nearly full (80.0 MiB of 100.0 MiB)"));
        let (grade, what) = letters(99 << 20, true);
        assert!(grade == Grade::Fail && what.contains("is full (99.0 MiB of 100.0 MiB)"), "{what}");
    }
}
