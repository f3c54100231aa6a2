//! Waiting until a value of the configuration is at work, and hearing who cannot use it.

use std::time::Duration;

use tokio::time::Instant;
use weir_config::records::ProcessorStatus;
use weir_gateway::protocol::{HostReport, Status};

use crate::commands::Session;
use crate::problem::{Exit, Problem};

/// How often the hosts are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long it is listened to what processors say of the value, once hosts have it: they report a tenth of a second after a change.
const HEAR_TIME: Duration = Duration::from_millis(500);

/// Waits until all hosts work by the configuration as it is now, and tells how many there are. That a processor cannot use it is an error;
/// `before` is what hosts said before the change.
pub(super) async fn for_hosts(session: &Session, time: Duration, before: &[HostReport]) -> Result<usize, Problem> {
    let end = Instant::now() + time;
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let (mut wanted, mut heard_until) = (None, None);
    loop {
        ticks.tick().await;
        let Status { hosts, config_version, .. } = session.client.get("/api/v1/weir/status").await?;
        let wanted = *wanted.get_or_insert(config_version);
        let behind: Vec<&str> =
            hosts.iter().filter(|report| report.status.config_version < wanted).map(|report| report.status.host.as_str()).collect();
        if behind.is_empty() && !hosts.is_empty() {
            if let Some(status) = complaint(before, &hosts) {
                return Err(refused(status));
            }
            if Instant::now() >= *heard_until.get_or_insert_with(|| Instant::now() + HEAR_TIME) {
                return Ok(hosts.len());
            }
        } else if Instant::now() >= end {
            let who = if hosts.is_empty() { "no host has reported".to_owned() } else { format!("still not {}", behind.join(", ")) };
            let what = format!("the value is stored, but after {} s not every host works by it: {who}", time.as_secs());
            return Err(Problem::new(Exit::Unavailable, what).next("hosts go on trying; look at: weir status"));
        }
    }
}

fn refused(status: &ProcessorStatus) -> Problem {
    let problem =
        Problem::new(Exit::Failed, format!("the value is stored, but {} ({}) has an error since", status.processor, status.variant));
    let problem = match &status.last_error {
        Some(error) => problem.because(anyhow::Error::msg(error.clone())),
        None => problem,
    };
    problem.next("if it is about the value, put one that can be used: until then the processor goes on with what it had")
}

/// The first processor that has an error which it did not have before.
fn complaint<'h>(before: &[HostReport], now: &'h [HostReport]) -> Option<&'h ProcessorStatus> {
    let before = |host: &str, status: &ProcessorStatus| {
        let report = before.iter().find(|report| report.status.host == host)?;
        let same = |old: &&ProcessorStatus| old.processor == status.processor && old.variant == status.variant;
        report.status.processors.iter().find(same)?.last_error_ms
    };
    let all = now.iter().flat_map(|report| report.status.processors.iter().map(|status| (report.status.host.as_str(), status)));
    all.into_iter().find(|(host, status)| status.last_error_ms > before(host, status)).map(|(_, status)| status)
}
