//! The changes that swapping the component of one processor requires, and those that revert it.

use std::collections::BTreeSet;

use weir_config::names::{entry_name, parts_of_deployment_key};
use weir_config::records::{ComponentRef, Entry, Refusal, fit};

use super::ownership::plans;
use super::{EntryKey, Snapshot, SwapRefusal, components};
use crate::error::{FlowError, Result};
use crate::naming::shown;
use crate::protocol::{EntryRecord, FlowRecord, FlowStatus};

/// The swap to plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwapRequest {
    /// The flow.
    pub flow: String,
    /// The processor: `NAME`, or `NAME:VARIANT` if the flow has several with that name.
    pub processor: String,
    /// The deployment: `NAME@VERSION`, or `NAME` for its newest version.
    pub component: String,
    /// Also swap it for other flows that share the entry.
    pub shared: bool,
    /// Keep no previous component: the old one can then be removed, and a host that permanently refuses the new one only continues with the old one
    /// until it is restarted.
    pub forget: bool,
}

/// The changes of a swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// The entry's key.
    pub key: EntryKey,
    /// The complete new entry; unchanged if it already has that component.
    pub entry: Entry,
    /// The current component of the entry; `None` if an external program or nothing serves it.
    pub old: Option<ComponentRef>,
    /// Other flows that share it.
    pub sharers: BTreeSet<String>,
}

fn refuse<T>(place: impl Into<String>, refusal: impl Into<SwapRefusal>) -> Result<T> {
    Err(FlowError::Swap { place: place.into(), source: refusal.into() })
}

/// The entry that an order refers to.
///
/// # Errors
/// [`FlowError::Swap`]: there is no such processor, or several, or the flow is not running.
pub fn swapped_entry(order: &SwapRequest, flow: &FlowRecord) -> Result<EntryKey> {
    let place = || format!("flow `{}`, processor `{}`", shown(&order.flow), shown(&order.processor));
    match flow.status {
        None => {}
        Some(FlowStatus::Stopping) => return refuse(place(), SwapRefusal::Stopping),
        Some(_) => return refuse(place(), SwapRefusal::BetweenStates),
    }
    let entries = flow.plan.iter().flat_map(|plan| &plan.entries);
    let full_name = |entry: &EntryRecord| entry_name(&entry.processor, &entry.variant);
    let meant: Vec<_> = entries.clone().filter(|entry| entry.processor == order.processor || full_name(entry) == order.processor).collect();
    match meant.as_slice() {
        [one] => Ok(EntryKey::of(one)),
        [] => {
            let known: BTreeSet<&str> = entries.map(|entry| entry.processor.as_str()).collect();
            refuse(place(), SwapRefusal::UnknownProcessor { known: owned(known) })
        }
        several => {
            let known = several.iter().map(|entry| full_name(entry)).collect();
            refuse(place(), SwapRefusal::SeveralProcessors { known })
        }
    }
}

/// The key of the deployment that an order refers to.
///
/// # Errors
/// [`FlowError::Swap`]: it is not deployed.
pub fn swapped_component(order: &SwapRequest, snapshot: &Snapshot) -> Result<String> {
    components::deployment(&order.component, snapshot)
        .or_else(|error| refuse(format!("flow `{}`, component `{}`", shown(&order.flow), shown(&order.component)), error))
}

/// Plans a swap. `bad` are the components that hosts recently could not run for this entry: they are not suitable as previous ones.
///
/// # Errors
/// [`FlowError::Swap`], naming the topic, parameter or grant and the fix.
pub fn plan_swap(order: &SwapRequest, key: &EntryKey, snapshot: &Snapshot, bad: &[ComponentRef]) -> Result<Swap> {
    let place = format!("flow `{}`, processor `{}`", shown(&order.flow), shown(&key.processor));
    let Some(entry) = snapshot.entries.get(key) else {
        return refuse(place, SwapRefusal::EntryGone { variant: key.variant.clone() });
    };
    let old = entry.component.as_ref();
    let sharers = sharers(&order.flow, key, snapshot);
    if !sharers.is_empty() && !order.shared {
        return refuse(place, SwapRefusal::Shared { flows: sharers.into_iter().collect() });
    }
    let reference = swapped_component(order, snapshot)?;
    let Some(record) = snapshot.components.get(&reference) else {
        return refuse(place, SwapRefusal::ComponentGone { key: reference });
    };
    let (name, version) = parts_of_deployment_key(&reference).unwrap_or((&reference, ""));
    let component = ComponentRef { name: name.to_owned(), version: version.to_owned(), digest: record.digest };
    let new = format!("{place}, component `{reference}`");
    if !record.world.starts_with("0.1.") {
        return refuse(new, SwapRefusal::OtherContract { world: record.world.clone() });
    }
    let fitting = fit(&key.processor, &key.variant, entry, record).or_else(|unfit| refuse(&new, unfit))?;
    let reads: BTreeSet<&str> = fitting.inputs.iter().map(|input| input.name.as_str()).collect();
    let fed = inputs(key, entry, snapshot);
    if let Some(input) = fed.difference(&reads).next() {
        return refuse(new, SwapRefusal::UnreadInput { input: (*input).to_owned(), reads: owned(reads) });
    }
    if let Some(input) = reads.difference(&fed).next() {
        return refuse(new, SwapRefusal::OtherInput { input: (*input).to_owned() });
    }
    let swapped = match Some(&component) == old {
        true => entry.clone(),
        false => {
            let is_good = |candidate: &&ComponentRef| !order.forget && **candidate != component && !bad.contains(candidate);
            let previous = [old, entry.previous.as_ref()].into_iter().flatten().find(is_good).cloned();
            Entry { component: Some(component), previous, ..entry.clone() }
        }
    };
    Ok(Swap { key: key.clone(), entry: swapped, old: old.cloned(), sharers })
}

/// The entry with its previous component instead of one that hosts permanently refuse; `None` if it has another component by now or no previous one.
pub fn revert(entry: &Entry, refusal: &Refusal) -> Option<Entry> {
    if !refusal.permanent || entry.component.as_ref() != Some(&refusal.component) {
        return None;
    }
    let previous = entry.previous.clone()?;
    Some(Entry { component: Some(previous), previous: None, ..entry.clone() })
}

/// The topics that the flow feeds to an entry: all except its outputs.
fn inputs<'w>(key: &EntryKey, entry: &'w Entry, snapshot: &'w Snapshot) -> BTreeSet<&'w str> {
    let records = plans(&snapshot.flows, "").flat_map(|plan| &plan.entries).filter(|record| EntryKey::of(record) == *key);
    let outputs: BTreeSet<&str> = records.flat_map(|record| record.outputs.keys()).map(String::as_str).collect();
    entry.topics.keys().map(String::as_str).filter(|spec| !outputs.contains(spec)).collect()
}

fn owned(names: BTreeSet<&str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

fn sharers(flow: &str, key: &EntryKey, snapshot: &Snapshot) -> BTreeSet<String> {
    let owns = |record: &FlowRecord| record.plan.iter().flat_map(|plan| &plan.entries).any(|entry| EntryKey::of(entry) == *key);
    let others = snapshot.flows.iter().filter(|(id, record)| *id != flow && record.status != Some(FlowStatus::Stopping) && owns(record));
    others.map(|(id, _)| id.clone()).collect()
}
