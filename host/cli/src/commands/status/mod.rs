//! `weir status`: an overview, in the width of the terminal or, without one, 100 columns. In long lists, items needing attention come first, and the
//! rest is counted.

mod hosts;
mod tables;

use std::time::Duration;

use anyhow::Result;
use weir_gateway::protocol::{HostReport, MissingService, Presence, ServiceName, Status};

pub(crate) use self::tables::{flow_table, queues, sections};
use self::tables::{flows, push_section};
use super::Session;
use crate::args;
use crate::hosts::{duplicate_names, label, other_versions, reporting};
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};
use crate::screen::Screen;
use crate::shutdown::Signals;

/// The refresh interval of `--watch`.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of rows of each table, unless all are requested.
const ROWS_COUNT: usize = 20;
/// Lines of the status that are not rows: headings, gaps and counts, with an error of three lines.
const OTHER_LINES_COUNT: usize = 18;
/// Figures older than this are shown with their age.
const OLD_MS: u64 = 1_000;
/// Fewer rows are not useful.
const MIN_ROWS_COUNT: usize = 3;

/// Runs the command.
pub(crate) async fn run(session: &Session, command: args::Status) -> Result<()> {
    if command.watch {
        return watch(session, &command).await;
    }
    let status = look(session).await?;
    match session.format {
        Format::Json => output::json(&status)?,
        Format::Text => {
            let rows_count = if command.all { usize::MAX } else { ROWS_COUNT };
            output::line(text(session.client.url(), &status, output::width(), rows_count).trim_end())?;
        }
    }
    match missing_config(&status) {
        Some(problem) => Err(no_config(problem).into()),
        None => Ok(()),
    }
}

/// The status shown is incomplete, which scripts must be able to detect.
fn no_config(problem: &str) -> Problem {
    Problem::new(Exit::Unavailable, "the config service does not answer: flows and queues are unknown")
        .because(anyhow::Error::msg(problem.to_owned()))
        .next(
            "start it on the data folder that has the configuration: weir run config, or weir up; weir doctor shows anything else that is \
             missing",
        )
}

/// The status with its flows and queues.
///
/// # Errors
/// Also if the config service does not answer: unknown must not look like empty.
pub(crate) async fn whole(session: &Session) -> Result<Status, Problem> {
    let status: Status = session.client.get("/api/v1/weir/status").await?;
    match missing_config(&status) {
        Some(problem) => Err(no_config(problem)),
        None => Ok(status),
    }
}

/// Why the config service does not answer, if it does not.
fn missing_config(status: &Status) -> Option<&str> {
    let missing = status.missing.iter().find(|missing| missing.service == ServiceName::Config)?;
    Some(&missing.problem)
}

async fn look(session: &Session) -> Result<Status> {
    Ok(session.client.get("/api/v1/weir/status").await?)
}

/// Refreshes it each second until a signal arrives: in place on a terminal, otherwise appended.
async fn watch(session: &Session, command: &args::Status) -> Result<()> {
    let mut signals = Signals::catch()?;
    let mut screen = Screen::default();
    let mut ticks = tokio::time::interval(POLL_INTERVAL);
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
            Format::Text => screen.show(|width, height| {
                let of_height = height.map_or(ROWS_COUNT, |height| (height.saturating_sub(OTHER_LINES_COUNT) / 3).max(MIN_ROWS_COUNT));
                text(session.client.url(), &status, width, if command.all { usize::MAX } else { of_height })
            })?,
        }
    }
}

fn text(url: &str, status: &Status, width: usize, rows_count: usize) -> String {
    let count = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let hosts_count = count(reporting(&status.hosts).count(), "host", "hosts");
    let of_config = match missing_config(status) {
        Some(_) => "flows and queues unknown".to_owned(),
        None => format!("{}, config version {}", count(status.flows.len(), "flow", "flows"), status.config_version),
    };
    let head = format!("weir {} at {url}: {hosts_count}, {of_config}", status.version);
    let mut text = output::wrapped(&head, "", width);
    text.push('\n');
    if let Some(problem) = &status.broker_problem {
        text.push_str(&output::wrapped(&format!("broker: {}", output::cut(problem, 300)), "", width));
        text.push('\n');
    }
    for line in attention(status) {
        text.push_str(&output::wrapped(&line, "", width));
        text.push('\n');
    }
    push_section(&mut text, "HOSTS", hosts::table(status, width, rows_count));
    push_section(&mut text, "FLOWS", flows(&status.flows, width, rows_count));
    // The last report of a silent host is not its current state.
    let there: Vec<HostReport> = reporting(&status.hosts).cloned().collect();
    text.push_str(&sections(&there, &status.queues, width, rows_count));
    text
}

/// What needs attention first, one line each.
fn attention(status: &Status) -> Vec<String> {
    let missing = status
        .missing
        .iter()
        .map(|MissingService { service, problem }| format!("{} does not answer: {}", service.title(), output::cut(problem, 300)));
    let mut lines: Vec<String> = missing.collect();
    if reporting(&status.hosts).next().is_none() {
        lines.push("no host is reporting: no processor is running, or Weir has just started".to_owned());
    }
    for host in &status.hosts {
        let label = label(host, &status.hosts);
        match host.presence {
            Presence::Silent => lines.push(format!(
                "host {label} has been silent for {}: it was killed, hangs, or cannot reach the broker",
                output::age(host.heard_ms)
            )),
            Presence::Reporting if host.age_ms > OLD_MS => {
                lines.push(format!("host {label} does not answer: its details are {} old", output::age(host.age_ms)));
            }
            Presence::Reporting => {}
        }
        let problem = host.status.config_problem.as_ref();
        lines.extend(problem.map(|problem| format!("host {label} cannot fetch the configuration: {}", output::cut(problem, 300))));
        let problem = host.status.report_problem.as_ref();
        lines.extend(problem.map(|problem| format!("host {label}: {}", output::cut(problem, 300))));
    }
    lines.extend(
        duplicate_names(&status.hosts).into_iter().map(|line| format!("{line}; give each a unique name: weir run host --name NAME")),
    );
    lines.extend(other_versions(status));
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_help_texts_fit_80_columns() {
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
        let text = anstream::adapter::strip_str(&text("http://127.0.0.1:8088", &status, 80, 20)).to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(!text.contains("does not answer"));
        assert!(text.contains("p....30  running") && text.contains("12,345,678") && text.contains("\nLAST ERRORS\n"), "{text}");
    }

    #[test]
    fn outdated_resolved_and_unwanted_states_are_marked() {
        let component = |version: &str| json!({"name": "p", "version": version, "digest": format!("sha256:{}", "a".repeat(64))});
        let processor = |variant: &str, runs: serde_json::Value, over: serde_json::Value| {
            let mut processor = json!({
                "processor": "p", "variant": variant, "state": "running", "component": runs, "wanted": component("2.0.0"),
                "handled-count": 0, "failed-count": 0, "trapped-count": 0, "dead-count": 0, "sent-count": 0, "dropped-count": 0,
                "in-hand-count": 0, "rate-per-1000-s": 0, "last-error": "no luck", "last-error-ms": 5_000,
            });
            if !over.is_null() {
                processor["last-error-over-ms"] = over;
            }
            processor
        };
        let null = serde_json::Value::Null;
        let processors = [
            processor("a", component("1.0.0"), json!(6_000)),
            processor("b", component("2.0.0"), null.clone()),
            processor("c", null.clone(), null),
        ];
        let status: Status = serde_json::from_value(json!({
            "version": "0.1.0", "topicspace": "tg", "config-version": 7, "flows": [], "queues": [],
            "hosts": [{
                "age-ms": 4_000, "host": "h", "version": "0.1.0", "started-ms": 0, "time-ms": 8_000, "config-version": 7, "processors": processors,
                "report-problem": "2 entries of the report are omitted",
            }],
        }))
        .unwrap();
        let text = anstream::adapter::strip_str(&text("http://127.0.0.1:8088", &status, 120, 20)).to_string();
        for line in [
            "host h does not answer: its details are 4 s old",
            "host h: 2 entries of the report are omitted",
            "p (b), 7 s ago",
            "p (c), 7 s ago",
            "p (a), 7 s ago, resolved 6 s ago",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
        assert!(text.contains("p@1.0.0 -> p@2.0.0") && text.contains("none -> p@2.0.0"), "{text}");
        assert!(text.find("p (c), ").unwrap() < text.find("p (a), ").unwrap(), "what is over comes last");
    }

    #[test]
    fn with_many_rows_those_needing_attention_come_first_and_the_rest_is_counted() {
        let processor = |at: usize| {
            json!({
                "processor": "p", "variant": format!("flow-{at:03}"), "state": if at == 77 { "failing" } else { "running" },
                "handled-count": 0, "failed-count": 0, "trapped-count": 0, "dead-count": 0, "sent-count": 0, "dropped-count": 0,
                "in-hand-count": 0, "rate-per-1000-s": if at == 55 { 9_000 } else { 0 },
            })
        };
        let flow = |at: usize| {
            json!({
                "id": format!("flow-{at:03}"), "blueprint": "b", "description": "", "status": if at == 66 { "stopping" } else { "running" },
                "parameters": {}, "interfaces": {}, "processors": [],
            })
        };
        let queue = |at: usize| {
            json!({
                "topic": format!("flow:tg:in:{at:03}"), "subscription": "s", "flows": [], "depth-count": if at == 44 { 3 } else { 0 },
                "unsettled-count": 0, "size-bytes": 0, "consumer-count": 1, "dropped-count": 0,
            })
        };
        let all = |of: &dyn Fn(usize) -> serde_json::Value| (0..100).map(of).collect::<Vec<_>>();
        let status: Status = serde_json::from_value(json!({
            "version": "0.1.0", "topicspace": "tg", "config-version": 7, "flows": all(&flow), "queues": all(&queue),
            "hosts": [{"age-ms": 0, "host": "h", "version": "0.1.0", "started-ms": 0, "time-ms": 0, "config-version": 7, "processors": all(&processor)}],
        }))
        .unwrap();
        let shown = |rows_count: usize| anstream::adapter::strip_str(&text("http://127.0.0.1:8088", &status, 80, rows_count)).to_string();
        let few = shown(3);
        let rows: Vec<&str> = few.lines().map(|line| line.split("  ").next().unwrap()).collect();
        let expected = [
            "weir 0.1.0 at http://127.0.0.1:8088: 1 host, 100 flows, config version 7",
            "",
            "HOSTS",
            "host",
            "h",
            "",
            "FLOWS",
            "flow",
            "flow-066",
            "flow-000",
            "flow-001",
            "97 more: weir flow list",
            "",
            "PROCESSORS",
            "processor",
            "p",
            "p",
            "p",
            "97 more: weir status --all",
            "",
            "QUEUES",
            "topic",
            "flow:tg:in:044",
            "99 more are empty: weir queues",
        ];
        assert_eq!(rows, expected, "{few}");
        let variants: Vec<&str> =
            few.lines().filter(|line| line.starts_with("p ")).map(|line| line.split_whitespace().nth(1).unwrap()).collect();
        assert_eq!(variants, ["flow-077", "flow-055", "flow-000"]);
        assert_eq!(shown(usize::MAX).lines().filter(|line| line.contains("flow:tg:in:")).count(), 100);
    }
}
