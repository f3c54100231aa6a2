//! The hosts of processors: whether they report, have the configuration, and are compatible.

use std::time::{SystemTime, UNIX_EPOCH};

use weir_gateway::protocol::{HostReport, Presence, Status};

use super::finding::{Finding, fail, ok, some, warn};
use crate::hosts::{clock_problems, duplicate_names, label, other_versions, reporting};
use crate::output::{age, cut};

/// All checks of the hosts.
pub(super) fn check(status: &Status) -> Vec<Finding> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let told = |check, all: Vec<String>, next| (!all.is_empty()).then(|| warn(check, some(&all), next));
    let names = told("host names", duplicate_names(&status.hosts), "give each host a unique name: weir run host --name NAME");
    let versions = told(
        "host versions",
        other_versions(status),
        "upgrade the older hosts and restart them; until then components that need the newer contract run only on newer hosts",
    );
    let clocks = told(
        "clocks",
        clock_problems(status, now_ms),
        "set the clocks, and keep them synchronised (NTP); until then times in logs and dead letters are inconsistent",
    );
    [Some(hosts_present(&status.hosts)), names, versions, clocks].into_iter().flatten().collect()
}

/// Whether hosts report and have the configuration.
fn hosts_present(hosts: &[HostReport]) -> Finding {
    const CHECK: &str = "hosts";
    let Some(last_ms) = reporting(hosts).map(|host| host.heard_ms).max() else {
        return fail(
            CHECK,
            "no host is reporting: no message is handled",
            "start one: weir run host, or weir up; if one is running, check \
             its log",
        );
    };
    let problem =
        |of: fn(&HostReport) -> Option<&String>| reporting(hosts).find_map(|host| Some((label(host, hosts), cut(of(host)?, 300))));
    if let Some((host, problem)) = problem(|host| host.status.config_problem.as_ref()) {
        let what = format!("host {host} cannot fetch the configuration: {problem}");
        return fail(CHECK, what, "it keeps its previous configuration; see the log of the host, and the check `config`");
    }
    if let Some(host) = reporting(hosts).find(|host| host.status.config_version == 0) {
        let what = format!("host {} has not fetched the configuration yet", label(host, hosts));
        return fail(CHECK, what, "it waits for the config service; see the log of the host");
    }
    if let Some((host, problem)) = problem(|host| host.status.report_problem.as_ref()) {
        let what = format!("the report of host {host} is incomplete: {problem}");
        return warn(CHECK, what, "use the same version of Weir everywhere, and shorter names of processors and flows");
    }
    let silent = hosts.iter().filter(|host| host.presence == Presence::Silent);
    let silent: Vec<String> = silent
        .map(|host| format!("host {} ({}) has been silent for {}", host.status.label(), host.status.process(), age(host.heard_ms)))
        .collect();
    if !silent.is_empty() {
        return warn(
            CHECK,
            some(&silent),
            "its process was killed, hangs, or cannot reach the broker: check its log; a host that is gone is dropped from the list after 2 \
                 minutes",
        );
    }
    let count = if hosts.len() == 1 { "1 host reporting".to_owned() } else { format!("{} hosts reporting", hosts.len()) };
    ok(CHECK, format!("{count}, most recently {} ago", age(last_ms)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::super::finding::Grade;
    use super::*;

    #[test]
    fn silent_hosts_are_distinguished_from_missing_ones() {
        let report = |presence: &str| {
            let report = json!({
                "age-ms": 1, "presence": presence, "heard-ms": 16_000, "host": "h", "name": "rack", "machine": "m", "pid": 7, "version": "0",
                "started-ms": 0, "time-ms": 0, "config-version": 1, "processors": [],
            });
            serde_json::from_value::<HostReport>(report).unwrap()
        };
        assert_eq!((hosts_present(&[]).grade, hosts_present(&[report("reporting")]).grade), (Grade::Fail, Grade::Ok));
        assert_eq!(hosts_present(&[report("silent")]).grade, Grade::Fail, "then there is none");
        let one_of_two = hosts_present(&[report("reporting"), report("silent")]);
        assert_eq!(one_of_two.grade, Grade::Warn);
        assert!(one_of_two.what.contains("host rack (process 7 on m) has been silent for 16 s"), "{}", one_of_two.what);
        let mut incomplete = [report("reporting")];
        incomplete[0].status.report_problem = Some("2 entries of the report are omitted".to_owned());
        let finding = hosts_present(&incomplete);
        assert!(finding.grade == Grade::Warn && finding.what.ends_with("2 entries of the report are omitted"), "{}", finding.what);
        incomplete[0].status.config_version = 0;
        assert_eq!(hosts_present(&incomplete).grade, Grade::Fail);
    }
}
