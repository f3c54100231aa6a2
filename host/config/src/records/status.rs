//! What a host reports of itself and of its processors.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::component::ComponentRef;

/// What a host reports of itself, without its processors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct HostStatus {
    /// The host's id: different for each process.
    pub host: String,
    /// Its name, for people; it should be, and need not be, different for each host. Empty of an older version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The machine that it runs on, or the container. Empty of an older version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub machine: String,
    /// The number of its process on that machine. None of an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Weir's version.
    pub version: String,
    /// The newest version of `weir:processor` that it serves. Empty of an older version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub contract: String,
    /// When the host started, in milliseconds since 1970.
    pub started_ms: u64,
    /// When this was reported, in milliseconds since 1970, by its own clock.
    pub time_ms: u64,
    /// The version of the configuration that it works by.
    pub config_version: u64,
    /// Why it cannot fetch the configuration at the moment, for people: it works with what it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_problem: Option<String>,
    /// Why the report is incomplete, for people, with the sizes: some of it does not fit into messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_problem: Option<String>,
    /// Whether the host has stopped, and this is its last report.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_stopped: bool,
}

impl HostStatus {
    /// What people call it: its name, or the id where it has none.
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

/// What a variant of a processor is doing.
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
    /// When it was found out, in milliseconds since 1970 by the host's clock: the same as long as it is the same finding. Readers compare it
    /// with other findings of the same host alone.
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
    /// Workers with a message to take, and setups of a new component, that wait for an instance slot: all slots of the host's pool are in use.
    #[serde(default)]
    pub waiting_for_slot_count: u64,
    /// Memory for messages that it has sent and that are not settled yet, in bytes.
    #[serde(default)]
    pub outputs_bytes: u64,
    /// Workers that wait because of these bytes: the host's budget, `host.outputs`, has no more room for them.
    #[serde(default)]
    pub waiting_for_outputs_count: u64,
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
