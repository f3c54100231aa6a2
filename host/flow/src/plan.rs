//! What starting or stopping a flow would change. Nothing here reads or writes anything: a plan is made of a blueprint, parameters and
//! what is known of the world, and somebody else carries it out.

mod adopt;
mod backlog;
mod components;
mod directions;
mod draft;
mod loose;
mod ownership;
mod queues;
mod readers;
mod refusal;
mod restore;
mod swap;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use weir_config::records::{ComponentRecord, Descriptor, Entry};

use crate::error::Result;
use crate::protocol::{EntryRecord, FlowRecord, FlowStatus, PlanRecord, QueueRecord};

pub use adopt::{adopt, adopt_without_blueprint};
pub use backlog::{Held, HeldAt};
pub use draft::{Draft, DraftProcessor, FlowIdentity};
pub use ownership::{Release, owned_queues, release};
pub use readers::{Readers, Unserved, UnservedCause, check_readers};
pub use refusal::{NotDeployed, PlanRefusal, SwapRefusal};
pub use restore::{Restored, refusing_record, restore};
pub use swap::{Swap, SwapOrder, plan_swap, put_back, swapped_component, swapped_entry};

use ownership::plans;

/// Where an entry stands in config: type `processor:NAME`, key VARIANT.
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

/// What a plan is made against, as far as it concerns the flow.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// All flows by id.
    pub flows: BTreeMap<String, FlowRecord>,
    /// The keys (`NAME@VERSION`) of all deployments.
    pub deployed: BTreeSet<String>,
    /// Deployments by key: those of [`wanted_components`].
    pub components: BTreeMap<String, ComponentRecord>,
    /// What programs outside of Weir say of themselves, by processor.
    pub descriptors: BTreeMap<String, Descriptor>,
    /// The entries that are there: the flow's own and those of [`affected_entries`].
    pub entries: BTreeMap<EntryKey, Entry>,
    /// The processors that hosts reported lately.
    pub hosted: BTreeSet<String>,
    /// Entries that are put back if the stop of their flow is refused; until then they count as if they were there.
    pub kept: BTreeMap<EntryKey, Entry>,
}

/// What an operator chose for the exits of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exits {
    /// Results are kept up to this many bytes each.
    Keep {
        /// Where an exit begins to drop its oldest messages.
        limit_bytes: u64,
    },
    /// Nothing is kept.
    Drop,
}

/// What starting a flow changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The queues that it needs; those of other flows among them are there already.
    pub queues: Vec<QueueRecord>,
    /// Its entries, whole.
    pub entries: BTreeMap<EntryKey, Entry>,
    /// Entries of other flows whose outputs it begins to consume, whole.
    pub rewritten: BTreeMap<EntryKey, Entry>,
    /// Its record while it runs.
    pub record: FlowRecord,
    /// What was assumed, for people.
    pub notes: Vec<String>,
}

impl Plan {
    /// The record while the flow starts: with all that is needed to undo the start. `found` are the queues that are there
    /// already.
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

/// Plans the start of a flow.
///
/// # Errors
/// [`crate::FlowError::Plan`], naming the processor, the field and the fix.
pub fn plan_start(draft: &Draft, world: &World, exits: Exits) -> Result<Plan> {
    let mut notes = draft.notes.clone();
    let mut entries = BTreeMap::new();
    let mut records = Vec::new();
    let mut queues = queues::Queues::default();
    for processor in &draft.processors {
        let found = components::component_of(processor, world)?;
        let descriptor = found.as_ref().map(|found| &found.record.descriptor).or_else(|| world.descriptors.get(&processor.key.processor));
        let directions = directions::of(processor, descriptor, &mut notes)?;
        components::check_parameters(processor, descriptor, &mut notes)?;
        queues.add_inputs(processor, &directions)?;
        records.push(EntryRecord {
            processor: processor.key.processor.clone(),
            variant: processor.key.variant.clone(),
            outputs: directions.outputs,
            ..EntryRecord::default()
        });
        entries.insert(processor.key.clone(), processor.entry(&draft.id, found.map(|found| found.reference)));
    }
    if let Exits::Keep { limit_bytes } = exits {
        queues.add_exits(draft, limit_bytes)?;
    }
    let queues = queues.into_records();
    let plan = PlanRecord { queues: queues.clone(), entries: records };
    let record = FlowRecord { plan: Some(plan), ..draft.record() };
    let mut plan = Plan { queues, entries, rewritten: BTreeMap::new(), record, notes };
    ownership::join(&draft.id, &mut plan, world)?;
    let loose = loose::ends(draft, &plan, world);
    plan.notes.extend(loose);
    Ok(plan)
}

/// The deployments that planning a start looks at: their keys. The plan reports a component that is not deployed.
pub fn wanted_components(draft: &Draft, world: &World) -> BTreeSet<String> {
    draft.processors.iter().filter_map(|processor| components::key_of(processor, world).ok().flatten()).collect()
}

/// The entries of other flows that may have to be rewritten when this flow comes or goes: those that send to what it consumes.
pub fn affected_entries(id: &str, flows: &BTreeMap<String, FlowRecord>, topics: &BTreeSet<String>) -> BTreeSet<EntryKey> {
    ownership::senders(id, flows, topics).into_keys().collect()
}
