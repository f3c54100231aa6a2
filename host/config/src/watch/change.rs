//! The argument of handlers.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;

/// The content of one type: value by key.
pub type Content = BTreeMap<String, String>;

/// The argument of a handler: the complete current content of its types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The content is at least as new as this version of the configuration.
    pub version: u64,
    /// The content by type. It has every type of a handler, including those without values; a handler of everything gets all types that have values.
    /// Shared with the follower and its other handlers.
    pub types: BTreeMap<String, Arc<Content>>,
}

impl Change {
    /// The value of one key.
    pub fn get(&self, config_type: &str, key: &str) -> Option<&str> {
        self.types.get(config_type)?.get(key).map(String::as_str)
    }
}

/// A function that is called with a change.
pub(super) type Handler = Arc<dyn Fn(Change) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;
