//! Reports of hosts: the newest summary and the newest details of each, kept by subscription tasks.

mod details_requester;
mod host_view;
mod report_subscriptions;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use weir_config::records::{HostStatus, ProcessorStatus, ReceivedDetails, ReportParts};
use weir_pubsub::{PubsubError, chain};

pub(crate) use self::details_requester::DetailsRequester;
use self::host_view::Details;
pub(crate) use self::host_view::ShownHost;
pub(crate) use self::report_subscriptions::Reports;
use crate::protocol::Presence;

/// A host that has not reported for this long is silent; hosts report every 5 s.
const MISSED_AFTER: Duration = Duration::from_secs(15);
/// How long a silent host is shown, so that operators notice it.
const HOST_EXPIRY: Duration = Duration::from_secs(120);
/// The number of reports used to estimate a host's clock: a single delayed one makes the clock look behind.
const CLOCKS_COUNT: usize = 4;
/// Maximum number of hosts kept; above it, the host that has been silent longest is removed.
const MAX_HOSTS_COUNT: usize = 1000;

/// How long to wait for hosts to answer a request for details. After that, their previous details are shown, with their age.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long to wait for a first host if none is known.
const FIRST_ANSWER_TIME: Duration = Duration::from_millis(100);
/// A host that has not reported for this long is not waited for: it has missed a report.
const SILENT_AFTER: Duration = Duration::from_secs(7);
/// Number of answered requests kept per host.
const ANSWERS_COUNT: usize = 1_024;

/// The newest reports of each host.
#[derive(Default)]
pub(crate) struct Hosts {
    known: Mutex<BTreeMap<String, HostEntry>>,
    /// Parts of details that arrive in several messages.
    parts: Mutex<ReportParts<ReceivedDetails>>,
    report_received: Notify,
}

/// The state of a host.
struct HostEntry {
    /// When its last report arrived.
    at: Instant,
    /// From its newest report, of either kind.
    status: HostStatus,
    /// Why its newest summary is incomplete, if it is.
    summary_problem: Option<String>,
    /// Its newest details, and when they arrived.
    details: Option<(Instant, Arc<Details>)>,
    /// The most recent requests that it has answered.
    answered: VecDeque<u64>,
    /// How far its clock was ahead when its newest reports arrived, in milliseconds.
    clocks_ahead_ms: VecDeque<i64>,
    /// It has stopped. Reports that arrive later were sent before.
    has_stopped: bool,
}

impl Hosts {
    /// The reporting hosts, from their newest reports, without their processors.
    pub(crate) fn statuses(&self) -> Vec<HostStatus> {
        let now = Instant::now();
        let known = self.present(now);
        known.values().filter(|known| known.is_shown() && !known.is_silent(now)).map(|known| known.status.clone()).collect()
    }

    /// The current state of hosts that report or have recently become silent. Requests details from all and waits at most 500 ms for the answers.
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn fresh(&self, details_requester: &DetailsRequester) -> Vec<ShownHost> {
        let id = rand::random();
        let time = if self.is_any_waited_for() { RESPONSE_TIMEOUT } else { FIRST_ANSWER_TIME };
        let answered = async {
            details_requester.ask(id).await?;
            loop {
                let report_received = self.report_received.notified();
                tokio::pin!(report_received);
                report_received.as_mut().enable();
                if self.have_answered(id) {
                    return Ok(());
                }
                report_received.await;
            }
        };
        if let Ok(Err(error)) = timeout(time, answered).await {
            let error: PubsubError = error;
            tracing::debug!(error = %chain(&error), "request for details of hosts failed");
        }
        let now = Instant::now();
        self.present(now).values().filter(|known| known.is_shown()).map(|known| known.shown(now)).collect()
    }

    /// The hosts that have not expired, including stopped ones.
    fn present(&self, now: Instant) -> MutexGuard<'_, BTreeMap<String, HostEntry>> {
        let mut known = self.lock();
        known.retain(|_, known| now.duration_since(known.at) < HOST_EXPIRY);
        known
    }

    /// Whether all hosts that are not silent have answered a request, and at least one has.
    fn have_answered(&self, id: u64) -> bool {
        let now = Instant::now();
        let known = self.lock();
        let has = |known: &HostEntry| known.answered.contains(&id);
        known.values().any(has) && known.values().all(|known| has(known) || !known.is_waited_for(now))
    }

    fn is_any_waited_for(&self) -> bool {
        let now = Instant::now();
        self.lock().values().any(|known| known.is_waited_for(now))
    }

    /// Processes a summary or a part of one. Each part describes the host itself; the rest is not used here.
    fn take_summary(&self, body: &[u8]) {
        match serde_json::from_slice::<HostStatus>(body) {
            Ok(status) => self.note(status, None),
            Err(error) => tracing::debug!(error = %chain(&error), "unreadable summary of a host ignored"),
        }
    }

    /// Processes details or a part of them.
    fn take_details(&self, body: &[u8]) {
        let part = match ReceivedDetails::read(body) {
            Ok(part) => part,
            Err(error) => {
                tracing::debug!(error = %chain(&error), "unreadable details of a host ignored");
                return;
            }
        };
        let whole = self.parts.lock().unwrap_or_else(PoisonError::into_inner).take(part);
        let Some(mut whole) = whole else { return };
        let processors = whole.processors();
        let ReceivedDetails { mut status, serves, answers, .. } = whole;
        // A host of the same version writes them with the type that reads them.
        let is_same_version = status.version == env!("CARGO_PKG_VERSION");
        let details = match (!is_same_version).then(|| unreadable(&processors)).flatten() {
            None => Details { status: status.clone(), serves, processors },
            Some(error) => {
                let (host, version, error) = (&*status.host, &*status.version, chain(&error));
                tracing::warn!(host, version, error, "processors of a host unreadable");
                status.report_problem = Some(format!(
                    "its processors cannot be read ({error}); it has version {version}, the gateway {}: use the same version",
                    env!("CARGO_PKG_VERSION")
                ));
                Details::without_processors(status.clone())
            }
        };
        self.note(status, Some((details, answers)));
        self.report_received.notify_waiters();
    }

    /// Records a report; for details, with the requests that they answer.
    fn note(&self, status: HostStatus, details: Option<(Details, Vec<u64>)>) {
        let at = Instant::now();
        let mut all = self.lock();
        let known = all.entry(status.host.clone()).or_insert_with(|| HostEntry::new(at));
        known.note_clock(&status);
        known.has_stopped |= status.has_stopped;
        match details {
            None => known.summary_problem.clone_from(&status.report_problem),
            Some((details, answers)) => {
                known.details = Some((at, Arc::new(details)));
                known.answered.extend(answers);
                known.answered.drain(..known.answered.len().saturating_sub(ANSWERS_COUNT));
            }
        }
        (known.at, known.status) = (at, status);
        if all.len() > MAX_HOSTS_COUNT {
            let oldest = all.iter().min_by_key(|(_, known)| known.at).map(|(host, _)| host.clone());
            oldest.and_then(|host| all.remove(&host));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, HostEntry>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HostEntry {
    fn new(at: Instant) -> Self {
        HostEntry {
            at,
            status: HostStatus::default(),
            summary_problem: None,
            details: None,
            answered: VecDeque::new(),
            clocks_ahead_ms: VecDeque::new(),
            has_stopped: false,
        }
    }

    fn note_clock(&mut self, status: &HostStatus) {
        if self.clocks_ahead_ms.len() >= CLOCKS_COUNT {
            self.clocks_ahead_ms.pop_front();
        }
        self.clocks_ahead_ms.push_back(status.time_ms.cast_signed().saturating_sub(now_ms().cast_signed()));
    }

    fn is_shown(&self) -> bool {
        !self.has_stopped
    }

    fn is_waited_for(&self, now: Instant) -> bool {
        self.is_shown() && now.duration_since(self.at) <= SILENT_AFTER
    }

    fn is_silent(&self, now: Instant) -> bool {
        now.duration_since(self.at) > MISSED_AFTER
    }

    /// The host with its newest details; without processors if it has never answered.
    fn shown(&self, now: Instant) -> ShownHost {
        let (at, details) = match &self.details {
            Some((at, details)) => (*at, details.clone()),
            None => (self.at, Arc::new(Details::without_processors(self.status.clone()))),
        };
        let report_problem = details.status.report_problem.clone().or_else(|| self.summary_problem.clone());
        let status = HostStatus { report_problem, ..details.status.clone() };
        ShownHost {
            age_ms: now.duration_since(at).as_millis() as u64,
            presence: if self.is_silent(now) { Presence::Silent } else { Presence::Reporting },
            heard_ms: now.duration_since(self.at).as_millis() as u64,
            clock_ahead_ms: self.clocks_ahead_ms.iter().copied().max().unwrap_or_default(),
            status,
            details,
        }
    }
}

/// The gateway's clock, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Why the processors of a host cannot be passed on, if they cannot: one host must not make a response of the gateway unreadable.
fn unreadable(processors: &RawValue) -> Option<serde_json::Error> {
    serde_json::from_str::<Vec<ProcessorStatus>>(processors.get()).err()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::protocol::HostReport;
    use serde_json::json;
    use weir_config::records::{HostDetails, ProcessorState};

    fn status(host: &str, config_version: u64) -> HostStatus {
        HostStatus { host: host.into(), version: "0".into(), config_version, ..HostStatus::default() }
    }

    fn summary(host: &str, config_version: u64) -> Vec<u8> {
        serde_json::to_vec(&status(host, config_version)).unwrap()
    }

    fn shown(hosts: &Hosts) -> Vec<HostReport> {
        let now = Instant::now();
        hosts.present(now).values().filter(|known| known.is_shown()).map(|known| known.shown(now).report()).collect()
    }

    fn versions(hosts: &Hosts) -> Vec<(String, u64)> {
        shown(hosts).into_iter().map(|report| (report.status.host, report.status.config_version)).collect()
    }

    /// Details of `count` processors.
    fn details(host: &str, config_version: u64, count: usize, answers: &[u64], max_bytes: usize) -> Vec<Vec<u8>> {
        let processor = |variant: usize| {
            let mut processor =
                json!({"processor": "p", "variant": variant.to_string(), "flow": "f", "state": "running", "rate-per-1000-s": 0});
            for counter in ["handled", "failed", "trapped", "dead", "sent", "dropped", "in-hand"] {
                processor[format!("{counter}-count")] = 0.into();
            }
            serde_json::from_value(processor).unwrap()
        };
        let details = HostDetails {
            status: status(host, config_version),
            serves: Some(vec!["p".to_owned()]),
            processors: (0..count).map(processor).collect(),
        };
        details.messages(answers, max_bytes).bodies
    }

    #[test]
    fn details_in_parts_are_reassembled() {
        let hosts = Hosts::default();
        let old = details("a", 1, 100, &[1], 8 << 10);
        old.iter().for_each(|body| hosts.take_details(body));
        hosts.take_details(&details("a", 2, 100, &[2], 8 << 10)[0]);
        assert_eq!(versions(&hosts), [("a".to_owned(), 1)]);
        let report = &shown(&hosts)[0];
        assert_eq!((old.len() > 1, report.processors.len(), &report.serves), (true, 100, &Some(vec!["p".to_owned()])));
        assert!(hosts.have_answered(1) && !hosts.have_answered(2));
    }

    #[test]
    fn a_host_is_shown_as_json_in_the_form_that_is_documented() {
        let hosts = Hosts::default();
        hosts.take_summary(&summary("a", 1));
        let mut host = hosts.present(Instant::now())["a"].shown(Instant::now());
        let written = |host: &ShownHost| serde_json::from_str::<HostReport>(&serde_json::to_string(host).unwrap()).unwrap();
        assert_eq!((written(&host), host.report().processors.len()), (host.report(), 0));
        hosts.take_details(&details("a", 1, 2, &[], 1 << 20)[0]);
        host = hosts.present(Instant::now())["a"].shown(Instant::now());
        host.stop_processors(|flow| flow == "g");
        assert!(written(&host).processors.iter().all(|status| status.state == ProcessorState::Running));
        host.stop_processors(|flow| flow == "f");
        assert!(written(&host).processors.iter().all(|status| status.state == ProcessorState::Stopping));
        assert_eq!(written(&host), host.report());
    }

    #[test]
    fn unreadable_processors_affect_only_their_host() {
        let hosts = Hosts::default();
        hosts.take_details(&details("a", 1, 2, &[7], 1 << 20)[0]);
        let body = json!({"host": "b", "version": "9", "started-ms": 1, "time-ms": 1, "config-version": 1, "answers": [7], "processors": [{"state": "flying"}]});
        hosts.take_details(body.to_string().as_bytes());
        assert!(hosts.have_answered(7));
        let [a, b]: [HostReport; 2] = shown(&hosts).try_into().unwrap();
        assert_eq!((a.processors.len(), a.status.report_problem, b.processors.len()), (2, None, 0));
        let problem = b.status.report_problem.unwrap();
        assert!(problem.contains("flying") && problem.contains("it has version 9"), "{problem}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_report_of_each_host_is_used_until_it_is_silent() {
        let hosts = Hosts::default();
        hosts.take_summary(&summary("a", 1));
        hosts.take_summary(&summary("b", 1));
        hosts.take_summary(b"nonsense");
        hosts.take_details(b"nonsense");
        tokio::time::advance(Duration::from_secs(15)).await;
        hosts.take_summary(&summary("a", 2));
        assert_eq!(versions(&hosts), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        let presences = |hosts: &Hosts| shown(hosts).iter().map(|report| report.presence).collect::<Vec<_>>();
        assert_eq!(presences(&hosts), [Presence::Reporting, Presence::Reporting]);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(presences(&hosts), [Presence::Reporting, Presence::Silent]);
        assert_eq!(hosts.statuses(), [status("a", 2)], "what is ready is asked of those that report");
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(versions(&hosts), [("a".to_owned(), 2)]);
    }

    #[test]
    fn a_stopped_host_is_not_shown_despite_late_reports() {
        let hosts = Hosts::default();
        hosts.take_summary(&summary("a", 1));
        let last = HostStatus { has_stopped: true, ..status("a", 2) };
        hosts.take_summary(&serde_json::to_vec(&last).unwrap());
        hosts.take_details(&details("a", 1, 2, &[7], 1 << 20)[0]);
        assert_eq!((versions(&hosts), hosts.statuses()), (Vec::new(), Vec::new()));
        assert!(!hosts.is_any_waited_for());
    }

    #[test]
    fn clocks_are_compared_with_the_gateways_and_late_reports_are_not_slow_clocks() {
        let hosts = Hosts::default();
        let report = |ahead_ms: i64| {
            let time_ms = now_ms().saturating_add_signed(ahead_ms);
            hosts.take_summary(&serde_json::to_vec(&HostStatus { time_ms, ..status("a", 1) }).unwrap());
            shown(&hosts)[0].clock_ahead_ms
        };
        let hour = 3_600_000;
        assert!((hour - 10_000..=hour).contains(&report(hour)));
        assert!((hour - 10_000..=hour).contains(&report(0)), "of the last ones");
        for _ in 0..2 {
            report(-hour);
        }
        assert!((-10_000..=0).contains(&report(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn details_keep_their_age_while_the_host_is_unresponsive() {
        let hosts = Hosts::default();
        hosts.take_details(&details("a", 1, 2, &[], 1 << 20)[0]);
        tokio::time::advance(Duration::from_secs(4)).await;
        hosts.take_summary(&summary("a", 5));
        let report = &shown(&hosts)[0];
        assert_eq!((report.age_ms, report.status.config_version, report.processors.len()), (4_000, 1, 2));
        assert_eq!(hosts.statuses(), [status("a", 5)]);
    }
}
