//! What the follower knows of the types that its handlers want.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Content;
use super::fetch::{Update, Wanted};

/// Content by type, each in the version in which it is known: never below the follower's own.
#[derive(Debug, Default)]
pub(super) struct Cache {
    types: BTreeMap<String, Known>,
    /// Of which version all types were fetched; what is not in `types` has been without values since.
    rest: Option<u64>,
}

#[derive(Debug)]
struct Known {
    version: u64,
    content: Arc<Content>,
}

impl Cache {
    pub(super) fn of_everything(version: u64) -> Self {
        Cache { types: BTreeMap::new(), rest: Some(version) }
    }

    pub(super) fn insert(&mut self, config_type: String, version: u64, content: Content) {
        self.types.insert(config_type, Known { version, content: Arc::new(content) });
    }

    /// In which version a type is known, if it is wanted.
    pub(super) fn version_of(&self, config_type: &str, wanted: &Wanted) -> Option<u64> {
        if !wanted.contains(config_type) {
            return None;
        }
        self.types.get(config_type).map(|known| known.version).or(self.rest)
    }

    /// Drops what nobody wants any more: it is not kept up to date.
    pub(super) fn keep_only(&mut self, wanted: &Wanted) {
        self.types.retain(|config_type, _| wanted.contains(config_type));
        if !wanted.everything {
            self.rest = None;
        }
    }

    /// Adds what was not known. What is known stays: it is kept up to date by notifies that are still to come.
    pub(super) fn add(&mut self, more: Cache) {
        for (config_type, known) in more.types {
            self.types.entry(config_type).or_insert(known);
        }
        self.rest = self.rest.or(more.rest);
    }

    /// Takes in a change.
    pub(super) fn update(&mut self, update: Update) {
        for (config_type, (version, content)) in update.types {
            self.insert(config_type, version, content);
        }
        for (config_type, values) in update.keys {
            let known = self.types.entry(config_type).or_insert_with(|| Known { version: 0, content: Arc::default() });
            known.version = update.notified_version;
            let content = Arc::make_mut(&mut known.content);
            for (key, value) in values {
                match value {
                    Some(value) => content.insert(key, value),
                    None => content.remove(&key),
                };
            }
        }
    }

    /// What a handler gets; `None` stands for everything.
    pub(super) fn content_for(&self, types: Option<&BTreeSet<String>>) -> BTreeMap<String, Arc<Content>> {
        match types {
            Some(types) => types.iter().map(|name| (name.clone(), self.content_of(name))).collect(),
            None => {
                let with_values = self.types.iter().filter(|(_, known)| !known.content.is_empty());
                with_values.map(|(name, known)| (name.clone(), known.content.clone())).collect()
            }
        }
    }

    fn content_of(&self, config_type: &str) -> Arc<Content> {
        self.types.get(config_type).map(|known| known.content.clone()).unwrap_or_default()
    }
}
