//! One setting: its name, what it may be, its default with the reason, and where it goes. The parser, the file that `weir init` writes,
//! `weir settings show` and the table in docs/operating.md are all made of these.

use super::Settings;
use super::kind::{Kind, Value};

/// A setting.
pub(crate) struct Definition {
    /// `section.name`, or a name alone.
    pub(crate) name: &'static str,
    /// What it may be.
    pub(crate) kind: Kind,
    /// What it sets.
    pub(crate) doc: &'static str,
    /// Why its default is what it is.
    pub(crate) why: &'static str,
    /// The flag of its own that `weir up` has for it; all others are given by `--set`.
    pub(crate) flag: Option<&'static str>,
    pub(super) get: fn(&Settings) -> Value,
    pub(super) set: fn(&mut Settings, &Value),
}

impl Definition {
    /// A setting without a flag of its own.
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

    /// Its section; none for those that are in none.
    pub(crate) fn section(&self) -> Option<&'static str> {
        self.name.split_once('.').map(|(section, _)| section)
    }

    /// Its name within its section.
    pub(crate) fn key(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, key)| key)
    }

    /// Its variable of the environment.
    pub(crate) fn variable(&self) -> String {
        match self.name {
            // What is set most often, by the name that programs of this kind have for it.
            "log.filter" => "WEIR_LOG".to_owned(),
            name => format!("WEIR_{}", name.replace(['.', '-'], "_").to_uppercase()),
        }
    }

    /// Whether it has a value where none is given. Paths and some URLs have none.
    pub(crate) fn has_default(&self) -> bool {
        !matches!(self.default(), Value::Text(text) | Value::Url(text) if text.is_empty())
    }

    /// Its default; an empty text for none.
    pub(crate) fn default(&self) -> Value {
        (self.get)(&Settings::default())
    }
}
