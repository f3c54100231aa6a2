//! The tables of the status.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use weir_config::records::{ComponentRef, ProcessorState, ProcessorStatus};
use weir_gateway::protocol::{FlowSummary, HostReport, QueueSummary};

use crate::output;

/// The states of processors, the contents of queues, and the last errors.
pub(crate) fn sections(hosts: &[HostReport], of_queues: &[QueueSummary], width: usize, rows_count: usize) -> String {
    let mut text = String::new();
    push_section(&mut text, "PROCESSORS", processors(hosts, width, rows_count));
    push_section(&mut text, "QUEUES", busy_queues(of_queues, width, rows_count));
    push_section(&mut text, "FULL", full_queues(of_queues, width));
    push_section(&mut text, "LAST ERRORS", errors(hosts, width, rows_count));
    text
}

/// Adds a section unless it is empty.
pub(super) fn push_section(text: &mut String, heading: &str, table: Option<String>) {
    let Some(table) = table else { return };
    let _ = writeln!(text, "\n{}\n{table}", output::bold(heading));
}

/// One processor in one flow, over all hosts.
#[derive(Default)]
struct Totals {
    states: Vec<&'static str>,
    handled: u64,
    rate_per_1000_s: u64,
    failed: u64,
    dead: u64,
    in_hand: u64,
}

impl Totals {
    /// Lower ranks need attention sooner.
    fn rank(&self) -> u8 {
        let is_well = self.states.iter().all(|state| *state == "running");
        match self {
            _ if !is_well => 0,
            Totals { failed: 1.., .. } | Totals { dead: 1.., .. } => 1,
            Totals { rate_per_1000_s: 1.., .. } | Totals { in_hand: 1.., .. } => 2,
            _ => 3,
        }
    }

    fn add(&mut self, status: &ProcessorStatus) {
        let state = state(status.state);
        if !self.states.contains(&state) {
            self.states.push(state);
        }
        if status.waiting_for_slot_count > 0 && !self.states.contains(&NO_SLOT) {
            self.states.push(NO_SLOT);
        }
        self.handled += status.handled_count;
        self.rate_per_1000_s += status.rate_per_1000_s;
        self.failed += status.failed_count;
        self.dead += status.dead_count;
        self.in_hand += status.in_hand_count;
    }
}

/// Shown next to the state: messages wait because all instance slots of the host are in use.
const NO_SLOT: &str = "no-slot";

fn state(state: ProcessorState) -> &'static str {
    match state {
        ProcessorState::Starting => "starting",
        ProcessorState::Running => "running",
        ProcessorState::Paused => "paused",
        ProcessorState::Failing => "failing",
        ProcessorState::Broken => "broken",
        ProcessorState::Stopping => "stopping",
    }
}

/// The running component and, if different, the desired one.
fn runs(status: &ProcessorStatus) -> String {
    let runs = status.component.as_ref().map(ComponentRef::key);
    match status.wanted.as_ref().map(ComponentRef::key) {
        None => runs.unwrap_or_else(|| "-".to_owned()),
        wanted if wanted == runs => runs.unwrap_or_default(),
        Some(wanted) => format!("{} -> {wanted}", runs.as_deref().unwrap_or("none")),
    }
}

fn processors(hosts: &[HostReport], width: usize, rows_count: usize) -> Option<String> {
    let mut all: BTreeMap<(String, String, String), Totals> = BTreeMap::new();
    for status in hosts.iter().flat_map(|host| &host.processors) {
        let component = runs(status);
        all.entry((status.processor.clone(), status.variant.clone(), component)).or_default().add(status);
    }
    let row = |((processor, variant, component), totals): (&(String, String, String), &Totals)| {
        vec![
            processor.clone(),
            variant.clone(),
            component.clone(),
            totals.states.join("+"),
            output::number(totals.handled),
            rate(totals.rate_per_1000_s),
            output::number(totals.in_hand),
            output::number(totals.failed),
            output::number(totals.dead),
        ]
    };
    let headings = ["processor", "variant", "component", "state", "handled", "per s", "active", "failed", "dead"];
    let mut all: Vec<_> = all.iter().collect();
    all.sort_by_key(|(_, totals)| totals.rank());
    let left = all.split_off(all.len().min(rows_count)).len();
    let rows: Vec<Vec<String>> = all.into_iter().map(row).collect();
    (!rows.is_empty()).then(|| counted(output::fitted(&headings, &[4, 5, 6, 7, 8], rows, width), left, "more: weir status --all"))
}

/// A table, and the number of omitted rows.
fn counted(table: String, left_count: usize, words: &str) -> String {
    if left_count == 0 { table } else { format!("{table}\n{} {words}", output::number(left_count as u64)) }
}

/// The flows, those that are not simply running first.
pub(super) fn flows(flows: &[FlowSummary], width: usize, rows_count: usize) -> Option<String> {
    let mut all: Vec<&FlowSummary> = flows.iter().collect();
    all.sort_by_key(|flow| flow.status == "running");
    let left = all.split_off(all.len().min(rows_count)).len();
    let shown: Vec<FlowSummary> = all.into_iter().cloned().collect();
    (!shown.is_empty()).then(|| counted(flow_table(&shown, width), left, "more: weir flow list"))
}

/// Flows as a table.
pub(crate) fn flow_table(flows: &[FlowSummary], width: usize) -> String {
    let row = |flow: &FlowSummary| {
        let interfaces: Vec<&str> = flow.interfaces.keys().map(String::as_str).collect();
        vec![flow.id.clone(), flow.status.clone(), flow.blueprint.clone(), interfaces.join(" "), flow.description.clone()]
    };
    output::fitted(&["flow", "status", "blueprint", "interfaces", "description"], &[], flows.iter().map(row).collect(), width)
}

/// The queues; if there are more than `rows_count`, only those with messages or lost messages.
fn busy_queues(of: &[QueueSummary], width: usize, rows_count: usize) -> Option<String> {
    if of.len() <= rows_count {
        return queues(of, width);
    }
    let is_busy = |queue: &&QueueSummary| {
        queue.is_missing || queue.may_hold_messages() || queue.dropped_count > Some(0) || queue.damaged_count > Some(0)
    };
    let (mut busy, empty): (Vec<&QueueSummary>, Vec<&QueueSummary>) = of.iter().partition(is_busy);
    busy.sort_by_key(|queue| (!queue.is_missing, std::cmp::Reverse(queue.size_bytes)));
    let left = busy.split_off(busy.len().min(rows_count)).len();
    let shown: Vec<QueueSummary> = busy.into_iter().cloned().collect();
    let (count, words) = match left {
        0 => (empty.len(), "more are empty: weir queues"),
        left => (left + empty.len(), "more: weir queues"),
    };
    let table = queues(&shown, width);
    Some(table.map_or_else(|| format!("all {} are empty: weir queues", of.len()), |table| counted(table, count, words)))
}

fn rate(per_1000_s: u64) -> String {
    match per_1000_s {
        0 => "0".to_owned(),
        rate if rate < 100_000 => format!("{:.1}", rate as f64 / 1000.0),
        rate => output::number(rate / 1000),
    }
}

/// Queues that refuse messages because of their own limit, and what to do.
fn full_queues(of: &[QueueSummary], width: usize) -> Option<String> {
    let told = |queue: &QueueSummary| {
        let (size, limit) = (output::size_if_known(queue.size_bytes), output::size_if_known(queue.limit_bytes));
        let text = format!(
            "{} is full ({size} of {limit}): messages that cannot be handled stay in the queues of their processors until dead letters are \
                 resent or deleted (weir dead-letters redrive | delete), or dead-letters.max-bytes is raised",
            queue.topic
        );
        output::wrapped(&text, "", width)
    };
    let full: Vec<String> = of.iter().filter(|queue| queue.is_full == Some(true)).map(told).collect();
    (!full.is_empty()).then(|| full.join("\n"))
}

/// The number of messages in a queue. If the broker counts only ready messages, their number, labelled as such.
fn messages(queue: &QueueSummary) -> String {
    match (queue.depth_count, queue.ready_count) {
        _ if queue.is_missing => "missing".to_owned(),
        (None, Some(ready_count)) => format!("{} ready", output::number(ready_count)),
        (depth_count, _) => output::number_if_known(depth_count),
    }
}

/// Queues as a table; `None` if there are none.
pub(crate) fn queues(queues: &[QueueSummary], width: usize) -> Option<String> {
    let row = |queue: &QueueSummary| {
        let reader = match &queue.exit {
            Some(interface) => format!("exit {interface}"),
            None if queue.is_unowned => format!("{} (no flow)", queue.subscription),
            None => queue.subscription.clone(),
        };
        vec![
            queue.topic.clone(),
            reader,
            messages(queue),
            output::number_if_known(queue.unsettled_count),
            output::size_if_known(queue.size_bytes),
            output::number_if_known(queue.dropped_count),
        ]
    };
    let headings = ["topic", "subscriber", "messages", "in flight", "size", "dropped"];
    let table = (!queues.is_empty()).then(|| output::fitted(&headings, &[2, 3, 4, 5], queues.iter().map(row).collect(), width))?;
    let mut text = table;
    match queues.iter().filter(|queue| queue.is_unowned).count() {
        0 => {}
        1 => text.push_str("\n1 queue does not belong to a flow: weir doctor"),
        count => text.push_str(&format!("\n{} queues do not belong to a flow: weir doctor", output::number(count as u64))),
    }
    let damaged_count: u64 = queues.iter().filter_map(|queue| queue.damaged_count).sum();
    if damaged_count > 0 {
        text.push_str(&format!("\n{} damaged or missing messages were set aside: weir doctor", output::number(damaged_count)));
    }
    Some(text)
}

/// The last error of each processor: current ones first, then the newest.
fn errors(hosts: &[HostReport], width: usize, rows_count: usize) -> Option<String> {
    let mut all: Vec<(&HostReport, &ProcessorStatus)> =
        hosts.iter().flat_map(|host| host.processors.iter().map(move |status| (host, status))).collect();
    all.retain(|(_, status)| status.last_error.is_some());
    // By their ages: the clocks of hosts may differ.
    let age_ms = |host: &HostReport, at: u64| host.status.time_ms.saturating_sub(at) + host.age_ms;
    all.sort_by_key(|(host, status)| (status.last_error_over_ms.is_some(), status.last_error_ms.map_or(u64::MAX, |at| age_ms(host, at))));
    let left = all.split_off(all.len().min(rows_count)).len();
    let mut lines = Vec::new();
    for (host, status) in all {
        if let Some(error) = &status.last_error {
            let age = |at: u64| output::age(age_ms(host, at));
            let at = status.last_error_ms.map(|at| format!(", {} ago", age(at))).unwrap_or_default();
            let over = status.last_error_over_ms.map(|over| format!(", resolved {} ago", age(over))).unwrap_or_default();
            lines.push(format!("{} ({}){at}{over}", status.processor, status.variant));
            lines.push(output::wrapped(&output::cut(error, 300), "  ", width));
        }
    }
    (!lines.is_empty()).then(|| counted(lines.join("\n"), left, "more: weir status --all"))
}
