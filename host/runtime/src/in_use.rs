//! Which config types are in use: by running work and by work being prepared, whatever the entries name by now.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;

/// The types in use, with a count. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct TypesInUse(watch::Sender<BTreeMap<String, usize>>);

/// The use of some types, until it is dropped.
#[derive(Debug)]
pub(crate) struct TypesHeld {
    types: Vec<String>,
    in_use: TypesInUse,
}

impl TypesInUse {
    /// No type is in use yet.
    pub(crate) fn new() -> Self {
        TypesInUse(watch::Sender::new(BTreeMap::new()))
    }

    /// Marks types as used.
    pub(crate) fn hold(&self, types: impl IntoIterator<Item = String>) -> TypesHeld {
        let types: Vec<String> = types.into_iter().collect();
        self.0.send_if_modified(|counts| {
            let known_count = counts.len();
            types.iter().for_each(|name| *counts.entry(name.clone()).or_default() += 1);
            counts.len() > known_count
        });
        TypesHeld { types, in_use: self.clone() }
    }

    /// The types in use now.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.0.borrow().keys().cloned().collect()
    }

    /// A receiver of changes from now on: types that come into use or are no longer used.
    pub(crate) fn changes(&self) -> watch::Receiver<BTreeMap<String, usize>> {
        self.0.subscribe()
    }
}

impl Drop for TypesHeld {
    fn drop(&mut self) {
        self.in_use.0.send_if_modified(|counts| {
            let known_count = counts.len();
            for name in &self.types {
                counts.entry(name.clone()).and_modify(|count| *count -= 1);
            }
            counts.retain(|_, count| *count > 0);
            counts.len() < known_count
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_in_use_until_the_last_one_that_holds_it_lets_go() {
        let (in_use, types) = (TypesInUse::new(), |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>());
        let mut changes = in_use.changes();
        let old = in_use.hold(types(&["prompt"]));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        let also_old = in_use.hold(types(&["prompt"]));
        drop(old);
        assert!(!changes.has_changed().unwrap(), "nothing about the names has changed");
        let new = in_use.hold(types(&["settings"]));
        assert_eq!(in_use.names().into_iter().collect::<Vec<_>>(), ["prompt", "settings"]);
        drop(also_old);
        assert!(changes.has_changed().unwrap());
        assert_eq!(in_use.names().into_iter().collect::<Vec<_>>(), ["settings"]);
        drop(new);
        assert!(in_use.names().is_empty());
    }
}
