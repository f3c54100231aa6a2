//! Planning the start of a flow.

use std::collections::{BTreeMap, BTreeSet};

use super::queues::Queues;
use super::{Draft, EntryKey, Exits, Snapshot, StartPlan, components, dangling, directions, ownership};
use crate::error::Result;
use crate::protocol::{EntryRecord, FlowRecord, PlanRecord};

/// Plans the start of a flow.
///
/// # Errors
/// [`crate::FlowError::Plan`], naming the processor, the field and the fix.
pub fn plan_start(draft: &Draft, snapshot: &Snapshot, exits: Exits) -> Result<StartPlan> {
    let mut notes = draft.notes.clone();
    let mut entries = BTreeMap::new();
    let mut records = Vec::new();
    let mut queues = Queues::default();
    for processor in &draft.processors {
        let found = components::component_of(processor, snapshot)?;
        let descriptor =
            found.as_ref().map(|found| &found.record.descriptor).or_else(|| snapshot.descriptors.get(&processor.key.processor));
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
    let mut plan = StartPlan { queues, entries, rewritten: BTreeMap::new(), record, notes };
    ownership::join(&draft.id, &mut plan, snapshot)?;
    let loose = dangling::dangling_ends(draft, &plan, snapshot);
    plan.notes.extend(loose);
    Ok(plan)
}

/// The keys of the deployments that planning a start examines. The plan reports a component that is not deployed.
pub fn wanted_components(draft: &Draft, snapshot: &Snapshot) -> BTreeSet<String> {
    draft.processors.iter().filter_map(|processor| components::key_of(processor, snapshot).ok().flatten()).collect()
}

/// The entries of other flows that may have to be updated when this flow starts or stops: those that send to its inputs.
pub fn affected_entries(id: &str, flows: &BTreeMap<String, FlowRecord>, topics: &BTreeSet<String>) -> BTreeSet<EntryKey> {
    ownership::senders(id, flows, topics).into_keys().collect()
}
