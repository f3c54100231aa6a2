//! `weir status`: everything at a glance, in the width of the terminal or, where there is none, 100 columns.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use weir_config::records::{ProcessorState, ProcessorStatus};
use weir_gateway::protocol::{HostReport, QueueSummary, Status};

use super::{Session, flow};
use crate::args;
use crate::output::{self, Format};
use crate::screen::Screen;
use crate::shutdown::Signals;

/// How often `--watch` looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Runs the command.
pub(crate) async fn run(session: &Session, command: args::Status) -> Result<()> {
    if command.watch {
        return watch(session).await;
    }
    let status = look(session).await?;
    match session.format {
        Format::Json => output::json(&status)?,
        Format::Text => output::line(text(session.client.url(), &status, output::width()).trim_end())?,
    }
    Ok(())
}

async fn look(session: &Session) -> Result<Status> {
    Ok(session.client.get("/api/v1/weir/status").await?)
}

/// Shows it again each second until a signal comes: in place on a terminal, else one behind the other.
async fn watch(session: &Session) -> Result<()> {
    let mut signals = Signals::catch()?;
    let mut screen = Screen::default();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let next = async {
            ticks.tick().await;
            look(session).await
        };
        let status = tokio::select! {
            _ = signals.next() => return Ok(()),
            status = next => status?,
        };
        match session.format {
            Format::Json => output::line(&serde_json::to_string(&status)?)?,
            Format::Text => screen.show(|width| text(session.client.url(), &status, width))?,
        }
    }
}

fn text(url: &str, status: &Status, width: usize) -> String {
    let count = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let mut text = format!(
        "weir {} at {url}: {}, {}, configuration {}\n",
        status.version,
        count(status.hosts.len(), "host", "hosts"),
        count(status.flows.len(), "flow", "flows"),
        status.config_version
    );
    if status.hosts.is_empty() {
        text.push_str("no host has reported yet: processors do not run, or it has just started\n");
    }
    section(&mut text, "FLOWS", (!status.flows.is_empty()).then(|| flow::table(&status.flows, width)));
    text.push_str(&sections(&status.hosts, &status.queues, width));
    text
}

/// What processors do, what is in queues, and the last errors.
pub(crate) fn sections(hosts: &[HostReport], of_queues: &[QueueSummary], width: usize) -> String {
    let mut text = String::new();
    section(&mut text, "PROCESSORS", processors(hosts, width));
    section(&mut text, "QUEUES", queues(of_queues, width));
    section(&mut text, "LAST ERRORS", errors(hosts, width));
    text
}

fn section(text: &mut String, heading: &str, table: Option<String>) {
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

fn processors(hosts: &[HostReport], width: usize) -> Option<String> {
    let mut all: BTreeMap<(String, String, String), Totals> = BTreeMap::new();
    for status in hosts.iter().flat_map(|host| &host.status.processors) {
        let component = status.component.as_ref().map_or_else(|| "-".to_owned(), |component| component.key());
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
    let headings = ["processor", "variant", "runs", "state", "handled", "per s", "held", "failed", "dead"];
    (!all.is_empty()).then(|| output::fitted(&headings, &[4, 5, 6, 7, 8], all.iter().map(row).collect(), width))
}

fn rate(per_1000_s: u64) -> String {
    match per_1000_s {
        0 => "0".to_owned(),
        rate if rate < 100_000 => format!("{:.1}", rate as f64 / 1000.0),
        rate => output::number(rate / 1000),
    }
}

/// Queues as a table; none where there are none.
pub(crate) fn queues(queues: &[QueueSummary], width: usize) -> Option<String> {
    let row = |queue: &QueueSummary| {
        let reader = match &queue.exit {
            Some(interface) => format!("exit {interface}"),
            None => queue.subscription.clone(),
        };
        vec![
            queue.topic.clone(),
            reader,
            queue.depth_count.map_or_else(|| "missing".to_owned(), output::number),
            output::number(queue.unsettled_count),
            output::size(queue.size_bytes),
            output::number(queue.dropped_count),
        ]
    };
    let headings = ["topic", "for", "messages", "in work", "size", "dropped"];
    (!queues.is_empty()).then(|| output::fitted(&headings, &[2, 3, 4, 5], queues.iter().map(row).collect(), width))
}

/// The newest error of each processor.
fn errors(hosts: &[HostReport], width: usize) -> Option<String> {
    let mut lines = Vec::new();
    for host in hosts {
        for status in &host.status.processors {
            let Some(error) = &status.last_error else { continue };
            let at = status.last_error_ms.map(|at| format!(", {} ago", output::age(host.status.time_ms.saturating_sub(at) + host.age_ms)));
            lines.push(format!("{} ({}){}", status.processor, status.variant, at.unwrap_or_default()));
            lines.push(output::wrapped(&output::cut(error, 300), "  ", width));
        }
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_of_it_fits_80_columns() {
        let long = "a-processor-with-a-long-name".to_owned();
        let counts = json!({
            "handled-count": 12_345_678, "failed-count": 1234, "trapped-count": 0, "dead-count": 12, "sent-count": 0, "dropped-count": 0,
            "in-hand-count": 128, "rate-per-1000-s": 2_454_000,
        });
        let mut processor = json!({
            "processor": long, "variant": "a-flow-with-a-long-name", "state": "running",
            "component": {"name": long, "version": "10.20.30", "digest": format!("sha256:{}", "a".repeat(64))},
            "last-error": "it asked for more than it may have. ".repeat(20), "last-error-ms": 0,
        });
        processor.as_object_mut().unwrap().extend(counts.as_object().unwrap().clone());
        let queue = json!({
            "topic": format!("flow:tg:{long}:{long}"), "subscription": format!("{long}--a-flow--input"), "flows": [long],
            "depth-count": 1_234_567, "unsettled-count": 128, "size-bytes": 123_456_789, "consumer-count": 1, "dropped-count": 1_000,
        });
        let flow = json!({
            "id": long, "blueprint": long, "description": "what it is for, in many words ".repeat(5), "status": "running", "parameters": {},
            "interfaces": {"documents": "flow", "chunks": "flow", "questions": "request"}, "processors": [],
        });
        let status: Status = serde_json::from_value(json!({
            "version": "0.1.0", "topicspace": "tg", "config-version": 7, "flows": [flow], "queues": [queue],
            "hosts": [{"age-ms": 0, "host": "h", "version": "0.1.0", "started-ms": 0, "time-ms": 0, "config-version": 7, "processors": [processor]}],
        }))
        .unwrap();
        let text = anstream::adapter::strip_str(&text("http://127.0.0.1:8088", &status, 80)).to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("p....30  running") && text.contains("12,345,678") && text.contains("\nLAST ERRORS\n"), "{text}");
    }
}
