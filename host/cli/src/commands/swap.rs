//! `weir swap`: another component for a processor of a running flow, while messages flow.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use weir_config::records::{ProcessorState, ProcessorStatus, Refusal};
use weir_flow::protocol::Swapped;
use weir_gateway::protocol::{HostReport, Status};

use super::Session;
use crate::args::Swap;
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};
use crate::progress::{Counter, during};

/// How often hosts are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Deserialize)]
struct Answer {
    swapped: Swapped,
}

/// Runs the command.
pub(crate) async fn run(session: &Session, swap: Swap) -> Result<()> {
    let (swapped, waited) = perform(session, &swap).await?;
    if session.format == Format::Json {
        let Swapped { processor, variant, component, previous, unchanged, sharers } = &swapped;
        let hosts = waited.map(|hosts| hosts.into_iter().collect::<Vec<_>>());
        return Ok(output::json(&json!({
            "flow": swap.flow, "processor": processor, "variant": variant, "component": component, "previous": previous,
            "unchanged": unchanged, "sharers": sharers, "hosts": hosts,
        }))?);
    }
    Ok(show(&swapped, waited.as_ref())?)
}

/// Swaps, and waits if that is asked for; then the hosts that run the component.
pub(crate) async fn perform(session: &Session, swap: &Swap) -> Result<(Swapped, Option<BTreeSet<String>>)> {
    let before: Status = session.client.get("/api/v1/weir/status").await?;
    let request = json!({
        "operation": "swap", "flow-id": swap.flow, "processor": swap.processor, "component": swap.component, "shared": swap.shared,
    });
    let Answer { swapped } = serde_json::from_value(session.client.ask_flow(&request).await?)?;
    if !swap.wait {
        return Ok((swapped, None));
    }
    let what = format!("waiting for {} to run as {}", swapped.component.key(), swap.processor);
    let hosts = during(session.format, &what, &Counter::default(), wait(session, swap, &swapped, &before.hosts)).await?;
    Ok((swapped, Some(hosts)))
}

/// Shows people what a swap did.
pub(crate) fn show(swapped: &Swapped, waited: Option<&BTreeSet<String>>) -> std::io::Result<()> {
    let Swapped { processor, variant, component, previous, unchanged, sharers } = swapped;
    let new = component.key();
    match (unchanged, previous) {
        (true, _) => output::line(&format!("{processor} ({variant}) has {new} already"))?,
        (false, Some(old)) => output::line(&format!("{processor} ({variant}) is swapped from {} to {new}", old.key()))?,
        (false, None) => output::line(&format!("{processor} ({variant}) is given {new}; it had no component"))?,
    }
    if !sharers.is_empty() {
        output::line(&format!("  also in flows {}", sharers.join(", ")))?;
    }
    match waited {
        Some(hosts) if hosts.len() == 1 => output::line("  it runs"),
        Some(hosts) => output::line(&format!("  it runs on {} hosts", hosts.len())),
        None if *unchanged => Ok(()),
        None => output::line("  hosts go over to it when they have it ready; --wait waits for that, `weir status` shows it"),
    }
}

/// Waits until all hosts that have the processor run the component, and tells their ids.
async fn wait(session: &Session, swap: &Swap, swapped: &Swapped, before: &[HostReport]) -> Result<BTreeSet<String>, Problem> {
    let end = Instant::now() + swap.timeout;
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        let Status { hosts, .. } = session.client.get("/api/v1/weir/status").await?;
        match progress(swapped, before, &hosts) {
            Progress::Done(hosts) => return Ok(hosts),
            Progress::Refused { host, refusal } => return Err(refused(&swap.flow, swapped, &host, &refusal)),
            Progress::Broken { host, problem } => return Err(broken(swapped, &host, problem)),
            Progress::Waiting(_) if Instant::now() < end => {}
            Progress::Waiting(why) => {
                let what = format!("{} does not run yet after {} s: {why}", swapped.component.key(), swap.timeout.as_secs());
                return Err(Problem::new(Exit::Unavailable, what).next("the swap stands, and hosts go on trying; look at: weir status"));
            }
        }
    }
}

fn refused(flow: &str, swapped: &Swapped, host: &str, refusal: &Refusal) -> Problem {
    let new = swapped.component.key();
    let Swapped { processor, variant, .. } = swapped;
    let (goes_on, next) = match (&swapped.previous, refusal.permanent) {
        (Some(old), true) => {
            let next = "the swap is undone: correct the component or its deployment, deploy it, and swap again".to_owned();
            (format!(": {} goes on", old.key()), next)
        }
        (Some(old), false) => {
            let next = format!("the host goes on trying; to give up: weir swap {flow} {processor} {}", old.key());
            (format!(": {} goes on", old.key()), next)
        }
        (None, _) => (String::new(), "deploy a component that fits, and swap again".to_owned()),
    };
    let problem = Problem::new(Exit::Failed, format!("{new} does not take over {processor} ({variant}) on host {host}{goes_on}"));
    problem.because(anyhow::Error::msg(refusal.problem.clone())).next(next)
}

fn broken(swapped: &Swapped, host: &str, problem: String) -> Problem {
    let Swapped { processor, variant, component, .. } = swapped;
    Problem::new(Exit::Failed, format!("{} cannot run as {processor} ({variant}) on host {host}", component.key()))
        .because(anyhow::Error::msg(problem))
        .next("the swap stands; fix the cause, or swap to another component")
}

/// How far a swap has come.
#[derive(Debug, PartialEq)]
enum Progress {
    /// All of these hosts run it.
    Done(BTreeSet<String>),
    /// A host cannot run it.
    Refused { host: String, refusal: Refusal },
    /// A host has it and cannot take messages with it, for a reason that was there before the swap or that waiting does not change.
    Broken { host: String, problem: String },
    /// Not yet, and why, for people.
    Waiting(String),
}

/// Decides by what hosts said before the swap and what they say now: a refusal of before says nothing about this swap.
fn progress(swapped: &Swapped, before: &[HostReport], now: &[HostReport]) -> Progress {
    let mut run = BTreeSet::new();
    let mut waiting = None;
    for report in now {
        let Some(status) = of_host(report, swapped) else { continue };
        let host = &report.status.host;
        if status.component.as_ref() == Some(&swapped.component) && status.state == ProcessorState::Running {
            run.insert(host.clone());
            continue;
        }
        let old = before.iter().find(|old| old.status.host == *host).and_then(|old| of_host(old, swapped));
        // The host forgets what it said of a component when an entry names it: what it says then is of this swap, or known already.
        let has_seen_it = status.wanted.as_ref() == Some(&swapped.component);
        match &status.refused {
            Some(refusal)
                if refusal.component == swapped.component && (has_seen_it || old.and_then(|old| old.refused.as_ref()) != Some(refusal)) =>
            {
                return Progress::Refused { host: host.clone(), refusal: refusal.clone() };
            }
            _ => {}
        }
        let error = status.last_error.as_ref().filter(|_| status.last_error_over_ms.is_none());
        let is_known = old.is_some_and(|old| (old.state, old.last_error_ms) == (status.state, status.last_error_ms));
        match (status.state, error) {
            (ProcessorState::Broken, error) if has_seen_it => {
                let problem = error.cloned().unwrap_or_else(|| "it gives no reason".to_owned());
                return Progress::Broken { host: host.clone(), problem };
            }
            (ProcessorState::Failing, Some(error)) if has_seen_it && is_known => {
                return Progress::Broken { host: host.clone(), problem: error.clone() };
            }
            (ProcessorState::Failing, Some(error)) if has_seen_it => waiting = Some(format!("host {host} has it, but {error}")),
            _ => waiting = Some(format!("host {host} is loading it")),
        }
    }
    match waiting {
        Some(why) => Progress::Waiting(why),
        None if run.is_empty() => Progress::Waiting("no host has this processor".to_owned()),
        None => Progress::Done(run),
    }
}

fn of_host<'r>(report: &'r HostReport, swapped: &Swapped) -> Option<&'r ProcessorStatus> {
    report.processors.iter().find(|status| status.processor == swapped.processor && status.variant == swapped.variant)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::Value;

    fn component(version: &str) -> Value {
        json!({"name": "p", "version": version, "digest": format!("sha256:{}", version.chars().next().unwrap().to_string().repeat(64))})
    }

    fn host(name: &str, runs: &str, refused: Value) -> HostReport {
        let mut processor = json!({"processor": "p", "variant": "v", "state": "running", "component": component(runs)});
        for counter in ["handled-count", "failed-count", "trapped-count", "dead-count", "sent-count", "dropped-count", "in-hand-count"] {
            processor[counter] = json!(0);
        }
        processor["rate-per-1000-s"] = json!(0);
        if !refused.is_null() {
            processor["refused"] = refused;
        }
        let report = json!({
            "age-ms": 0, "host": name, "version": "0", "started-ms": 0, "time-ms": 0, "config-version": 1, "processors": [processor],
        });
        serde_json::from_value(report).unwrap()
    }

    fn refusal(time_ms: u64) -> Value {
        json!({"component": component("2.0.0"), "problem": "no", "permanent": true, "time-ms": time_ms})
    }

    #[test]
    fn a_swap_is_done_when_all_hosts_run_it_and_has_failed_when_one_newly_refuses() {
        let swapped: Swapped = serde_json::from_value(
            json!({"processor": "p", "variant": "v", "component": component("2.0.0"), "previous": component("1.0.0")}),
        )
        .unwrap();
        let old = || host("a", "1.0.0", Value::Null);
        let check = |before: &[HostReport], now: &[HostReport]| progress(&swapped, before, now);
        assert!(matches!(check(&[], &[]), Progress::Waiting(why) if why.contains("no host")));
        assert!(matches!(check(&[old()], &[old()]), Progress::Waiting(why) if why.contains("host a")));
        let new = host("b", "2.0.0", Value::Null);
        assert!(matches!(check(&[old()], &[old(), new.clone()]), Progress::Waiting(_)));
        assert_eq!(check(&[old()], std::slice::from_ref(&new)), Progress::Done(BTreeSet::from(["b".to_owned()])));
        let refused = host("a", "1.0.0", refusal(1));
        assert!(matches!(check(&[old()], &[new, refused.clone()]), Progress::Refused { host, .. } if host == "a"));
        let before = [refused.clone()];
        assert!(matches!(check(&before, &[refused]), Progress::Waiting(_)), "it was refused before this swap");
        assert!(matches!(check(&before, &[host("a", "1.0.0", refusal(2))]), Progress::Refused { .. }), "and is refused again");
    }

    #[test]
    fn what_is_known_to_be_broken_is_not_waited_for() {
        let swapped: Swapped = serde_json::from_value(
            json!({"processor": "p", "variant": "v", "component": component("2.0.0"), "previous": component("1.0.0"), "unchanged": true}),
        )
        .unwrap();
        let as_wanted = |state: ProcessorState, refused: Value, wanted: &str| {
            let mut report = host("a", "1.0.0", refused);
            let status = &mut report.processors[0];
            status.wanted = serde_json::from_value(component(wanted)).unwrap();
            (status.state, status.last_error, status.last_error_ms) = (state, Some("no queue".to_owned()), Some(1));
            report
        };
        let check = |report: HostReport| progress(&swapped, std::slice::from_ref(&report), std::slice::from_ref(&report));
        assert!(matches!(check(as_wanted(ProcessorState::Running, refusal(1), "2.0.0")), Progress::Refused { .. }));
        assert!(
            matches!(check(as_wanted(ProcessorState::Broken, Value::Null, "2.0.0")), Progress::Broken { problem, .. } if problem == "no queue")
        );
        assert!(matches!(check(as_wanted(ProcessorState::Failing, Value::Null, "2.0.0")), Progress::Broken { .. }));
        assert!(matches!(check(as_wanted(ProcessorState::Broken, Value::Null, "1.0.0")), Progress::Waiting(_)), "it has not seen the swap");
        let before = as_wanted(ProcessorState::Running, Value::Null, "2.0.0");
        let now = as_wanted(ProcessorState::Failing, Value::Null, "2.0.0");
        assert!(matches!(progress(&swapped, &[before], &[now]), Progress::Waiting(why) if why.contains("no queue")));
    }
}
