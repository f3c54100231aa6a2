//! What a host should run, kept from one state of the configuration to the next, so that a change costs only what it affects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_config::Content;
use weir_config::records::{COMPONENT_TYPE, processor_of_entry_type};

use crate::config_state::ConfigState;
use crate::deployments::{Deployments, GivenComponent};
use crate::desired::{Desired, ReadEntry, Served, desired_of_entry};
use crate::status::VariantKey;

/// All variants that a host serves, and the content that they were parsed from.
#[derive(Default)]
pub(crate) struct DesiredState {
    all: BTreeMap<VariantKey, Desired>,
    deployments: Deployments,
    entries: BTreeMap<String, Entries>,
}

/// The entries of a processor, each parsed once until its text changes.
#[derive(Default)]
struct Entries {
    texts: Arc<Content>,
    read: BTreeMap<String, ReadEntry>,
}

impl Entries {
    /// Applies the current entries and returns the keys of those that changed.
    fn update(&mut self, texts: &Arc<Content>) -> Vec<String> {
        if Arc::ptr_eq(texts, &self.texts) {
            return Vec::new();
        }
        let changed: Vec<String> = differences(&self.texts, texts).into_iter().cloned().collect();
        changed.iter().for_each(|key| drop(self.read.remove(key)));
        self.texts = texts.clone();
        changed
    }

    fn read(&mut self, key: &str) -> Option<&ReadEntry> {
        let text = self.texts.get(key)?;
        Some(self.read.entry(key.to_owned()).or_insert_with(|| ReadEntry::of(text)))
    }
}

/// The differences from the previous state.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Changes {
    /// Variants that are new, changed, or to be removed (`None`).
    pub(crate) variants: BTreeMap<VariantKey, Option<Desired>>,
    /// Whether the deployments changed.
    pub(crate) are_components_changed: bool,
}

impl DesiredState {
    /// No variants yet; for a host with components given by processor name.
    pub(crate) fn new(given: BTreeMap<String, GivenComponent>) -> Self {
        DesiredState { deployments: Deployments::new(given), ..DesiredState::default() }
    }

    /// All variants.
    pub(crate) fn all(&self) -> &BTreeMap<VariantKey, Desired> {
        &self.all
    }

    /// The deployments that the variants use.
    pub(crate) fn deployments(&mut self) -> &mut Deployments {
        &mut self.deployments
    }

    /// Applies a state of the configuration and returns the changes.
    pub(crate) fn update(&mut self, state: &ConfigState, served: &Served) -> Changes {
        let are_components_changed = self.deployments.update(&state.shared(COMPONENT_TYPE).cloned().unwrap_or_default());
        let mut before = std::mem::take(&mut self.entries);
        let mut concerned = BTreeSet::new();
        for (config_type, content) in state.all_shared() {
            let Some(processor) = processor_of_entry_type(config_type).filter(|name| served.includes(name)) else { continue };
            let mut entries = before.remove(config_type).unwrap_or_default();
            let key = |variant: String| VariantKey { processor: processor.to_owned(), variant };
            concerned.extend(entries.update(content).into_iter().map(key));
            if are_components_changed {
                concerned.extend(content.keys().cloned().map(key));
            }
            self.entries.insert(config_type.to_owned(), entries);
        }
        let changed = concerned.into_iter().filter_map(|key| {
            let desired = self.desired(&key, served);
            let old = match &desired {
                Some(desired) => self.all.insert(key.clone(), desired.clone()),
                None => self.all.remove(&key),
            };
            (old != desired).then_some((key, desired))
        });
        Changes { variants: changed.collect(), are_components_changed }
    }

    fn desired(&mut self, key: &VariantKey, served: &Served) -> Option<Desired> {
        let read = self.entries.get_mut(&weir_config::records::entry_type(&key.processor))?.read(&key.variant)?;
        desired_of_entry(&key.processor, read, &mut self.deployments, served)
    }
}

/// The keys whose values differ.
fn differences<'c>(old: &'c Content, new: &'c Content) -> Vec<&'c String> {
    let changed = new.iter().filter(|(key, value)| old.get(*key) != Some(*value)).map(|(key, _)| key);
    changed.chain(old.keys().filter(|key| !new.contains_key(*key))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;
    use weir_config::Change;

    fn entry(size: &str) -> String {
        let component = json!({"name": "p", "version": "1.0.0", "digest": format!("sha256:{}", "ab".repeat(32))});
        json!({"topics": {}, "parameters": {"size": size}, "component": component}).to_string()
    }

    fn deployed() -> String {
        json!({"digest": format!("sha256:{}", "ab".repeat(32)), "size-bytes": 1, "world": "0.1.0", "descriptor": {"schema": 1}}).to_string()
    }

    fn change(version: u64, types: &[(&str, &[(&str, String)])]) -> Change {
        let content = |pairs: &[(&str, String)]| Arc::new(pairs.iter().map(|(key, text)| ((*key).to_owned(), text.clone())).collect());
        Change { version, types: types.iter().map(|(name, pairs)| ((*name).to_owned(), content(pairs))).collect() }
    }

    #[test]
    fn an_update_reports_only_the_differences() {
        let mut desired_state = DesiredState::default();
        let mut update = |state: &ConfigState| {
            let changes = desired_state.update(state, &Served::All);
            let told = |(key, desired): (VariantKey, Option<Desired>)| match desired {
                Some(Desired::Run(work)) => format!("{} runs {}", key.variant, work.entry.parameters["size"]),
                Some(Desired::Paused(_)) => format!("{} pauses", key.variant),
                Some(Desired::Broken { .. }) => format!("{} is broken", key.variant),
                None => format!("{} goes", key.variant),
            };
            (changes.variants.into_iter().map(told).collect::<Vec<_>>(), changes.are_components_changed)
        };
        let text = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let both = [("a", entry("1")), ("b", entry("1"))];
        let state = ConfigState::default().after(change(1, &[("processor:p", &both)]), None);
        assert_eq!(update(&state), (text(&["a is broken", "b is broken"]), false));
        let components = ("component", &[("p@1.0.0", deployed())][..]);
        let state = state.after(change(2, &[("processor:p", &both), components]), None);
        assert_eq!(update(&state), (text(&["a runs 1", "b runs 1"]), true));
        assert_eq!(update(&state), (text(&[]), false));
        let state = state.after(change(3, &[("processor:p", &[("b", entry("2")), ("c", entry("1"))]), components, ("other", &[])]), None);
        assert_eq!(update(&state), (text(&["a goes", "b runs 2", "c runs 1"]), false));
        let state = state.after(change(4, &[components]), None);
        assert_eq!(update(&state), (text(&["b goes", "c goes"]), false));
    }

    #[test]
    fn an_entry_and_a_deployment_are_read_once_until_their_text_changes() {
        let mut desired_state = DesiredState::default();
        let mut update = |state: &ConfigState| {
            desired_state.update(state, &Served::All);
            let work = |desired: &Desired| match desired {
                Desired::Run(work) => (work.entry.clone(), work.record.clone()),
                other => panic!("{other:?}"),
            };
            desired_state.all().values().map(work).collect::<Vec<_>>()
        };
        let both = [("a", entry("1")), ("b", entry("1"))];
        let first = ConfigState::default().after(change(1, &[("processor:p", &both), ("component", &[("p@1.0.0", deployed())])]), None);
        let before = update(&first);
        // An entry may be waiting for any deployment, so all are checked; and an entry changes.
        let both = [("a", entry("1")), ("b", entry("2"))];
        let components = [("p@1.0.0", deployed()), ("p@2.0.0", deployed())];
        let after = update(&first.after(change(2, &[("processor:p", &both), ("component", &components)]), None));
        assert!(Arc::ptr_eq(&before[0].0, &after[0].0) && !Arc::ptr_eq(&before[1].0, &after[1].0), "the entries");
        assert!(Arc::ptr_eq(&before[0].1, &after[0].1) && Arc::ptr_eq(&before[1].1, &after[1].1), "the deployment of both");
    }
}
