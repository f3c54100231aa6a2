//! Plans for flows that another flow service started, whose records have no plan.

use std::collections::BTreeMap;

use weir_config::names::processor_subscription_text;
use weir_config::records::{Descriptor, Entry};

use super::draft::Draft;
use super::{EntryKey, Exits, directions, queues::Queues};
use crate::error::Result;
use crate::protocol::{EntryRecord, PlanRecord, QueueRecord};

/// The resources of a running foreign flow, according to its blueprint. Its entries are already in the configuration and stay unchanged.
///
/// # Errors
/// [`crate::FlowError::Plan`] if two inputs would share a queue or a queue's name is too long.
pub fn adopt(draft: &Draft, descriptors: &BTreeMap<String, Descriptor>, exits: Exits) -> Result<PlanRecord> {
    let mut queues = Queues::default();
    let mut entries = Vec::new();
    for processor in &draft.processors {
        let directions = match descriptors.get(&processor.key.processor) {
            Some(descriptor) => directions::by_descriptor(&processor.topics, descriptor),
            None => directions::by_name(&processor.topics),
        };
        queues.add_inputs(processor, &directions)?;
        let EntryKey { processor, variant } = processor.key.clone();
        entries.push(EntryRecord { processor, variant, outputs: directions.outputs, ..EntryRecord::default() });
    }
    if let Exits::Keep { limit_bytes } = exits {
        queues.add_exits(draft, limit_bytes)?;
    }
    Ok(PlanRecord { queues: queues.into_records(), entries })
}

/// The resources of a flow whose blueprint is missing or unusable: the entries whose variant is the flow's id, and the queues of their inputs.
pub fn adopt_without_blueprint(id: &str, entries: &BTreeMap<EntryKey, Entry>) -> PlanRecord {
    let mut plan = PlanRecord::default();
    for (EntryKey { processor, variant }, entry) in entries.iter().filter(|(key, _)| key.variant == id) {
        let parsed = entry.topics.iter().filter_map(|(spec, topic)| Some((spec.clone(), topic.parse().ok()?))).collect();
        let directions = directions::by_name(&parsed);
        plan.queues.extend(directions.inputs.iter().filter(|(_, topic)| topic.class().has_queues()).map(|(spec, topic)| QueueRecord {
            topic: topic.to_string(),
            subscription: processor_subscription_text(processor, variant, spec),
            drop_oldest_above_bytes: None,
            found: false,
        }));
        let (processor, variant) = (processor.clone(), variant.clone());
        plan.entries.push(EntryRecord { processor, variant, outputs: directions.outputs, ..EntryRecord::default() });
    }
    plan
}
