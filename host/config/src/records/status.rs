//! What a host tells of itself, every 5 s on `notify:TOPICSPACE:weir-status`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::component::ComponentRef;

/// The name of the topic (class `notify`) on which hosts report.
pub const STATUS_TOPIC_NAME: &str = "weir-status";

/// The name of the topic (class `notify`) on which hosts are asked to report at once; see [`StatusRequest`].
pub const STATUS_REQUEST_TOPIC_NAME: &str = "weir-status-request";

/// Asks every host for its status as of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRequest {
    /// A number that the reports which answer it carry.
    pub id: u64,
}

/// The summary of one host, or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct HostStatus {
    /// The host's id: different for each process.
    pub host: String,
    /// Weir's version.
    pub version: String,
    /// When the host started, in milliseconds since 1970.
    pub started_ms: u64,
    /// When this was said, in milliseconds since 1970.
    pub time_ms: u64,
    /// The version of the configuration that it works by.
    pub config_version: u64,
    /// Its processors, by name and variant.
    pub processors: Vec<ProcessorStatus>,
    /// The ids of the status requests that it answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<u64>,
    /// Where the report stands among those of the host. Its parts have the same number.
    #[serde(default)]
    pub report_number: u64,
    /// Which part of the report this is, from 0. A report is split when it is too large for a message.
    #[serde(default, skip_serializing_if = "is_default")]
    pub part_number: u32,
    /// How many parts the report has.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub parts_count: u32,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(value: &u32) -> bool {
    *value == 1
}

/// Hosts whose parts are kept at a time.
const MAX_HOSTS_COUNT: usize = 1_000;

/// Puts reports together that came in parts.
#[derive(Debug, Default)]
pub struct ReportParts(BTreeMap<String, Vec<HostStatus>>);

impl ReportParts {
    /// Takes a report or a part of one; the whole report once all its parts are there.
    pub fn add(&mut self, status: HostStatus) -> Option<HostStatus> {
        if status.parts_count <= 1 {
            self.0.remove(&status.host);
            return Some(status);
        }
        if self.0.len() >= MAX_HOSTS_COUNT && !self.0.contains_key(&status.host) {
            self.0.pop_first();
        }
        let parts = self.0.entry(status.host.clone()).or_default();
        // Of a newer report: what came of the older one is of no use any more.
        parts.retain(|part| part.report_number == status.report_number && part.part_number != status.part_number);
        let parts_count = status.parts_count as usize;
        let host = status.host.clone();
        parts.push(status);
        if parts.len() < parts_count {
            return None;
        }
        let mut parts = self.0.remove(&host)?;
        parts.sort_by_key(|part| part.part_number);
        let mut parts = parts.into_iter();
        let mut whole = parts.next()?;
        whole.processors.extend(parts.flat_map(|part| part.processors));
        (whole.part_number, whole.parts_count) = (0, 1);
        Some(whole)
    }
}

/// What a variant of a processor is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProcessorState {
    /// Being fetched, compiled and configured.
    Starting,
    /// Taking messages.
    Running,
    /// Intake is stopped by an operator.
    Paused,
    /// Cannot work now, and is tried again.
    Failing,
    /// Cannot work until somebody changes something.
    Broken,
    /// Finishing its messages.
    Stopping,
}

/// Why a host does not run a component that an entry names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Refusal {
    /// The component.
    pub component: ComponentRef,
    /// What is wrong and how to mend it, for people.
    pub problem: String,
    /// Whether trying again with nothing changed is of no use. The flow service puts the entry back then.
    pub permanent: bool,
    /// When it was found out, in milliseconds since 1970: the same as long as it is the same finding.
    pub time_ms: u64,
}

/// One variant of one processor in one host. Counters count from the host's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ProcessorStatus {
    /// The processor's name.
    pub processor: String,
    /// The key of its entry.
    pub variant: String,
    /// The flow, where the variant belongs to one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// What runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentRef>,
    /// What its entry names, which is to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<ComponentRef>,
    /// The component that it was told to run and does not, in place of which `component` runs, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
    /// What it is doing.
    pub state: ProcessorState,
    /// Messages settled.
    pub handled_count: u64,
    /// Attempts that failed by `retry`, `reject`, a trap or the time limit.
    pub failed_count: u64,
    /// Traps and time-outs among them.
    pub trapped_count: u64,
    /// Messages that went to the dead letters.
    pub dead_count: u64,
    /// Messages sent.
    pub sent_count: u64,
    /// Messages dropped because nobody consumes the output.
    pub dropped_count: u64,
    /// Messages in hand: received and not settled.
    pub in_hand_count: u64,
    /// Tasks of the host for this variant that panicked and were started again: a fault of Weir, not of the component.
    #[serde(default)]
    pub restarts_count: u64,
    /// Messages settled per second, times 1000: over the last 1 to 5 seconds.
    pub rate_per_1000_s: u64,
    /// The newest error that is not over, else the newest one, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it happened, in milliseconds since 1970: for one that lasts, since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error_ms: Option<u64>,
    /// When it was over, in milliseconds since 1970; none as long as it is not. An error of a message is over when a later one was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error_over_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(report_number: u64, part_number: u32, parts_count: u32) -> HostStatus {
        HostStatus {
            host: "h".to_owned(),
            version: "0".to_owned(),
            started_ms: 0,
            time_ms: 0,
            config_version: u64::from(part_number),
            processors: Vec::new(),
            answers: Vec::new(),
            report_number,
            part_number,
            parts_count,
        }
    }

    #[test]
    fn a_report_is_whole_when_all_its_parts_are_there() {
        let mut parts = ReportParts::default();
        assert!(parts.add(part(1, 0, 1)).is_some());
        assert!(parts.add(part(2, 1, 2)).is_none() && parts.add(part(2, 1, 2)).is_none());
        let whole = parts.add(part(2, 0, 2));
        assert_eq!(whole.map(|whole| (whole.report_number, whole.config_version, whole.parts_count)), Some((2, 0, 1)));
        assert!(parts.add(part(3, 0, 2)).is_none());
        assert!(parts.add(part(4, 1, 2)).is_none(), "of another report");
        assert!(parts.add(part(4, 0, 2)).is_some());
    }
}
