//! Checks a running Weir; if none runs, whether one could be started.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use weir_config::protocol::Usage;
use weir_config::records::{ProcessorState, ProcessorStatus};
use weir_gateway::protocol::{FlowSummary, HostReport, MissingService, QueueSummary, ServiceName, Status};
use weir_pubsub::chain;

use super::finding::{Finding, Grade, fail, ok, skip, some, warn};
use super::folder::State;
use super::{components, disk, hosts, orphans, queues, readers, unowned};
use crate::args;
use crate::client::{Client, data_option};
use crate::folder::read_note;
use crate::holder::Holder;
use crate::hosts::{label, reporting};
use crate::output::{cut, size};
use crate::problem::Problem;
use crate::settings::Settings;

/// How long something that was just started may take to report.
const REPORTING: Duration = Duration::from_secs(6);
const POLL_INTERVAL: Duration = Duration::from_millis(300);
/// Maximum number of characters of a processor's problem shown: its cause comes last, after the digests that it names.
const PROBLEM_COUNT: usize = 600;

/// All checks that need a gateway.
pub(super) async fn check(data: &Path, reach: &args::Reach, state: &State, settings: &Settings, command: &args::Doctor) -> Vec<Finding> {
    let client = match Client::find(reach, data) {
        Ok(client) => client,
        Err(problem) => {
            return vec![unnoted(data, reach, state, settings, &problem)];
        }
    };
    let gateway = reach.gateway.as_deref();
    let readiness_problem = match client.readiness_problem().await {
        Ok(readiness_problem) => readiness_problem,
        Err(problem) => {
            let up = format!("start it: weir up{}", data_option(data));
            let next = match state {
                _ if gateway.is_some() => problem.next_step().unwrap_or("check the address, and the token if it requires one").to_owned(),
                State::Free => up,
                State::Used(_) => "check the output of `weir up`".to_owned(),
            };
            return vec![fail("gateway", chain(&problem), next)];
        }
    };
    let (status, readiness_problem) = settled(&client, readiness_problem).await;
    let mut findings = vec![readiness(&client, readiness_problem)];
    match status {
        Ok(status) => {
            findings.extend(of_status(&status, settings));
            // Does not send requests to a missing service: each would wait for the time-out.
            if status.missing.is_empty() {
                let unowned: Vec<QueueSummary> = status.queues.iter().filter(|queue| queue.is_unowned).cloned().collect();
                findings.extend(orphans::check(&client, &unowned, settings, command).await);
                // On a shared broker, queues do not indicate anything about the configuration.
                if !settings.broker.kind().is_shared {
                    findings.extend(unowned::check_configuration(&client, &status).await);
                }
                findings.extend(components::check(&client).await);
            } else {
                findings.push(orphans::not_checked(command));
            }
            // The queues of an external broker are not on this disk.
            findings.extend((!settings.broker.kind().is_shared).then(|| log(data, gateway, settings, &status.queues)));
        }
        Err(problem) => findings.push(fail("status", chain(&problem), "check the log of `weir up`")),
    }
    findings
}

/// What it means if no gateway is recorded in the data folder.
fn unnoted(data: &Path, reach: &args::Reach, state: &State, settings: &Settings, problem: &Problem) -> Finding {
    if reach.gateway.is_some() {
        let next = problem.next_step().unwrap_or("check the address that --gateway or WEIR_GATEWAY names");
        return fail("gateway", chain(problem), next);
    }
    let State::Used(holder) = state else { return port(data, settings) };
    match holder.as_ref().and_then(Holder::without_gateway) {
        Some(role) => skip(
            "gateway",
            format!("not checked: {} is the data folder of {role}, which has no gateway", data.display()),
            "give the gateway that belongs to it: weir doctor --gateway URL",
        ),
        None => fail(
            "gateway",
            chain(problem),
            "it may be starting or stopping: wait a moment; if the disk was full, its address could not be recorded: add --gateway URL as \
                 printed by `weir up`",
        ),
    }
}

/// The log is read from the data folder. An explicitly given gateway may use another folder or machine.
fn log(data: &Path, gateway: Option<&str>, settings: &Settings, queues: &[QueueSummary]) -> Finding {
    let noted = || read_note(data).ok().flatten().map(|note| note.url);
    match gateway.map(|url| url.trim_end_matches('/')) {
        Some(url) if noted().as_deref() != Some(url) => skip(
            "log",
            format!("not checked: it can only be read in the data folder of {url}; {} is another folder", data.display()),
            "run this on the machine of that Weir with its data folder: weir doctor --data DIR",
        ),
        _ => disk::check_log(data, settings, queues),
    }
}

/// Whether the gateway is ready.
fn readiness(client: &Client, readiness_problem: Option<String>) -> Finding {
    const CHECK: &str = "gateway";
    match readiness_problem {
        None => ok(CHECK, format!("{} answers, and so do the services behind it", client.url())),
        Some(reason) => fail(
            CHECK,
            format!("{} is not ready: {reason}", client.url()),
            "the checks below show how to fix it; the gateway then recovers without a restart",
        ),
    }
}

/// The status, and why the gateway is not ready if it is not, once everything that was just started has had time to report: a gateway receives the
/// first report of a host some seconds after both were started.
async fn settled(client: &Client, mut readiness_problem: Option<String>) -> (Result<Status, Problem>, Option<String>) {
    let end = Instant::now() + REPORTING;
    let mut ticks = tokio::time::interval(POLL_INTERVAL);
    loop {
        ticks.tick().await;
        let answer: Result<Status, Problem> = client.get("/api/v1/weir/status").await;
        if let (Some(reason), Ok(_)) = (&readiness_problem, &answer) {
            readiness_problem = client.readiness_problem().await.unwrap_or_else(|_| Some(reason.clone()));
        }
        // While the broker fails, waiting for reports is pointless.
        let is_done = match &answer {
            Ok(status) => status.broker_problem.is_some() || (is_settled(status) && readiness_problem.is_none()),
            Err(_) => true,
        };
        if is_done || Instant::now() >= end {
            return (answer, readiness_problem);
        }
    }
}

/// Whether everything that was just started has reported and is working: a host's first report may precede its first configuration.
fn is_settled(status: &Status) -> bool {
    status.missing.is_empty()
        && hosts::check(status).iter().all(|finding| finding.grade != Grade::Fail)
        && flows(&status.flows, &status.hosts).grade == Grade::Ok
        && readers::check(status).grade != Grade::Fail
}

/// Whether the gateway's address is free.
fn port(data: &Path, settings: &Settings) -> Finding {
    const CHECK: &str = "port";
    match TcpListener::bind(settings.listen) {
        Ok(_) => ok(CHECK, format!("{} is free; Weir is not running: weir up{}", settings.listen, data_option(data))),
        Err(error) => fail(
            CHECK,
            format!("the gateway could not listen on {}: {error}", settings.listen),
            "stop the process that uses it (a Weir on another data folder?), or choose another: --listen 127.0.0.1:0 selects a free port",
        ),
    }
}

fn of_status(status: &Status, settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    if status.version != env!("CARGO_PKG_VERSION") {
        let what = format!("Weir {} is running, and this is {}", status.version, env!("CARGO_PKG_VERSION"));
        findings.push(warn("version", what, "restart the older one, or use the command line of the same version"));
    }
    findings.extend(status.broker_problem.as_ref().map(|problem| {
        fail(
            "broker",
            cut(problem, 300),
            "check that the broker is running and has memory and disk space; Weir then continues without a restart",
        )
    }));
    findings.extend(status.missing.iter().map(missing));
    findings.extend(hosts::check(status));
    findings.push(processors(&status.hosts));
    // Without the config service flows and queues are unknown, which is not the same as none.
    if status.missing.iter().any(|missing| missing.service == ServiceName::Config) {
        return findings;
    }
    findings.push(flows(&status.flows, &status.hosts));
    findings.extend(status.config_usage.as_ref().map(configuration));
    findings.push(readers::check(status));
    let owned: Vec<_> = status.queues.iter().filter(|queue| !queue.is_unowned).cloned().collect();
    // Unlike the queues of flows, the dead-letter queue has no flows.
    let (letters, of_flows): (Vec<_>, Vec<_>) = owned.into_iter().partition(|queue| queue.flows.is_empty());
    findings.push(queues::of_flows(&of_flows, settings.broker.storage().map(|storage| storage.queue_limit_bytes)));
    findings.push(queues::dead_letters(&letters));
    findings
}

/// A service that does not answer, and how to start it.
fn missing(MissingService { service, problem }: &MissingService) -> Finding {
    let (check, next) = match service {
        ServiceName::Config => (
            "config service",
            "start it on the data folder that has the configuration: weir run config, or weir up; if it is running, check its log, and that \
                 it uses the same broker and topicspace",
        ),
        ServiceName::Flow => (
            "flow service",
            "start one: weir run flow, or weir up; if one is running, check its log, and that it uses the same broker and topicspace",
        ),
    };
    fail(check, format!("it does not answer: {}", cut(problem, 300)), next)
}

/// The size of the configuration, which is limited so that it can be read with one request.
fn configuration(usage: &Usage) -> Finding {
    const CHECK: &str = "config";
    let Usage { size_bytes, limit_bytes } = *usage;
    let what = format!("{} of {}", size(size_bytes), size(limit_bytes));
    let next = "weir config list shows the size of each type; delete values that are no longer needed: weir config delete TYPE KEY";
    match size_bytes {
        over if over > limit_bytes => fail(CHECK, format!("{what}: changes that enlarge it are refused"), next),
        half if half >= limit_bytes / 2 => warn(CHECK, format!("{what}: above the limit, changes that enlarge it are refused"), next),
        _ => ok(CHECK, what),
    }
}

fn flows(flows: &[FlowSummary], hosts: &[HostReport]) -> Finding {
    const CHECK: &str = "flows";
    let served = |processor: &str, variant: &str| {
        reporting(hosts).flat_map(|host| &host.processors).any(|at| at.processor == processor && at.variant == variant)
    };
    let mut problems = Vec::new();
    for flow in flows {
        if flow.status != "running" {
            let why = if flow.status == "unreadable" { format!(": {}", cut(&flow.description, 200)) } else { String::new() };
            problems.push(format!("flow {} is {}{why}", flow.id, flow.status));
        }
        let unserved = flow.processors.iter().filter(|it| it.component.is_some() && !served(&it.processor, &it.variant));
        problems.extend(unserved.map(|it| format!("no host runs {} of flow {}", it.processor, flow.id)));
    }
    let outside = flows.iter().flat_map(|flow| &flow.processors).filter(|it| it.component.is_none()).count();
    let outside = match outside {
        0 => String::new(),
        1 => "; 1 processor has no component and is left to an external program".to_owned(),
        count => format!("; {count} processors have no component and are left to external programs"),
    };
    match (problems.is_empty(), flows.len()) {
        (true, 0) => ok(CHECK, "no flows"),
        (true, 1) if outside.is_empty() => ok(CHECK, "1 flow running, with a host for each processor"),
        (true, count) if outside.is_empty() => ok(CHECK, format!("{count} flows running, with a host for each processor")),
        (true, 1) => ok(CHECK, format!("1 flow running{outside}")),
        (true, count) => ok(CHECK, format!("{count} flows running{outside}")),
        (false, _) => fail(CHECK, some(&problems), "weir flow show FLOW shows details, and the log the errors"),
    }
}

fn processors(hosts: &[HostReport]) -> Finding {
    const CHECK: &str = "processors";
    let all = || reporting(hosts).flat_map(|host| host.processors.iter().map(move |status| (host, status)));
    let is_bad = |(_, status): &(&HostReport, &ProcessorStatus)| {
        matches!(status.state, ProcessorState::Failing | ProcessorState::Broken) || status.refused.is_some()
    };
    // With a single host its name is omitted.
    let on = |host: &HostReport| if hosts.len() == 1 { String::new() } else { format!(" on host {}", label(host, hosts)) };
    let print_note = |(host, status): (&HostReport, &ProcessorStatus)| {
        let why = status.refused.as_ref().map(|refusal| refusal.problem.as_str()).or(status.last_error.as_deref()).unwrap_or(
            "no reason \
             given",
        );
        let state = match status.state {
            ProcessorState::Broken => "is broken",
            ProcessorState::Failing => "is failing",
            _ => "cannot switch to its new component",
        };
        format!("{} ({}){} {state}: {}", status.processor, status.variant, on(host), cut(why, PROBLEM_COUNT))
    };
    let bad: Vec<String> = all().filter(is_bad).map(print_note).collect();
    if !bad.is_empty() {
        return fail(
            CHECK,
            some(&bad),
            "correct the cause given for each: a value (weir config put), a parameter (restart the flow with another), or the component \
                 (weir deploy, weir swap)",
        );
    }
    let print_note = |(host, status): (&HostReport, &ProcessorStatus)| {
        format!("{} ({}){} dropped {} messages", status.processor, status.variant, on(host), status.dropped_count)
    };
    let dropping: Vec<String> = all().filter(|(_, status)| status.dropped_count > 0).map(print_note).collect();
    if !dropping.is_empty() {
        return warn(
            CHECK,
            some(&dropping),
            "one of their outputs has no subscriber: give its topic to a processor or an interface of the blueprint, then restart the flow",
        );
    }
    match all().count() {
        0 => ok(CHECK, "none"),
        1 => ok(CHECK, "1, without errors"),
        count => ok(CHECK, format!("{count}, without errors")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_configuration_is_checked_against_its_limit() {
        let grade = |size_bytes| configuration(&Usage { size_bytes, limit_bytes: 100 }).grade;
        assert_eq!((grade(49), grade(50), grade(100), grade(101)), (Grade::Ok, Grade::Warn, Grade::Warn, Grade::Fail));
    }

    #[test]
    fn a_component_refused_by_one_of_two_hosts_is_reported_with_the_host() {
        let host = |name: &str, world: Option<&str>| {
            let component = json!({"name": "p", "version": "2.0.0", "digest": format!("sha256:{}", "2".repeat(64))});
            let refused = world.map(|world| json!({"component": component, "problem": world, "permanent": true, "time-ms": 1}));
            let mut processor = json!({"processor": "p", "variant": "v", "state": "running", "refused": refused, "rate-per-1000-s": 0});
            for counter in ["handled", "failed", "trapped", "dead", "sent", "dropped", "in-hand"] {
                processor[format!("{counter}-count")] = json!(0);
            }
            let report = json!({
                "age-ms": 0, "host": name, "name": name, "version": "0", "started-ms": 0, "time-ms": 0, "config-version": 1, "processors": [processor],
            });
            serde_json::from_value::<HostReport>(report).unwrap()
        };
        let world = "the component was built against weir:processor 0.2.0; this host serves 0.1.x";
        let finding = processors(&[host("new", None), host("old", Some(world))]);
        assert_eq!(finding.grade, Grade::Fail);
        assert!(finding.what.starts_with(&format!("p (v) on host old cannot switch to its new component: {world}")), "{}", finding.what);
    }

    #[test]
    fn a_host_without_its_first_configuration_is_awaited() {
        let status = |config_version: u64| {
            let report = json!({
                "age-ms": 0, "host": "h", "name": "h", "version": "0", "started-ms": 0, "time-ms": 0, "config-version": config_version,
                "processors": [],
            });
            let status = json!({
                "version": "0", "topicspace": "tg", "config-version": 1, "hosts": [report], "flows": [], "queues": [],
            });
            serde_json::from_value::<Status>(status).unwrap()
        };
        assert_eq!((is_settled(&status(0)), is_settled(&status(1))), (false, true));
    }
}
