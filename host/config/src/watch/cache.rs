//! The follower's cache of the types that its handlers are interested in.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::change::Content;
use super::interest::Interest;
use super::registry::Registered;

/// Content by type, each with the version at which it is known, which is never below the follower's own.
#[derive(Debug, Default)]
pub(super) struct Cache {
    types: BTreeMap<String, Known>,
    /// The version at which all types were fetched; types that are not in `types` have had no values since.
    rest: Option<u64>,
    /// The same for the types with a prefix.
    listed: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Known {
    version: u64,
    content: Arc<Content>,
}

/// The content fetched for a notify.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) notified_version: u64,
    pub(super) lowest_version: u64,
    /// Whole types, with the version of each.
    pub(super) types: BTreeMap<String, (u64, Content)>,
    /// Single keys; `None` for removed ones. They may be newer than the notify, but other concurrent changes are not included: a type updated with
    /// them is only known at the notified version.
    pub(super) keys: BTreeMap<String, Vec<(String, Option<String>)>>,
}

impl Cache {
    pub(super) fn of_everything(version: u64, interest: &Interest) -> Self {
        let mut cache = Cache { rest: Some(version), ..Cache::default() };
        cache.note_listed(interest, version);
        cache
    }

    /// Records that all types with the requested prefixes are cached as of a version.
    pub(super) fn note_listed(&mut self, interest: &Interest, version: u64) {
        self.listed.extend(interest.prefixes.iter().map(|prefix| (prefix.clone(), version)));
    }

    pub(super) fn insert(&mut self, config_type: String, version: u64, content: Content) {
        self.types.insert(config_type, Known { version, content: Arc::new(content) });
    }

    /// The version at which a type is cached, if a handler is interested in it.
    pub(super) fn version_of(&self, config_type: &str, interest: &Interest) -> Option<u64> {
        if !interest.contains(config_type) {
            return None;
        }
        let listed = || interest.prefix_of(config_type).and_then(|prefix| self.listed.get(prefix).copied());
        self.types.get(config_type).map(|known| known.version).or(self.rest).or_else(listed)
    }

    /// The part of this that is not cached.
    pub(super) fn missing(&self, mut interest: Interest) -> Interest {
        interest.everything &= self.rest.is_none();
        interest.types.retain(|name| self.rest.is_none() && !self.types.contains_key(name));
        interest.prefixes.retain(|prefix| self.rest.is_none() && !self.listed.contains_key(prefix));
        interest
    }

    /// Drops types without interested handlers: they are not kept up to date.
    pub(super) fn keep_only(&mut self, interest: &Interest) {
        self.types.retain(|config_type, _| interest.contains(config_type));
        self.listed.retain(|prefix, _| interest.prefixes.contains(prefix));
        if !interest.everything {
            self.rest = None;
        }
    }

    /// Adds missing types. Cached ones stay: later notifies keep them up to date.
    pub(super) fn add(&mut self, more: Cache) {
        for (config_type, known) in more.types {
            self.types.entry(config_type).or_insert(known);
        }
        self.rest = self.rest.or(more.rest);
        for (prefix, version) in more.listed {
            self.listed.entry(prefix).or_insert(version);
        }
    }

    /// Applies a change.
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

    /// The content for a handler.
    pub(super) fn content_for(&self, handler: &Registered) -> BTreeMap<String, Arc<Content>> {
        let is_wanted = |name: &str| handler.types.is_none() || handler.has_prefix_of(name);
        let with_values = self.types.iter().filter(|(name, known)| is_wanted(name) && !known.content.is_empty());
        let mut all: BTreeMap<_, _> = with_values.map(|(name, known)| (name.clone(), known.content.clone())).collect();
        all.extend(handler.types.iter().flatten().map(|name| (name.clone(), self.content_of(name))));
        all
    }

    fn content_of(&self, config_type: &str) -> Arc<Content> {
        self.types.get(config_type).map(|known| known.content.clone()).unwrap_or_default()
    }
}
