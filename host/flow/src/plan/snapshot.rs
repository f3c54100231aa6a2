//! The state that plans are computed from.

use std::collections::{BTreeMap, BTreeSet};

use weir_config::records::{ComponentRecord, Descriptor, Entry};

use crate::protocol::{EntryRecord, FlowRecord};

/// The address of an entry in the configuration: type `processor:NAME`, key VARIANT.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey {
    /// The processor.
    pub processor: String,
    /// The entry's key.
    pub variant: String,
}

impl EntryKey {
    pub(crate) fn of(record: &EntryRecord) -> Self {
        EntryKey { processor: record.processor.clone(), variant: record.variant.clone() }
    }
}

/// The state that plans are computed from, as far as it concerns the flow.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// All flows by id.
    pub flows: BTreeMap<String, FlowRecord>,
    /// The keys (`NAME@VERSION`) of all deployments.
    pub deployed: BTreeSet<String>,
    /// Deployments by key: those of [`wanted_components`].
    pub components: BTreeMap<String, ComponentRecord>,
    /// Descriptors of external programs, by processor.
    pub descriptors: BTreeMap<String, Descriptor>,
    /// The existing entries: the flow's own and those of [`affected_entries`].
    pub entries: BTreeMap<EntryKey, Entry>,
    /// The processors that hosts reported recently.
    pub hosted: BTreeSet<String>,
    /// Entries that are restored if the stop of their flow is refused; until then they count as existing.
    pub kept: BTreeMap<EntryKey, Entry>,
}
