//! Waits until hosts have applied a configuration value, and reports processors that cannot use it.

use std::time::Duration;

use tokio::time::Instant;
use weir_config::records::ProcessorStatus;
use weir_gateway::protocol::{HostReport, Presence, Status};

use crate::commands::{Session, status};
use crate::hosts::label;
use crate::problem::{Exit, Problem};

/// How often the hosts are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long to watch for errors of processors once hosts have the value: processors are set up again shortly after.
const ERROR_WATCH_TIME: Duration = Duration::from_millis(500);

/// Waits until all hosts have applied the current configuration, and returns their number. It is an error if a processor cannot use it; `before` are
/// the hosts' reports before the change.
pub(super) async fn for_hosts(session: &Session, time: Duration, before: &[HostReport]) -> Result<usize, Problem> {
    let end = Instant::now() + time;
    let mut ticks = tokio::time::interval(POLL_INTERVAL);
    let (mut wanted, mut heard_until) = (None, None);
    loop {
        ticks.tick().await;
        let Status { mut hosts, config_version, .. } = status::whole(session).await?;
        hosts.retain(|host| host.presence == Presence::Reporting);
        let wanted = *wanted.get_or_insert(config_version);
        let behind = hosts.iter().filter(|report| report.status.config_version < wanted);
        let behind: Vec<String> = behind.map(|report| label(report, &hosts)).collect();
        if behind.is_empty() && !hosts.is_empty() {
            if let Some(status) = new_error(before, &hosts) {
                return Err(refused(status));
            }
            if Instant::now() >= *heard_until.get_or_insert_with(|| Instant::now() + ERROR_WATCH_TIME) {
                return Ok(hosts.len());
            }
        } else if Instant::now() >= end {
            let who = if hosts.is_empty() { "no host has reported".to_owned() } else { format!("missing: {}", behind.join(", ")) };
            let what = format!("the value is stored, but not every host has applied it after {} s: {who}", time.as_secs());
            return Err(Problem::new(Exit::Unavailable, what).next("hosts keep trying; check weir status"));
        }
    }
}

fn refused(status: &ProcessorStatus) -> Problem {
    let problem = Problem::new(
        Exit::Failed,
        format!("the value is stored, but {} ({}) has reported an error since", status.processor, status.variant),
    );
    let problem = match &status.last_error {
        Some(error) => problem.because(anyhow::Error::msg(error.clone())),
        None => problem,
    };
    problem.next("if the error concerns the value, store a valid one: until then the processor keeps its previous configuration")
}

/// The first processor with a current error that began after the change, according to its host's own clock, which gives the time of the report from
/// before the change.
fn new_error<'h>(before: &[HostReport], now: &'h [HostReport]) -> Option<&'h ProcessorStatus> {
    let changed_ms = |report: &HostReport| {
        let old = before.iter().find(|old| old.status.host == report.status.host);
        // A new host has no older errors.
        old.map_or(0, |old| old.status.time_ms + old.age_ms)
    };
    let is_newer = |status: &ProcessorStatus, than_ms: u64| {
        status.last_error_over_ms.is_none() && status.last_error_ms.is_some_and(|at| at >= than_ms)
    };
    now.iter().find_map(|report| {
        let than_ms = changed_ms(report);
        report.processors.iter().find(|status| is_newer(status, than_ms))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    fn host(time_ms: u64, age_ms: u64, error_ms: Option<u64>, over_ms: Option<u64>) -> HostReport {
        let mut processor = json!({"processor": "p", "variant": "v", "state": "running", "rate-per-1000-s": 0});
        for counter in ["handled-count", "failed-count", "trapped-count", "dead-count", "sent-count", "dropped-count", "in-hand-count"] {
            processor[counter] = json!(0);
        }
        if let Some(at) = error_ms {
            (processor["last-error"], processor["last-error-ms"]) = (json!("no"), json!(at));
        }
        if let Some(at) = over_ms {
            processor["last-error-over-ms"] = json!(at);
        }
        let report = json!({
            "age-ms": age_ms, "host": "h", "version": "0", "started-ms": 0, "time-ms": time_ms, "config-version": 1, "processors": [processor],
        });
        serde_json::from_value(report).unwrap()
    }

    #[test]
    fn only_an_error_that_began_after_the_change_counts() {
        let complains = |before: HostReport, now: HostReport| new_error(&[before], &[now]).is_some();
        assert!(!complains(host(100, 0, None, None), host(200, 0, Some(99), None)), "it is older, and was reported later");
        assert!(complains(host(100, 0, Some(50), None), host(200, 0, Some(150), None)));
        assert!(!complains(host(100, 40, None, None), host(200, 0, Some(130), None)), "the report was 40 ms old at the change");
        assert!(!complains(host(100, 0, None, None), host(200, 0, Some(150), Some(160))), "it is over");
    }
}
