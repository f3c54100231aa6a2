//! The changes that starting a flow requires.

use std::collections::{BTreeMap, BTreeSet};

use weir_config::records::Entry;

use super::EntryKey;
use crate::protocol::{FlowRecord, FlowStatus, QueueRecord};

/// The operator's choice for the exits of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exits {
    /// Results are kept, up to this many bytes per exit.
    Keep {
        /// The size above which an exit drops its oldest messages.
        limit_bytes: u64,
    },
    /// Nothing is kept.
    Drop,
}

/// The changes that starting a flow requires.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartPlan {
    /// The queues that it needs, including existing ones of other flows.
    pub queues: Vec<QueueRecord>,
    /// Its complete entries.
    pub entries: BTreeMap<EntryKey, Entry>,
    /// Complete entries of other flows whose outputs it starts to consume.
    pub rewritten: BTreeMap<EntryKey, Entry>,
    /// Its record while it runs.
    pub record: FlowRecord,
    /// Assumptions, for people.
    pub notes: Vec<String>,
}

impl StartPlan {
    /// The record while the flow starts: with everything needed to roll back the start. `found` are the queues that already exist.
    pub fn starting_record(&self, found: &BTreeSet<usize>) -> FlowRecord {
        let mut record = FlowRecord { status: Some(FlowStatus::Starting), ..self.record.clone() };
        if let Some(plan) = &mut record.plan {
            for (at, queue) in plan.queues.iter_mut().enumerate() {
                queue.found = found.contains(&at);
            }
            for entry in &mut plan.entries {
                entry.entry = self.entries.get(&EntryKey::of(entry)).cloned();
            }
        }
        record
    }
}
