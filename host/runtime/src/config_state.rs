//! The configuration as a host has it: one consistent state, replaced as a whole by the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_config::{Change, Content};

/// One state. Types that never had a value are left out.
#[derive(Debug, Default)]
pub(crate) struct ConfigState {
    /// The version of the configuration.
    pub(crate) version: u64,
    types: BTreeMap<String, TypeState>,
    /// The types that are followed; `None` before the first change.
    followed_types: Option<FollowedTypes>,
}

/// The config types that a host follows; others do not concern it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FollowedTypes {
    pub(crate) types: BTreeSet<String>,
    /// Prefixes of further types.
    pub(crate) prefix: Option<&'static str>,
}

impl FollowedTypes {
    fn contains(&self, name: &str) -> bool {
        self.types.contains(name) || self.prefix.is_some_and(|prefix| name.starts_with(prefix))
    }
}

#[derive(Clone, Debug)]
struct TypeState {
    /// The version in which it last changed, as far as this host saw.
    version: u64,
    content: Arc<Content>,
}

impl ConfigState {
    /// The state after a change. A type with the same content as before keeps its version; one that lost its last value stays, empty. One
    /// that is no longer followed stays as it is: the change does not cover it.
    pub(crate) fn after(&self, change: Change, followed_types: Option<FollowedTypes>) -> Self {
        let mut types = BTreeMap::new();
        for (name, old) in &self.types {
            let is_followed = followed_types.as_ref().is_none_or(|followed_types| followed_types.contains(name));
            let gone = is_followed && !change.types.contains_key(name);
            let state =
                if gone && !old.content.is_empty() { TypeState { version: change.version, content: Arc::default() } } else { old.clone() };
            types.insert(name.clone(), state);
        }
        for (name, content) in change.types {
            match types.get_mut(&name) {
                Some(state) if Arc::ptr_eq(&state.content, &content) || state.content == content => {}
                Some(state) => *state = TypeState { version: change.version, content },
                None if content.is_empty() => {}
                None => {
                    types.insert(name, TypeState { version: change.version, content });
                }
            }
        }
        ConfigState { version: change.version, types, followed_types }
    }

    /// The same state, restricted to some types.
    pub(crate) fn only(&self, types: &[String]) -> Self {
        let kept = types.iter().filter_map(|name| Some((name.clone(), self.types.get(name)?.clone())));
        ConfigState { version: self.version, types: kept.collect(), followed_types: None }
    }

    /// Whether the content of these types is known.
    pub(crate) fn covers(&self, types: &[String]) -> bool {
        self.followed_types.as_ref().is_none_or(|followed_types| types.iter().all(|name| followed_types.contains(name)))
    }

    /// All values of a type, by key.
    pub(crate) fn content(&self, config_type: &str) -> Option<&Content> {
        self.types.get(config_type).map(|state| &*state.content)
    }

    /// The same, shared.
    pub(crate) fn shared(&self, config_type: &str) -> Option<&Arc<Content>> {
        self.types.get(config_type).map(|state| &state.content)
    }

    /// The version in which a type last changed; 0 for a type that never had a value.
    pub(crate) fn version_of(&self, config_type: &str) -> u64 {
        self.types.get(config_type).map_or(0, |state| state.version)
    }

    /// All types that have or had values.
    pub(crate) fn all_shared(&self) -> impl Iterator<Item = (&str, &Arc<Content>)> {
        self.types.iter().map(|(name, state)| (name.as_str(), &state.content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(version: u64, types: &[(&str, &[(&str, &str)])]) -> Change {
        let content = |pairs: &[(&str, &str)]| Arc::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        Change { version, types: types.iter().map(|(name, pairs)| ((*name).to_owned(), content(pairs))).collect() }
    }

    #[test]
    fn a_type_has_the_version_in_which_it_last_changed() {
        let state = ConfigState::default().after(change(5, &[("a", &[("k", "1")]), ("b", &[("k", "1")]), ("empty", &[])]), None);
        assert_eq!((state.version_of("a"), state.version_of("empty"), state.version_of("x")), (5, 0, 0));
        let state = state.after(change(6, &[("a", &[("k", "1")]), ("b", &[("k", "2")])]), None);
        assert_eq!((state.version, state.version_of("a"), state.version_of("b")), (6, 5, 6));
    }

    #[test]
    fn an_instance_keeps_its_types_at_the_same_versions() {
        let state = ConfigState::default().after(change(5, &[("a", &[("k", "1")]), ("b", &[("k", "1")])]), None);
        let state = state.after(change(6, &[("a", &[("k", "1")]), ("b", &[("k", "2")])]), None);
        let only = state.only(&["a".to_owned(), "none".to_owned()]);
        assert_eq!((only.version, only.version_of("a"), only.version_of("b"), only.version_of("none")), (6, 5, 0, 0));
        assert!(only.content("a").is_some() && only.content("b").is_none());
    }

    #[test]
    fn a_type_that_lost_its_last_value_changed_once() {
        let state = ConfigState::default().after(change(5, &[("a", &[("k", "1")])]), None);
        let state = state.after(change(6, &[]), None).after(change(7, &[]), None);
        assert_eq!((state.version_of("a"), state.content("a").map(BTreeMap::len)), (6, Some(0)));
    }

    #[test]
    fn a_type_that_is_not_followed_any_more_has_not_lost_its_values() {
        let followed_types = |types: &[&str]| Some(FollowedTypes { types: types.iter().map(ToString::to_string).collect(), prefix: None });
        let state = ConfigState::default().after(change(5, &[("a", &[("k", "1")])]), followed_types(&["a", "b"]));
        let state = state.after(change(6, &[]), followed_types(&["b"]));
        assert_eq!((state.version_of("a"), state.content("a").map(BTreeMap::len)), (5, Some(1)));
        assert!(!state.covers(&["a".to_owned()]));
        let state = state.after(change(7, &[]), followed_types(&["a", "b"]));
        assert_eq!((state.version_of("a"), state.content("a").map(BTreeMap::len)), (7, Some(0)), "meanwhile it did");
    }
}
