//! The types that handlers are interested in.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::registry::Registered;

/// The interest of handlers.
#[derive(Debug, Default)]
pub(super) struct Interest {
    pub(super) types: BTreeSet<String>,
    pub(super) everything: bool,
    /// Prefixes of further types.
    pub(super) prefixes: BTreeSet<String>,
}

impl Interest {
    pub(super) fn by<'a>(handlers: impl IntoIterator<Item = &'a Arc<Registered>>) -> Self {
        let mut interest = Interest::default();
        for handler in handlers {
            match &handler.types {
                Some(types) => interest.types.extend(types.iter().cloned()),
                None => interest.everything = true,
            }
            interest.prefixes.extend(handler.prefix.iter().cloned());
        }
        interest
    }

    pub(super) fn contains(&self, config_type: &str) -> bool {
        self.everything || self.types.contains(config_type) || self.prefix_of(config_type).is_some()
    }

    /// The prefix with which a type is requested.
    pub(super) fn prefix_of(&self, config_type: &str) -> Option<&str> {
        self.prefixes.iter().map(String::as_str).find(|prefix| config_type.starts_with(prefix))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.types.is_empty() && self.prefixes.is_empty() && !self.everything
    }
}
