//! One setting: its name, allowed values, default with the reason, and accessors. The parser, the file that `weir init` writes, `weir settings show`
//! and the table in docs/operating.md are generated from these.

use super::kind::{Kind, Value};
use super::values::Settings;

/// A setting.
pub(crate) struct Definition {
    /// `section.name`, or only a name.
    pub(crate) name: &'static str,
    /// The allowed values.
    pub(crate) kind: Kind,
    /// What it sets.
    pub(crate) doc: &'static str,
    /// The reason for its default.
    pub(crate) why: &'static str,
    /// Its own flag of `weir up`, if any; all others are given with `--set`.
    pub(crate) flag: Option<&'static str>,
    pub(super) get: fn(&Settings) -> Value,
    pub(super) set: fn(&mut Settings, &Value),
}

impl Definition {
    /// A setting without its own flag.
    pub(super) const fn new(
        name: &'static str,
        kind: Kind,
        (doc, why): (&'static str, &'static str),
        get: fn(&Settings) -> Value,
        set: fn(&mut Settings, &Value),
    ) -> Self {
        Definition { name, kind, doc, why, flag: None, get, set }
    }

    /// The same with a flag.
    pub(super) const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    /// Its section, if any.
    pub(crate) fn section(&self) -> Option<&'static str> {
        self.name.split_once('.').map(|(section, _)| section)
    }

    /// Its name within its section.
    pub(crate) fn key(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, key)| key)
    }

    /// Its environment variable.
    pub(crate) fn variable(&self) -> String {
        match self.name {
            // The most common setting has a short, conventional name.
            "log.filter" => "WEIR_LOG".to_owned(),
            name => format!("WEIR_{}", name.replace(['.', '-'], "_").to_uppercase()),
        }
    }

    /// Whether it has a default. Paths and some URLs have none.
    pub(crate) fn has_default(&self) -> bool {
        !matches!(self.default(), Value::Text(text) | Value::Url(text) if text.is_empty())
    }

    /// Its default; an empty string if it has none.
    pub(crate) fn default(&self) -> Value {
        (self.get)(&Settings::default())
    }
}
