//! `weir swap`: replaces the component of a processor in a running flow.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use weir_config::records::{ProcessorState, ProcessorStatus, Refusal};
use weir_flow::protocol::Swapped;
use weir_gateway::protocol::{HostReport, Status};

use super::{Session, status};
use crate::args::Swap;
use crate::hosts::{label, reporting};
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};
use crate::progress::{Counter, during};

/// How often hosts are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long to tolerate a refusal that may be temporary, for example if a component cannot be fetched at the moment.
const PASSING: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct SwapResponse {
    swapped: Swapped,
}

/// Runs the command.
pub(crate) async fn run(session: &Session, swap: Swap) -> Result<()> {
    let (swapped, waited) = perform(session, &swap).await?;
    if session.format == Format::Json {
        let Swapped { processor, variant, component, previous, unchanged, sharers } = &swapped;
        let (hosts, gone) = waited.map_or((None, None), |SwapOutcome { run, gone }| (Some(run), Some(gone)));
        return Ok(output::json(&json!({
            "flow": swap.flow, "processor": processor, "variant": variant, "component": component, "previous": previous,
            "unchanged": unchanged, "sharers": sharers, "hosts": hosts, "gone-hosts": gone,
        }))?);
    }
    Ok(show(&swapped, waited.as_ref())?)
}

/// Swaps, and waits if requested.
pub(crate) async fn perform(session: &Session, swap: &Swap) -> Result<(Swapped, Option<SwapOutcome>)> {
    let begun = begin(session, swap, KeepPrevious::Previous).await?;
    let waited = if swap.wait { Some(begun.finish(session, swap).await?) } else { None };
    Ok((begun.swapped, waited))
}

/// A swap that is in the configuration, but may not be applied by hosts yet.
pub(crate) struct StartedSwap {
    /// What it did.
    pub(crate) swapped: Swapped,
    /// The hosts' reports before it.
    before: Vec<HostReport>,
}

/// What the entry of a swap keeps for a rollback if hosts reject the new component permanently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeepPrevious {
    /// The previous component.
    Previous,
    /// Nothing: the previous component can be removed.
    Nothing,
}

/// Swaps, without waiting.
pub(crate) async fn begin(session: &Session, swap: &Swap, keeps: KeepPrevious) -> Result<StartedSwap> {
    let before = status::whole(session).await?.hosts;
    let request = json!({
        "operation": "swap", "flow-id": swap.flow, "processor": swap.processor, "component": swap.component, "shared": swap.shared,
        "forget": keeps == KeepPrevious::Nothing,
    });
    let SwapResponse { swapped } = serde_json::from_value(session.client.ask_flow(&request).await?)?;
    Ok(StartedSwap { swapped, before })
}

impl StartedSwap {
    /// Waits until all hosts that serve the processor run the component.
    pub(crate) async fn finish(&self, session: &Session, swap: &Swap) -> Result<SwapOutcome, Problem> {
        let what = format!("waiting for {} to run as {}", self.swapped.component.key(), swap.processor);
        during(session.format, &what, &Counter::default(), wait(session, swap, &self.swapped, &self.before)).await
    }
}

/// The components that the entry of a swap names now, according to all hosts that have it.
pub(crate) async fn named(session: &Session, swapped: &Swapped) -> Result<BTreeSet<String>> {
    let hosts = status::whole(session).await?.hosts;
    let of_hosts = reporting(&hosts).filter_map(|report| of_host(report, swapped));
    Ok(of_hosts.filter_map(|status| status.wanted.as_ref().or(status.component.as_ref())).map(|component| component.key()).collect())
}

/// Shows people what a swap did.
pub(crate) fn show(swapped: &Swapped, waited: Option<&SwapOutcome>) -> std::io::Result<()> {
    let Swapped { processor, variant, component, previous, unchanged, sharers } = swapped;
    let new = component.key();
    match (unchanged, previous) {
        (true, _) => output::line(&format!("{processor} ({variant}) already has {new}"))?,
        (false, Some(old)) => output::line(&format!("{processor} ({variant}) swapped from {} to {new}", old.key()))?,
        (false, None) => output::line(&format!("{processor} ({variant}) set to {new}; it had no component"))?,
    }
    if !sharers.is_empty() {
        output::line(&format!("  also in flows {}", sharers.join(", ")))?;
    }
    match waited {
        Some(SwapOutcome { run, gone }) => {
            for host in gone {
                output::line(&format!("  host {host} stopped during the swap and was not waited for"))?;
            }
            match run.len() {
                1 => output::line("  it is running"),
                count => output::line(&format!("  it is running on {count} hosts")),
            }
        }
        None if *unchanged => Ok(()),
        None => output::line("  hosts switch once it is loaded; add --wait to wait for that, or check `weir status`"),
    }
}

/// The outcome of waiting for a swap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SwapOutcome {
    /// The hosts that run the component.
    pub(crate) run: BTreeSet<String>,
    /// The hosts that ran the processor at the swap and have stopped, or become silent, since.
    pub(crate) gone: BTreeSet<String>,
}

/// Waits until all hosts that serve the processor run the component.
async fn wait(session: &Session, swap: &Swap, swapped: &Swapped, before: &[HostReport]) -> Result<SwapOutcome, Problem> {
    let end = Instant::now() + swap.timeout;
    let mut ticks = tokio::time::interval(POLL_INTERVAL);
    let (mut of_swap, mut refused_since) = (None, None);
    loop {
        ticks.tick().await;
        let why = match status::whole(session).await {
            // It may be reachable again before the time-out.
            Err(problem) if problem.exit == Exit::Unavailable => problem.to_string(),
            Err(problem) => return Err(problem),
            Ok(Status { hosts, config_version, .. }) => {
                // The first version seen after the swap includes it.
                let config_version = *of_swap.get_or_insert(config_version);
                let progress = progress(swapped, config_version, before, &hosts);
                if !matches!(progress, Progress::Refused { .. }) {
                    refused_since = None;
                }
                match progress {
                    Progress::Done(waited) => return Ok(waited),
                    Progress::Refused { host, refusal, previous_runs } => {
                        let since = *refused_since.get_or_insert_with(Instant::now);
                        if refusal.permanent || since.elapsed() >= PASSING {
                            return Err(refused(&swap.flow, swapped, &host, &refusal, previous_runs));
                        }
                        format!("host {host} does not accept it: {}", refusal.problem)
                    }
                    Progress::Broken { host, problem } => return Err(broken(swapped, &host, problem)),
                    Progress::Waiting(why) => why,
                }
            }
        };
        if Instant::now() >= end {
            let what = format!("{} is not running yet after {} s: {why}", swapped.component.key(), swap.timeout.as_secs());
            return Err(Problem::new(Exit::Unavailable, what).next("the swap stays in effect, and hosts keep trying; check weir status"));
        }
    }
}

fn refused(flow: &str, swapped: &Swapped, host: &str, refusal: &Refusal, previous_runs: bool) -> Problem {
    let new = swapped.component.key();
    let Swapped { processor, variant, .. } = swapped;
    let continues = match &swapped.previous {
        Some(old) if previous_runs => format!(": {} continues", old.key()),
        _ => String::new(),
    };
    let next = match (&swapped.previous, refusal.permanent) {
        (Some(_), true) => "the swap was reverted: correct the component or its deployment, deploy it, and swap again".to_owned(),
        (Some(old), false) => format!("the host keeps trying; to revert: weir swap {flow} {processor} {}", old.key()),
        (None, _) => "deploy a component that fits, and swap again".to_owned(),
    };
    let problem = Problem::new(Exit::Failed, format!("{new} cannot replace {processor} ({variant}) on host {host}{continues}"));
    problem.because(anyhow::Error::msg(refusal.problem.clone())).next(next)
}

fn broken(swapped: &Swapped, host: &str, problem: String) -> Problem {
    let Swapped { processor, variant, component, .. } = swapped;
    Problem::new(Exit::Failed, format!("{} cannot run as {processor} ({variant}) on host {host}", component.key()))
        .because(anyhow::Error::msg(problem))
        .next("the swap stays in effect; fix the cause, or swap to another component")
}

/// The progress of a swap. Hosts are named by their labels.
#[derive(Debug, PartialEq)]
enum Progress {
    /// All hosts that serve the processor run it.
    Done(SwapOutcome),
    /// A host cannot run it, and whether that host still handles messages with the previous component.
    Refused { host: String, refusal: Refusal, previous_runs: bool },
    /// A host has it but cannot handle messages with it, for a reason that existed before the swap or that waiting does not change.
    Broken { host: String, problem: String },
    /// Not yet, and why, for people.
    Waiting(String),
}

/// Determines the progress from the hosts' reports before the swap and now, and a configuration version that includes the swap.
fn progress(swapped: &Swapped, config_version: u64, before: &[HostReport], now: &[HostReport]) -> Progress {
    let (mut waited, mut waiting) = (SwapOutcome::default(), None);
    for report in reporting(now) {
        let host = label(report, now);
        match of_one(swapped, config_version, before, report) {
            HostProgress::Other => {}
            HostProgress::Runs => {
                waited.run.insert(host);
            }
            HostProgress::Waiting(why) => waiting = Some(format!("host {host} {why}")),
            HostProgress::Refused { refusal, previous_runs } => return Progress::Refused { host, refusal, previous_runs },
            HostProgress::Broken(problem) => return Progress::Broken { host, problem },
        }
    }
    let is_there = |old: &HostReport| reporting(now).any(|report| report.status.host == old.status.host);
    let gone = reporting(before).filter(|old| of_host(old, swapped).is_some() && !is_there(old));
    waited.gone = gone.map(|old| label(old, before)).collect();
    match waiting {
        Some(why) => Progress::Waiting(why),
        None if waited.run.is_empty() => Progress::Waiting("no host runs this processor".to_owned()),
        None => Progress::Done(waited),
    }
}

/// The progress of a swap in one host.
enum HostProgress {
    /// The host is not affected.
    Other,
    Runs,
    /// Why not yet, for people: what the host is doing.
    Waiting(String),
    Refused {
        refusal: Refusal,
        previous_runs: bool,
    },
    Broken(String),
}

/// A refusal from before the swap does not concern this swap.
fn of_one(swapped: &Swapped, config_version: u64, before: &[HostReport], report: &HostReport) -> HostProgress {
    let Some(status) = of_host(report, swapped) else {
        let may_serve = report.serves.as_ref().is_none_or(|names| names.contains(&swapped.processor));
        return match report.status.config_version < config_version && may_serve {
            true => HostProgress::Waiting("has not read the configuration yet".to_owned()),
            false => HostProgress::Other,
        };
    };
    if status.component.as_ref() == Some(&swapped.component) && status.state == ProcessorState::Running {
        return HostProgress::Runs;
    }
    let old = before.iter().find(|old| old.status.host == report.status.host).and_then(|old| of_host(old, swapped));
    // A host clears its refusal of a component when an entry names it: a later refusal is about this swap, or was already known.
    let has_seen_it = status.wanted.as_ref() == Some(&swapped.component);
    match &status.refused {
        Some(refusal)
            if refusal.component == swapped.component && (has_seen_it || old.and_then(|old| old.refused.as_ref()) != Some(refusal)) =>
        {
            let previous_runs =
                swapped.previous.is_some() && status.component == swapped.previous && status.state == ProcessorState::Running;
            return HostProgress::Refused { refusal: refusal.clone(), previous_runs };
        }
        _ => {}
    }
    let error = status.last_error.as_ref().filter(|_| status.last_error_over_ms.is_none());
    let is_known = old.is_some_and(|old| (old.state, old.last_error_ms) == (status.state, status.last_error_ms));
    match (status.state, error) {
        (ProcessorState::Broken, error) if has_seen_it => {
            HostProgress::Broken(error.cloned().unwrap_or_else(|| "no reason given".to_owned()))
        }
        (ProcessorState::Failing, Some(error)) if has_seen_it && is_known => HostProgress::Broken(error.clone()),
        (ProcessorState::Failing, Some(error)) if has_seen_it => HostProgress::Waiting(format!("has it, but {error}")),
        _ => HostProgress::Waiting("is loading it".to_owned()),
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
    use weir_gateway::protocol::Presence;

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

    fn run(run: &[&str], gone: &[&str]) -> Progress {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Progress::Done(SwapOutcome { run: set(run), gone: set(gone) })
    }

    #[test]
    fn every_reporting_host_is_awaited_except_one_that_is_gone() {
        let swapped: Swapped = serde_json::from_value(
            json!({"processor": "p", "variant": "v", "component": component("2.0.0"), "previous": component("1.0.0")}),
        )
        .unwrap();
        let (old, new) = (|name: &str| host(name, "1.0.0", Value::Null), |name: &str| host(name, "2.0.0", Value::Null));
        let check = |before: &[HostReport], now: &[HostReport]| progress(&swapped, 1, before, now);
        let three = [old("a"), old("b"), old("c")];
        assert!(matches!(check(&three, &[new("a"), new("b"), old("c")]), Progress::Waiting(why) if why == "host c is loading it"));
        let silent = HostReport { presence: Presence::Silent, ..old("c") };
        assert_eq!(check(&three, &[new("a"), new("b"), silent.clone()]), run(&["a", "b"], &["c"]), "it has been silent");
        assert_eq!(check(&three, &[new("a"), new("b")]), run(&["a", "b"], &["c"]), "it has stopped");
        assert!(matches!(check(&three, &[]), Progress::Waiting(why) if why == "no host runs this processor"));
        assert_eq!(check(&[old("a"), silent], &[new("a")]), run(&["a"], &[]), "it was gone before");
        let mut late = HostReport { processors: Vec::new(), ..old("d") };
        late.status.config_version = 0;
        let check = |late: &HostReport| check(&[old("a")], &[new("a"), late.clone()]);
        assert!(matches!(check(&late), Progress::Waiting(why) if why.contains("host d has not read the configuration yet")));
        late.serves = Some(vec!["other".to_owned()]);
        assert_eq!(check(&late), run(&["a"], &[]), "it serves others");
    }

    #[test]
    fn a_swap_succeeds_when_all_hosts_run_it_and_fails_on_a_new_refusal() {
        let swapped: Swapped = serde_json::from_value(
            json!({"processor": "p", "variant": "v", "component": component("2.0.0"), "previous": component("1.0.0")}),
        )
        .unwrap();
        let old = || host("a", "1.0.0", Value::Null);
        let check = |before: &[HostReport], now: &[HostReport]| progress(&swapped, 1, before, now);
        assert!(matches!(check(&[], &[]), Progress::Waiting(why) if why.contains("no host")));
        assert!(matches!(check(&[old()], &[old()]), Progress::Waiting(why) if why.contains("host a")));
        let new = host("b", "2.0.0", Value::Null);
        assert!(matches!(check(&[old()], &[old(), new.clone()]), Progress::Waiting(_)));
        assert_eq!(check(&[old()], std::slice::from_ref(&new)), run(&["b"], &["a"]));
        assert_eq!(check(&[], std::slice::from_ref(&new)), run(&["b"], &[]));
        let refused = host("a", "1.0.0", refusal(1));
        assert!(matches!(check(&[old()], &[new, refused.clone()]), Progress::Refused { host, previous_runs: true, .. } if host == "a"));
        let mut stands = refused.clone();
        stands.processors[0].state = ProcessorState::Broken;
        assert!(matches!(check(&[old()], &[stands]), Progress::Refused { previous_runs: false, .. }), "nothing runs there");
        let before = [refused.clone()];
        assert!(matches!(check(&before, &[refused]), Progress::Waiting(_)), "it was refused before this swap");
        assert!(matches!(check(&before, &[host("a", "1.0.0", refusal(2))]), Progress::Refused { .. }), "and is refused again");
    }

    #[test]
    fn a_known_broken_entry_is_not_awaited() {
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
        let check = |report: HostReport| progress(&swapped, 1, std::slice::from_ref(&report), std::slice::from_ref(&report));
        assert!(matches!(check(as_wanted(ProcessorState::Running, refusal(1), "2.0.0")), Progress::Refused { .. }));
        assert!(
            matches!(check(as_wanted(ProcessorState::Broken, Value::Null, "2.0.0")), Progress::Broken { problem, .. } if problem == "no queue")
        );
        assert!(matches!(check(as_wanted(ProcessorState::Failing, Value::Null, "2.0.0")), Progress::Broken { .. }));
        assert!(matches!(check(as_wanted(ProcessorState::Broken, Value::Null, "1.0.0")), Progress::Waiting(_)), "it has not seen the swap");
        let before = as_wanted(ProcessorState::Running, Value::Null, "2.0.0");
        let now = as_wanted(ProcessorState::Failing, Value::Null, "2.0.0");
        assert!(matches!(progress(&swapped, 1, &[before], &[now]), Progress::Waiting(why) if why.contains("no queue")));
    }
}
