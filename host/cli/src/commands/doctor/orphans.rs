//! Queues that Weir created and that no flow uses any more; and, on a shared broker, queues of other programs.

use serde_json::json;
use weir_flow::protocol::{Backlog, Orphan};
use weir_gateway::protocol::QueueSummary;
use weir_pubsub::chain;

use super::finding::{Finding, fail, ok, skip, warn};
use super::unowned;
use crate::args;
use crate::client::Client;
use crate::output::number;
use crate::settings::Settings;

/// Maximum number of queues named; the rest is counted.
const NAMED_COUNT: usize = 20;

const CHECK: &str = "orphans";

/// The finding if a service is missing that is needed to identify orphans.
pub(super) fn not_checked(command: &args::Doctor) -> Finding {
    let next = "repeat this once all services answer";
    match command.remove_orphans {
        true => fail(CHECK, "none was removed: a service that manages queues does not answer", next),
        false => skip(CHECK, "not checked: a service that manages queues does not answer", next),
    }
}

/// Looks for orphans, and removes them if requested. `unowned` are all queues without a flow, as far as the broker lists them.
pub(super) async fn check(client: &Client, unowned: &[QueueSummary], settings: &Settings, command: &args::Doctor) -> Vec<Finding> {
    let request = match (command.remove_orphans, command.discard) {
        (false, _) => json!({"operation": "list-orphans"}),
        (true, false) => json!({"operation": "remove-orphans", "backlog": Backlog::Refuse}),
        (true, true) => json!({"operation": "remove-orphans", "backlog": Backlog::Discard}),
    };
    let orphans: Vec<Orphan> = match client.ask_flow(&request).await {
        Ok(mut answer) => serde_json::from_value(answer["orphans"].take()).unwrap_or_default(),
        Err(problem) => {
            let mut findings = vec![fail(CHECK, chain(&problem), problem.next_step().unwrap_or("check the output of `weir up`"))];
            findings.extend(unowned::check(unowned));
            return findings;
        }
    };
    let is_orphan =
        |queue: &&QueueSummary| orphans.iter().any(|orphan| (&orphan.topic, &orphan.subscription) == (&queue.topic, &queue.subscription));
    let others: Vec<QueueSummary> = unowned.iter().filter(|queue| !is_orphan(queue)).cloned().collect();
    let mut findings = vec![of_orphans(CHECK, &orphans, command.remove_orphans)];
    if settings.broker.kind().is_shared {
        findings.push(of_others(&others, settings));
    } else {
        findings.extend(unowned::check(&others));
    }
    findings
}

fn of_orphans(check: &'static str, orphans: &[Orphan], is_removing: bool) -> Finding {
    let (removed, kept): (Vec<&Orphan>, Vec<&Orphan>) = orphans.iter().partition(|orphan| orphan.is_removed);
    // The subscriber of a queue without a flow may be about to disconnect.
    let kept: Vec<&Orphan> = kept.into_iter().filter(|orphan| is_removing || orphan.kept_because.is_none()).collect();
    let removed_text = match removed.len() {
        0 => "no orphaned queues".to_owned(),
        1 => format!("1 queue was deleted: {}", named(&removed)),
        count => format!("{} queues were deleted: {}", number(count as u64), named(&removed)),
    };
    if kept.is_empty() {
        return ok(check, removed_text);
    }
    let told = |orphan: &&Orphan| {
        let holds = match orphan.messages_count {
            None => "may hold messages".to_owned(),
            Some(0) => "is empty".to_owned(),
            Some(1) => "holds 1 message".to_owned(),
            Some(count) => format!("holds {} messages", number(count)),
        };
        let because = orphan.kept_because.as_ref().map(|reason| format!("; not deleted: {reason}")).unwrap_or_default();
        format!(
            "{} (subscription {}) was created by Weir, does not belong to a flow and {holds}{because}",
            orphan.topic, orphan.subscription
        )
    };
    let mut lines: Vec<String> = (!removed.is_empty()).then_some(removed_text).into_iter().collect();
    lines.extend(kept.iter().take(NAMED_COUNT).map(told));
    if let Some(more) = kept.len().checked_sub(NAMED_COUNT).filter(|more| *more > 0) {
        lines.push(format!("and {} more", number(more as u64)));
    }
    let next = "start the flow again under its old name to continue with its messages; or delete empty queues with weir doctor \
         --remove-orphans, and those with messages too by adding --discard";
    warn(check, lines.join("\n"), next)
}

fn named(orphans: &[&Orphan]) -> String {
    let mut names: Vec<String> =
        orphans.iter().take(NAMED_COUNT).map(|orphan| format!("{} (subscription {})", orphan.topic, orphan.subscription)).collect();
    if let Some(more) = orphans.len().checked_sub(NAMED_COUNT).filter(|more| *more > 0) {
        names.push(format!("and {} more", number(more as u64)));
    }
    names.join(", ")
}

/// Queues on the same virtual host that look like those of flows but were created by other programs. They are never deleted.
fn of_others(others: &[QueueSummary], settings: &Settings) -> Finding {
    const CHECK: &str = "other queues";
    let listing = settings.broker.kind().listing.filter(|_| settings.broker.management.is_none());
    if let Some((setting, command)) = listing.filter(|_| others.is_empty()) {
        return skip(
            CHECK,
            "unknown: the broker lists queues only through its management API",
            format!("set {setting}, or run: {command}"),
        );
    }
    if others.is_empty() {
        return ok(CHECK, "every queue belongs to Weir");
    }
    let mut names: Vec<String> =
        others.iter().take(NAMED_COUNT).map(|queue| format!("{} (subscription {})", queue.topic, queue.subscription)).collect();
    if let Some(more) = others.len().checked_sub(NAMED_COUNT).filter(|more| *more > 0) {
        names.push(format!("and {} more: weir queues", number(more as u64)));
    }
    ok(CHECK, format!("Weir has no record of creating these and does not change them: {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Grade;
    use super::*;

    #[test]
    fn orphans_are_reported_with_their_outcome() {
        let orphan = |name: &str, messages_count, is_removed, kept_because: Option<&str>| Orphan {
            topic: format!("flow:tg:{name}"),
            subscription: "p--one--in".to_owned(),
            messages_count,
            is_removed,
            kept_because: kept_because.map(str::to_owned),
        };
        let read = orphan("c", None, false, Some("it has a consumer: stop it first"));
        let listed = of_orphans("orphans", &[orphan("a", Some(2), false, None), read.clone()], false);
        assert_eq!(listed.grade, Grade::Warn);
        assert_eq!(listed.what, "flow:tg:a (subscription p--one--in) was created by Weir, does not belong to a flow and holds 2 messages");
        assert_eq!(of_orphans("orphans", std::slice::from_ref(&read), false).grade, Grade::Ok);
        let removed = of_orphans("orphans", &[orphan("a", Some(0), true, None), read], true);
        assert_eq!(removed.grade, Grade::Warn);
        assert!(removed.what.starts_with("1 queue was deleted: flow:tg:a (subscription p--one--in)\nflow:tg:c"), "{}", removed.what);
        assert!(removed.what.ends_with("may hold messages; not deleted: it has a consumer: stop it first"), "{}", removed.what);
    }
}
