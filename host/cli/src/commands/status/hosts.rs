//! The hosts in the status: their processes, reports, components, and swap progress.

use std::collections::BTreeMap;

use weir_config::records::{ComponentRef, ProcessorStatus};
use weir_gateway::protocol::{HostReport, Presence, Status};

use crate::output;

/// All hosts as a table; if there are many, those needing attention come first.
pub(super) fn table(status: &Status, width: usize, rows_count: usize) -> Option<String> {
    let mut all: Vec<&HostReport> = status.hosts.iter().collect();
    all.sort_by_key(|host| (rank(host, status), host.status.label().to_owned(), host.status.host.clone()));
    let left_count = all.split_off(all.len().min(rows_count)).len();
    let row = |host: &HostReport| {
        vec![
            host.status.label().to_owned(),
            host.status.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            host.status.version.clone(),
            reported(host),
            config(host, status).to_owned(),
            runs(host),
            swaps(host),
        ]
    };
    let rows: Vec<Vec<String>> = all.into_iter().map(row).collect();
    let headings = ["host", "process", "version", "reported", "config", "components", "pending swap"];
    let table = (!rows.is_empty()).then(|| output::fitted(&headings, &[1], rows, width))?;
    Some(if left_count == 0 { table } else { format!("{table}\n{left_count} more: weir status --all") })
}

/// Lower ranks need attention sooner.
fn rank(host: &HostReport, status: &Status) -> u8 {
    match host.presence {
        Presence::Silent => 0,
        Presence::Reporting if config(host, status) != CURRENT || swaps(host) != NONE => 1,
        Presence::Reporting => 2,
    }
}

fn reported(host: &HostReport) -> String {
    let age = output::age(host.heard_ms);
    match host.presence {
        Presence::Reporting => format!("{age} ago"),
        Presence::Silent => format!("silent for {age}"),
    }
}

const CURRENT: &str = "current";
const NONE: &str = "-";

/// Whether it has applied the newest configuration.
fn config(host: &HostReport, status: &Status) -> &'static str {
    match host.status.config_version {
        0 => "none",
        version if version < status.config_version => "behind",
        _ => CURRENT,
    }
}

/// The components that it runs, ordered by the number of variants that run them.
fn runs(host: &HostReport) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for component in host.processors.iter().filter_map(|status| status.component.as_ref()) {
        *counts.entry(component.key()).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let told = |(component, count): (String, usize)| if count == 1 { component } else { format!("{component} ({count})") };
    let told: Vec<String> = counts.into_iter().map(told).collect();
    if told.is_empty() { NONE.to_owned() } else { told.join(", ") }
}

/// The components that it is switching to.
fn swaps(host: &HostReport) -> String {
    let told = |status: &ProcessorStatus| {
        let wanted = status.wanted.as_ref()?;
        if status.component.as_ref() == Some(wanted) {
            return None;
        }
        let is_refused = status.refused.as_ref().is_some_and(|refused| refused.component == *wanted);
        let name = ComponentRef::key(wanted);
        Some(format!("{} ({}) {} {name}", status.processor, status.variant, if is_refused { "rejects" } else { "loads" }))
    };
    let told: Vec<String> = host.processors.iter().filter_map(told).collect();
    match told.as_slice() {
        [] => NONE.to_owned(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_host_is_shown_with_what_it_runs_and_loads() {
        let component = |version: &str| json!({"name": "p", "version": version, "digest": format!("sha256:{}", version[..1].repeat(64))});
        let processor = |variant: &str, runs: &str, wanted: &str| {
            let mut processor = json!({
                "processor": "p", "variant": variant, "state": "running", "component": component(runs), "wanted": component(wanted), "rate-per-1000-s": 0,
            });
            for counter in ["handled", "failed", "trapped", "dead", "sent", "dropped", "in-hand"] {
                processor[format!("{counter}-count")] = json!(0);
            }
            processor
        };
        let host = |name: &str, presence: &str, heard_ms: u64, config_version: u64, processors: Vec<serde_json::Value>| {
            json!({
                "age-ms": 0, "presence": presence, "heard-ms": heard_ms, "host": name, "name": name, "pid": 7, "version": "0.1.0", "started-ms": 0,
                "time-ms": 0, "config-version": config_version, "processors": processors,
            })
        };
        let hosts = [
            host("a", "reporting", 400, 7, vec![processor("one", "2.0.0", "2.0.0"), processor("two", "2.0.0", "2.0.0")]),
            host("b", "reporting", 1_400, 6, vec![processor("one", "1.0.0", "2.0.0")]),
            host("c", "silent", 31_000, 7, Vec::new()),
        ];
        let status: Status = serde_json::from_value(json!({
            "version": "0.1.0", "topicspace": "tg", "config-version": 7, "flows": [], "queues": [], "hosts": hosts,
        }))
        .unwrap();
        let shown = table(&status, 120, 20).unwrap();
        let lines: Vec<String> = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "host process version reported config components pending swap",
                "c 7 0.1.0 silent for 31 s current - -",
                "b 7 0.1.0 1 s ago behind p@1.0.0 p (one) loads p@2.0.0",
                "a 7 0.1.0 0 s ago current p@2.0.0 (2) -",
            ],
            "{shown}"
        );
        assert!(table(&status, 120, 1).unwrap().ends_with("2 more: weir status --all"));
    }
}
