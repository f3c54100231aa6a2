//! What a host should run, kept from one state of the configuration to the next, so that a change costs what it changes and not all entries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_config::Content;
use weir_config::records::{COMPONENT_TYPE, processor_of_entry_type};

use crate::config_state::ConfigState;
use crate::reconcile::{Deployments, GivenComponent, Served, Wanted, wanted_of_entry};
use crate::status::Key;

/// All variants that a host should know of, and the content that they were read from.
#[derive(Default)]
pub(crate) struct Wants {
    all: BTreeMap<Key, Wanted>,
    components: Arc<Content>,
    entries: BTreeMap<String, Arc<Content>>,
    given: BTreeMap<String, GivenComponent>,
}

/// What is different from the state before.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Changes {
    /// Variants that are new, changed, or not to be there any more (`None`).
    pub(crate) variants: BTreeMap<Key, Option<Wanted>>,
    /// Whether the deployments are others.
    pub(crate) are_components_changed: bool,
}

impl Wants {
    /// Nothing yet, of a host that was given components for the names of processors.
    pub(crate) fn new(given: BTreeMap<String, GivenComponent>) -> Self {
        Wants { given, ..Wants::default() }
    }

    /// All variants.
    pub(crate) fn all(&self) -> &BTreeMap<Key, Wanted> {
        &self.all
    }

    /// Takes over a state of the configuration; what it changes.
    pub(crate) fn update(&mut self, state: &ConfigState, served: &Served) -> Changes {
        let components = state.shared(COMPONENT_TYPE).cloned().unwrap_or_default();
        let are_components_changed = !Arc::ptr_eq(&components, &self.components) && components != self.components;
        self.components = components;
        let before = std::mem::take(&mut self.entries);
        let mut concerned = BTreeSet::new();
        for (config_type, content) in state.all_shared() {
            let Some(processor) = processor_of_entry_type(config_type).filter(|name| served.includes(name)) else { continue };
            self.entries.insert(config_type.to_owned(), content.clone());
            let key = |variant: &String| Key { processor: processor.to_owned(), variant: variant.clone() };
            match before.get(config_type) {
                Some(old) if !are_components_changed && Arc::ptr_eq(old, content) => {}
                Some(old) if !are_components_changed => concerned.extend(differences(old, content).into_iter().map(key)),
                old => concerned.extend(content.keys().chain(old.iter().flat_map(|old| old.keys())).map(key)),
            }
        }
        let (components, given) = (self.components.clone(), self.given.clone());
        let mut deployments = Deployments::new(&components, &given);
        let changed = concerned.into_iter().filter_map(|key| {
            let wanted = self.wanted(&key, &mut deployments, served);
            let old = match &wanted {
                Some(wanted) => self.all.insert(key.clone(), wanted.clone()),
                None => self.all.remove(&key),
            };
            (old != wanted).then_some((key, wanted))
        });
        let changed: Vec<_> = changed.collect();
        Changes { variants: changed.into_iter().collect(), are_components_changed }
    }

    fn wanted(&self, key: &Key, deployments: &mut Deployments<'_>, served: &Served) -> Option<Wanted> {
        let text = self.entries.get(&weir_config::records::entry_type(&key.processor))?.get(&key.variant)?;
        wanted_of_entry(&key.processor, text, deployments, served)
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
    fn a_state_changes_what_differs_from_the_one_before() {
        let mut wants = Wants::default();
        let mut update = |state: &ConfigState| {
            let changes = wants.update(state, &Served::All);
            let told = |(key, wanted): (Key, Option<Wanted>)| match wanted {
                Some(Wanted::Run(work)) => format!("{} runs {}", key.variant, work.entry.parameters["size"]),
                Some(Wanted::Paused(_)) => format!("{} pauses", key.variant),
                Some(Wanted::Broken { .. }) => format!("{} is broken", key.variant),
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
}
