//! Whether something does the work of each processor. A flow with one that nothing does takes messages and never handles them.

use std::collections::BTreeSet;

use weir_config::names::parts_of_deployment_key;
use weir_pubsub::nearest;

use super::draft::{Draft, DraftProcessor};
use super::{World, components, ownership};
use crate::blueprint::shown;
use crate::error::{FlowError, Result};

/// Processors that an error names, at most.
const MAX_NAMED_COUNT: usize = 50;

/// What is asked of a start about those that do its processors' work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readers {
    /// Whether something must do the work of each processor.
    pub are_required: bool,
    /// Processors that programs outside of Weir do.
    pub external: BTreeSet<String>,
}

/// Checks that something does the work of each processor, if that is required. Returns what else was noticed, for people.
///
/// # Errors
/// [`FlowError::Unserved`], with all processors that nothing does; [`FlowError::Plan`] for a component that is not deployed.
pub fn check_readers(draft: &Draft, world: &World, readers: &Readers) -> Result<Vec<String>> {
    let names: BTreeSet<&str> = draft.processors.iter().map(|processor| processor.key.processor.as_str()).collect();
    let unknown = readers.external.iter().filter(|name| !names.contains(name.as_str()));
    let note = |name: &String| {
        format!("`{}` is not a processor of the blueprint: --external has no use for it{}", shown(name), meant(name, &names))
    };
    let notes = unknown.take(MAX_NAMED_COUNT).map(note).collect();
    if !readers.are_required {
        return Ok(notes);
    }
    let (mut unserved, mut not_deployed) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for processor in &draft.processors {
        let name = processor.key.processor.as_str();
        let is_served = readers.external.contains(name) || world.descriptors.contains_key(name) || world.hosted.contains(name);
        match components::key_of(processor, world) {
            Ok(None) if !is_served && seen.insert(name) => unserved.push(processor),
            Ok(_) => {}
            Err(error) => not_deployed.push((processor, error)),
        }
    }
    if unserved.is_empty() && not_deployed.len() < 2 {
        return not_deployed.pop().map_or(Ok(notes), |(_, error)| Err(error));
    }
    let more = (unserved.len() + not_deployed.len()).saturating_sub(MAX_NAMED_COUNT);
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    // Near names are looked for among all deployments: only for those that are named.
    let without_component = unserved.into_iter().map(|processor| told(processor, world));
    let named = without_component.chain(not_deployed.iter().map(|(processor, _)| {
        let component = processor.component.as_deref().unwrap_or_default();
        format!("`{}` (its component `{}` is not deployed)", shown(&processor.key.processor), shown(component))
    }));
    Err(FlowError::Unserved { processors: named.take(MAX_NAMED_COUNT).collect::<Vec<_>>().join(", ") + &more })
}

/// A processor that nothing does, with what was perhaps meant.
fn told(processor: &DraftProcessor, world: &World) -> String {
    let name = &processor.key.processor;
    let known = world.deployed.iter().filter_map(|key| parts_of_deployment_key(key)).map(|(name, _)| name);
    let known: BTreeSet<&str> = known.chain(world.hosted.iter().map(String::as_str)).collect();
    let hint = match ownership::shared_entry(&processor.key, world) {
        Some(_) if components::newest(name, world).is_some() => {
            format!(" (other flows share its entry, which has no component: weir swap FLOW {0} {0} --shared)", shown(name))
        }
        _ => meant(name, &known),
    };
    format!("`{}`{hint}", shown(name))
}

fn meant(name: &str, known: &BTreeSet<&str>) -> String {
    nearest(name, known.iter().copied()).map_or_else(String::new, |other| format!(" (did you mean `{}`?)", shown(other)))
}
