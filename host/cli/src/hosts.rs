//! Problems with the hosts of a Weir: duplicate names, different versions, wrong clocks.

use std::collections::BTreeMap;

use weir_gateway::protocol::{HostReport, Presence, Status};

use crate::output::age;

/// How far two clocks may differ.
pub(crate) const CLOCK_SLACK_MS: u64 = 60_000;

/// The label of a host: its name, with its process if another host has the same name.
pub(crate) fn label(host: &HostReport, all: &[HostReport]) -> String {
    let is_alone = all.iter().filter(|other| other.status.label() == host.status.label()).count() <= 1;
    if is_alone { host.status.label().to_owned() } else { format!("{} ({})", host.status.label(), host.status.process()) }
}

/// The hosts that report.
pub(crate) fn reporting(hosts: &[HostReport]) -> impl Iterator<Item = &HostReport> + Clone {
    hosts.iter().filter(|host| host.presence == Presence::Reporting)
}

/// A host that has not answered requests for this long may be the previous process of one that was restarted.
const ANSWERED_MS: u64 = 1_000;

/// Names that several hosts have. A host that is silent or does not answer is the previous process of one that was restarted.
pub(crate) fn duplicate_names(hosts: &[HostReport]) -> Vec<String> {
    let mut by_name: BTreeMap<&str, Vec<&HostReport>> = BTreeMap::new();
    let answering = reporting(hosts).filter(|host| host.age_ms <= ANSWERED_MS);
    answering.for_each(|host| by_name.entry(host.status.label()).or_default().push(host));
    let told = |(name, hosts): (&str, Vec<&HostReport>)| {
        let processes: Vec<String> = hosts.iter().map(|host| host.status.process()).collect();
        let (last, first) = processes.split_last()?;
        (!first.is_empty()).then(|| format!("{} hosts have the name {name}: {} and {last}", hosts.len(), first.join(", ")))
    };
    by_name.into_iter().filter_map(told).collect()
}

/// Hosts of another version of Weir or of the contract than the gateway's.
pub(crate) fn other_versions(status: &Status) -> Vec<String> {
    let told = |host: &HostReport| {
        let is_other_weir = host.status.version != status.version;
        // A gateway that does not report its own version is older.
        let is_other_contract = !status.contract.is_empty() && host.status.contract != status.contract;
        if !is_other_weir && !is_other_contract {
            return None;
        }
        let served = match &*host.status.contract {
            "" => "a version of weir:processor that it does not report".to_owned(),
            contract => format!("weir:processor {contract}"),
        };
        let gateway = match &*status.contract {
            "" => format!("Weir {}", status.version),
            contract => format!("Weir {}, weir:processor {contract}", status.version),
        };
        let label = label(host, &status.hosts);
        Some(format!("host {label} is Weir {} and serves {served}; the gateway is {gateway}", host.status.version))
    };
    reporting(&status.hosts).filter_map(told).collect()
}

/// Wrong clocks: of hosts compared with the gateway's, and of the gateway compared with this machine's, in milliseconds since 1970.
pub(crate) fn clock_problems(status: &Status, now_ms: u64) -> Vec<String> {
    let gateway = (status.time_ms > 0).then(|| status.time_ms.cast_signed().saturating_sub(now_ms.cast_signed()));
    let gateway = gateway.and_then(|ahead_ms| apart("the gateway's clock", ahead_ms, "this machine's"));
    let of_host =
        |host: &HostReport| apart(&format!("the clock of host {}", label(host, &status.hosts)), host.clock_ahead_ms, "the gateway's");
    gateway.into_iter().chain(reporting(&status.hosts).filter_map(of_host)).collect()
}

fn apart(clock: &str, ahead_ms: i64, other: &str) -> Option<String> {
    let by_ms = ahead_ms.unsigned_abs();
    let direction = if ahead_ms > 0 { "ahead of" } else { "behind" };
    (by_ms > CLOCK_SLACK_MS).then(|| format!("{clock} is {} {direction} {other}", age(by_ms)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(hosts: &[serde_json::Value]) -> Status {
        let all = hosts.iter().enumerate().map(|(at, host)| {
            let mut all = json!({
                "age-ms": 0, "host": format!("{at}-x"), "machine": "m", "pid": at, "version": "0.1.0", "contract": "0.1.0", "started-ms": 0,
                "time-ms": 0, "config-version": 1, "processors": [],
            });
            all.as_object_mut().unwrap().extend(host.as_object().unwrap().clone());
            all
        });
        serde_json::from_value(json!({
            "version": "0.1.0", "contract": "0.1.0", "time-ms": 5_000_000, "topicspace": "tg", "config-version": 1, "flows": [], "queues": [],
            "hosts": all.collect::<Vec<_>>(),
        }))
        .unwrap()
    }

    #[test]
    fn two_hosts_of_one_name_are_reported_with_their_processes() {
        let two = status(&[json!({"name": "a"}), json!({"name": "b"}), json!({"name": "a"}), json!({"name": "a", "presence": "silent"})]);
        assert_eq!(duplicate_names(&two.hosts), ["2 hosts have the name a: process 0 on m and process 2 on m"]);
        assert_eq!((label(&two.hosts[0], &two.hosts), label(&two.hosts[1], &two.hosts)), ("a (process 0 on m)".to_owned(), "b".to_owned()));
        let again = status(&[json!({"name": "a", "presence": "silent"}), json!({"name": "a"})]);
        assert!(duplicate_names(&again.hosts).is_empty());
        let just_killed = status(&[json!({"name": "a", "age-ms": 2_000}), json!({"name": "a"})]);
        assert!(duplicate_names(&just_killed.hosts).is_empty());
    }

    #[test]
    fn hosts_of_different_versions_are_reported_with_both_versions() {
        let told = |host: serde_json::Value| other_versions(&status(&[host]));
        assert!(told(json!({"name": "a"})).is_empty());
        let old = "host a is Weir 0.0.9 and serves a version of weir:processor that it does not report; the gateway is Weir 0.1.0, weir:processor 0.1.0";
        assert_eq!(told(json!({"name": "a", "version": "0.0.9", "contract": ""})), [old]);
        let newer = "host a is Weir 0.1.0 and serves weir:processor 0.1.1; the gateway is Weir 0.1.0, weir:processor 0.1.0";
        assert_eq!(told(json!({"name": "a", "contract": "0.1.1"})), [newer]);
    }

    #[test]
    fn clocks_an_hour_apart_are_reported() {
        let hour = 3_600_000_i64;
        let of_hosts = status(&[json!({"name": "a", "clock-ahead-ms": hour}), json!({"name": "b", "clock-ahead-ms": -59_000})]);
        assert_eq!(clock_problems(&of_hosts, 5_000_000), ["the clock of host a is 60 min ahead of the gateway's"]);
        assert_eq!(clock_problems(&status(&[]), 5_000_000 + hour as u64), ["the gateway's clock is 60 min behind this machine's"]);
        assert!(clock_problems(&status(&[]), 5_030_000).is_empty());
    }
}
