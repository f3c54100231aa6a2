//! The summary that a host publishes on `notify:TOPICSPACE:weir-status`: every 5 s, and soon after a change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::component::Digest;
use super::report_parts::{List, PartNumber, ReportMessages, ReportPart, messages};
use super::status::{HostStatus, ProcessorState, ProcessorStatus, Refusal};

/// Maximum number of flows and of digests named in a summary; its counts include all.
pub const MAX_NAMED_COUNT: usize = 1_000;
/// Maximum number of errors in a summary.
pub const MAX_ERRORS_COUNT: usize = 10;
/// Maximum size of an error or of the reason of a refusal, in bytes; the details have more.
const MAX_REASON_BYTES: usize = 512;

/// The summary of a host, without individual variants except those that refuse a component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostSummary {
    /// The host.
    #[serde(flatten)]
    pub status: HostStatus,
    /// Its variants by state.
    pub states: BTreeMap<ProcessorState, u64>,
    /// The counters of all its variants together.
    pub totals: Totals,
    /// The flows that its variants belong to.
    pub flows_count: u64,
    /// The different components that it runs.
    pub digests_count: u64,
    /// The processors that it is limited to; empty if it serves every entry with a component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<Vec<String>>,
    /// All components that it should run but does not.
    #[serde(default)]
    pub refusals: Vec<VariantRefusal>,
    /// The names of all its processors.
    #[serde(default)]
    pub processors: Vec<String>,
    /// Flows, at most [`MAX_NAMED_COUNT`].
    #[serde(default)]
    pub flows: Vec<String>,
    /// Components that it runs, at most [`MAX_NAMED_COUNT`].
    #[serde(default)]
    pub digests: Vec<Digest>,
    /// The newest unresolved errors, otherwise the newest ones, at most [`MAX_ERRORS_COUNT`].
    #[serde(default)]
    pub errors: Vec<VariantError>,
    /// Which part of the summary this is, if it consists of several messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<PartNumber>,
}

/// Sums over all current variants of a host; removed variants are not included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Totals {
    /// Variants.
    pub variants_count: u64,
    /// Messages settled.
    pub handled_count: u64,
    /// Attempts that failed.
    pub failed_count: u64,
    /// Traps and time-outs among them.
    pub trapped_count: u64,
    /// Messages moved to the dead-letter queue.
    pub dead_count: u64,
    /// Messages sent.
    pub sent_count: u64,
    /// Messages dropped because nothing consumes the output.
    pub dropped_count: u64,
    /// Messages in flight.
    pub in_hand_count: u64,
    /// Tasks that panicked and were restarted.
    pub restarts_count: u64,
    /// Workers and setups that wait for an instance slot.
    pub waiting_for_slot_count: u64,
    /// Memory for messages sent and not settled yet, in bytes.
    pub outputs_bytes: u64,
    /// Workers that wait for such memory.
    pub waiting_for_outputs_count: u64,
    /// Messages settled per second, times 1000.
    pub rate_per_1000_s: u64,
}

impl Totals {
    /// Adds the counters of a variant.
    pub fn add(&mut self, of: &ProcessorStatus) {
        self.variants_count += 1;
        self.handled_count += of.handled_count;
        self.failed_count += of.failed_count;
        self.trapped_count += of.trapped_count;
        self.dead_count += of.dead_count;
        self.sent_count += of.sent_count;
        self.dropped_count += of.dropped_count;
        self.in_hand_count += of.in_hand_count;
        self.restarts_count += of.restarts_count;
        self.waiting_for_slot_count += of.waiting_for_slot_count;
        self.outputs_bytes += of.outputs_bytes;
        self.waiting_for_outputs_count += of.waiting_for_outputs_count;
        self.rate_per_1000_s += of.rate_per_1000_s;
    }
}

/// A component that a host does not run for an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariantRefusal {
    /// The processor.
    pub processor: String,
    /// The key of its entry.
    pub variant: String,
    /// The component, and why; the reason has at most 512 bytes.
    pub refused: Refusal,
}

/// An error of a variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VariantError {
    /// The processor.
    pub processor: String,
    /// The key of its entry.
    pub variant: String,
    /// The problem, for people; at most 512 bytes.
    pub error: String,
    /// When it happened, in milliseconds since 1970; for a lasting error, when it began.
    pub time_ms: u64,
    /// When it was resolved, in milliseconds since 1970; `None` while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_ms: Option<u64>,
}

impl HostSummary {
    /// The messages of the summary, each of at most this many bytes.
    pub fn messages(mut self, max_bytes: usize) -> ReportMessages {
        shorten(self.refusals.iter_mut().map(|refusal| &mut refusal.refused.problem));
        shorten(self.errors.iter_mut().map(|error| &mut error.error));
        // Parts that trigger actions come first: if something must be omitted, it is the rest.
        let lists = [
            Some(List::of("refusals", &self.refusals)),
            Some(List::of("processors", &self.processors)),
            self.serves.as_ref().map(|serves| List::of("serves", serves)),
            Some(List::of("flows", &self.flows)),
            Some(List::of("digests", &self.digests)),
            Some(List::of("errors", &self.errors)),
        ];
        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case")]
        struct SummaryHeader<'a> {
            #[serde(flatten)]
            status: &'a HostStatus,
            states: &'a BTreeMap<ProcessorState, u64>,
            totals: Totals,
            flows_count: u64,
            digests_count: u64,
        }
        let HostSummary { status, states, totals, flows_count, digests_count, .. } = &self;
        let head = SummaryHeader { status, states, totals: *totals, flows_count: *flows_count, digests_count: *digests_count };
        messages(&head, lists.into_iter().flatten().collect(), max_bytes)
    }
}

fn shorten<'a>(texts: impl Iterator<Item = &'a mut String>) {
    for text in texts {
        text.truncate(text.floor_char_boundary(MAX_REASON_BYTES));
    }
}

impl ReportPart for HostSummary {
    fn host(&self) -> &str {
        &self.status.host
    }

    fn part(&self) -> Option<PartNumber> {
        self.part
    }

    fn append(&mut self, later: Self) {
        self.refusals.extend(later.refusals);
        self.processors.extend(later.processors);
        if let Some(names) = later.serves {
            self.serves.get_or_insert_default().extend(names);
        }
        self.flows.extend(later.flows);
        self.digests.extend(later.digests);
        self.errors.extend(later.errors);
    }
}
