//! Checks that something provides each processor. Otherwise a flow would accept messages and never handle them.

use std::collections::BTreeSet;

use weir_config::names::parts_of_deployment_key;
use weir_pubsub::nearest;

use super::draft::{Draft, DraftProcessor};
use super::{Snapshot, components, ownership};
use crate::error::{FlowError, Result, Unserved, UnservedCause, hint};
use crate::naming::shown;

/// Maximum number of processors that an error names.
const MAX_NAMED_COUNT: usize = 50;

/// The requirements of a start on the providers of its processors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readers {
    /// Whether each processor must be provided.
    pub are_required: bool,
    /// Processors provided by external programs.
    pub external: BTreeSet<String>,
}

/// Checks that each processor is provided, if required. Returns other notes, for people.
///
/// # Errors
/// [`FlowError::Unserved`], with all processors that nothing provides; [`FlowError::Plan`] for a component that is not deployed.
pub fn check_readers(draft: &Draft, snapshot: &Snapshot, readers: &Readers) -> Result<Vec<String>> {
    let names: BTreeSet<&str> = draft.processors.iter().map(|processor| processor.key.processor.as_str()).collect();
    let unknown = readers.external.iter().filter(|name| !names.contains(name.as_str()));
    let note = |name: &String| {
        format!("`{}` is not a processor of the blueprint: correct or remove --external{}", shown(name), meant(name, &names))
    };
    let notes = unknown.take(MAX_NAMED_COUNT).map(note).collect();
    if !readers.are_required {
        return Ok(notes);
    }
    let (mut unserved, mut not_deployed) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for processor in &draft.processors {
        let name = processor.key.processor.as_str();
        let is_served = readers.external.contains(name) || snapshot.descriptors.contains_key(name) || snapshot.hosted.contains(name);
        match components::key_of(processor, snapshot) {
            Ok(None) if !is_served && seen.insert(name) => unserved.push(processor),
            Ok(_) => {}
            Err(error) => not_deployed.push((processor, error)),
        }
    }
    if unserved.is_empty() && not_deployed.len() < 2 {
        return not_deployed.pop().map_or(Ok(notes), |(_, error)| Err(error));
    }
    let more_count = (unserved.len() + not_deployed.len()).saturating_sub(MAX_NAMED_COUNT);
    // Suggestions come from all deployments, and only for explicit references.
    let without_component = unserved.into_iter().map(|processor| without_reader(processor, snapshot));
    let named = without_component.chain(not_deployed.iter().map(|(processor, _)| Unserved {
        processor: processor.key.processor.clone(),
        cause: UnservedCause::NotDeployed { component: processor.component.clone().unwrap_or_default() },
    }));
    Err(FlowError::Unserved { processors: named.take(MAX_NAMED_COUNT).collect(), more_count })
}

fn without_reader(processor: &DraftProcessor, snapshot: &Snapshot) -> Unserved {
    let name = &processor.key.processor;
    let known = snapshot.deployed.iter().filter_map(|key| parts_of_deployment_key(key)).map(|(name, _)| name);
    let known: BTreeSet<&str> = known.chain(snapshot.hosted.iter().map(String::as_str)).collect();
    let cause = match ownership::shared_entry(&processor.key, snapshot) {
        Some(_) if components::newest(name, snapshot).is_some() => UnservedCause::SharedWithoutComponent,
        _ => UnservedCause::NoReader { meant: nearest(name, known.into_iter()).map(str::to_owned) },
    };
    Unserved { processor: name.clone(), cause }
}

fn meant(name: &str, known: &BTreeSet<&str>) -> String {
    hint(nearest(name, known.iter().copied()))
}
