//! The status of a host and of its processors.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::component::ComponentRef;

/// What a host reports of itself, without its processors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct HostStatus {
    /// The host's id: different for each process.
    pub host: String,
    /// Its human-readable name; should be unique, but this is not enforced. Empty for older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The machine that it runs on, or the container. Empty for older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub machine: String,
    /// The number of its process on that machine. Absent for older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Weir's version.
    pub version: String,
    /// The newest version of `weir:processor` that it serves. Empty for older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub contract: String,
    /// When the host started, in milliseconds since 1970.
    pub started_ms: u64,
    /// When this was reported, in milliseconds since 1970, by its own clock.
    pub time_ms: u64,
    /// The version of the configuration that it has applied.
    pub config_version: u64,
    /// Why it currently cannot fetch the configuration, human-readable; it keeps its previous configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_problem: Option<String>,
    /// Why the report is incomplete, human-readable, with the sizes: some entries do not fit into messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_problem: Option<String>,
    /// Whether the host has stopped and this is its last report.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_stopped: bool,
}

impl HostStatus {
    /// Its label for people: its name, or its id if it has none.
    pub fn label(&self) -> &str {
        if self.name.is_empty() { &self.host } else { &self.name }
    }

    /// Its process, for people.
    pub fn process(&self) -> String {
        match self.pid {
            Some(pid) => format!("process {pid} on {}", self.machine),
            None => format!("process {}", self.host),
        }
    }
}

/// The state of a variant of a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
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
    /// Cannot work until its entry, its component or the settings change.
    Broken,
    /// Finishing its messages.
    Stopping,
}

/// Why a host does not run the desired component of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Refusal {
    /// The component.
    pub component: ComponentRef,
    /// Human-readable: what is wrong and how to fix it.
    pub problem: String,
    /// Whether a retry cannot succeed. The flow service then restores the entry.
    pub permanent: bool,
    /// When it was detected, in milliseconds since 1970 by the host's clock; unchanged while the finding is the same. Compare it only with
    /// other findings of the same host.
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
    /// The flow, if the variant belongs to a single one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The running component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentRef>,
    /// The desired component, from its entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<ComponentRef>,
    /// The desired component that it does not run; `component` runs instead, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
    /// Its state.
    pub state: ProcessorState,
    /// Messages settled.
    pub handled_count: u64,
    /// Attempts that failed by `retry`, `reject`, a trap or the time limit.
    pub failed_count: u64,
    /// Traps and time-outs among them.
    pub trapped_count: u64,
    /// Messages that became dead letters.
    pub dead_count: u64,
    /// Messages sent.
    pub sent_count: u64,
    /// Messages dropped because the output has no subscriber.
    pub dropped_count: u64,
    /// Messages in flight: received and not settled.
    pub in_hand_count: u64,
    /// Tasks of the host for this variant that panicked and were restarted: a bug in Weir, not in the component.
    #[serde(default)]
    pub restarts_count: u64,
    /// Workers with a message to take, and setups of a new component, that wait for an instance slot: all slots of the host's pool are in use.
    #[serde(default)]
    pub waiting_for_slot_count: u64,
    /// Memory of messages that it has sent and that are not settled yet, in bytes.
    #[serde(default)]
    pub outputs_bytes: u64,
    /// Workers that wait because of these bytes: the host's budget, `host.outputs`, is exhausted.
    #[serde(default)]
    pub waiting_for_outputs_count: u64,
    /// Messages settled per second, times 1000: over the last 1 to 5 seconds.
    pub rate_per_1000_s: u64,
    /// The newest unresolved error, otherwise the newest one; human-readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it happened, in milliseconds since 1970; for a lasting error, when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error_ms: Option<u64>,
    /// When it was resolved, in milliseconds since 1970; absent while it is not. An error of a message is resolved when a later message
    /// was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error_over_ms: Option<u64>,
}
