//! `weir status`: everything at a glance, in 80 to 100 columns.

use std::collections::BTreeMap;

use anyhow::Result;
use weir_config::records::{ProcessorState, ProcessorStatus};
use weir_gateway::protocol::{HostReport, QueueSummary, Status};

use super::{Session, flow};
use crate::output::{self, Format};

/// Runs the command.
pub(crate) async fn run(session: &Session) -> Result<()> {
    let status: Status = session.client.get("/api/v1/weir/status").await?;
    match session.format {
        Format::Json => output::json(&status)?,
        Format::Text => print(session.client.url(), &status)?,
    }
    Ok(())
}

fn print(url: &str, status: &Status) -> std::io::Result<()> {
    let count = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    output::line(&format!(
        "weir {} at {url}: {}, {}, configuration {}",
        status.version,
        count(status.hosts.len(), "host", "hosts"),
        count(status.flows.len(), "flow", "flows"),
        status.config_version
    ))?;
    if status.hosts.is_empty() {
        output::line("no host has reported yet: processors do not run, or it has just started")?;
    }
    section("FLOWS", (!status.flows.is_empty()).then(|| flow::table(&status.flows)))?;
    section("PROCESSORS", processors(&status.hosts))?;
    section("QUEUES", queues(&status.queues))?;
    errors(&status.hosts)
}

fn section(heading: &str, table: Option<String>) -> std::io::Result<()> {
    let Some(table) = table else { return Ok(()) };
    output::line("")?;
    output::heading(heading)?;
    output::line(&table)
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
    fn add(&mut self, status: &ProcessorStatus) {
        let state = state(status.state);
        if !self.states.contains(&state) {
            self.states.push(state);
        }
        self.handled += status.handled_count;
        self.rate_per_1000_s += status.rate_per_1000_s;
        self.failed += status.failed_count;
        self.dead += status.dead_count;
        self.in_hand += status.in_hand_count;
    }
}

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

fn processors(hosts: &[HostReport]) -> Option<String> {
    let mut all: BTreeMap<(String, String, String), Totals> = BTreeMap::new();
    for status in hosts.iter().flat_map(|host| &host.status.processors) {
        let component = status.component.as_ref().map_or_else(|| "-".to_owned(), |component| component.key());
        all.entry((status.processor.clone(), status.variant.clone(), component)).or_default().add(status);
    }
    if all.is_empty() {
        return None;
    }
    let row = |((processor, variant, component), totals): (&(String, String, String), &Totals)| {
        vec![
            output::cut(processor, 20),
            output::cut(variant, 16),
            output::cut(component, 24),
            totals.states.join("+"),
            output::number(totals.handled),
            rate(totals.rate_per_1000_s),
            output::number(totals.in_hand),
            output::number(totals.failed),
            output::number(totals.dead),
        ]
    };
    let headings = ["processor", "variant", "runs", "state", "handled", "per s", "in hand", "failed", "dead"];
    Some(output::table(&headings, &[4, 5, 6, 7, 8], all.iter().map(row).collect()))
}

fn rate(per_1000_s: u64) -> String {
    match per_1000_s {
        0 => "0".to_owned(),
        rate if rate < 100_000 => format!("{:.1}", rate as f64 / 1000.0),
        rate => output::number(rate / 1000),
    }
}

fn queues(queues: &[QueueSummary]) -> Option<String> {
    let row = |queue: &QueueSummary| {
        let reader = match &queue.exit {
            Some(interface) => format!("exit {interface}"),
            None => queue.subscription.clone(),
        };
        vec![
            output::cut(&queue.topic, 36),
            output::cut(&reader, 30),
            queue.depth_count.map_or_else(|| "missing".to_owned(), output::number),
            output::number(queue.unsettled_count),
            output::size(queue.size_bytes),
            output::number(queue.dropped_count),
        ]
    };
    let headings = ["topic", "for", "messages", "in work", "size", "dropped"];
    (!queues.is_empty()).then(|| output::table(&headings, &[2, 3, 4, 5], queues.iter().map(row).collect()))
}

/// The newest error of each processor.
fn errors(hosts: &[HostReport]) -> std::io::Result<()> {
    let failed: Vec<_> = hosts
        .iter()
        .flat_map(|host| host.status.processors.iter().map(move |status| (host, status)))
        .filter_map(|(host, status)| status.last_error.as_ref().map(|error| (host, status, error)))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    output::line("")?;
    output::heading("LAST ERRORS")?;
    for (host, status, error) in failed {
        let at = status.last_error_ms.map(|at| format!(", {} ago", output::age(host.status.time_ms.saturating_sub(at) + host.age_ms)));
        output::line(&format!("{} ({}){}", status.processor, status.variant, at.unwrap_or_default()))?;
        output::line(&format!("  {}", output::cut(error, 300)))?;
    }
    Ok(())
}
