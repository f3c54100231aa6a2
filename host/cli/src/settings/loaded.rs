//! The loaded settings, and where each was given.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::definition::Definition;
use super::fault::Place;
use super::kind::Value;
use super::values::Settings;

/// Settings, and where each was given.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// The settings.
    pub(crate) settings: Settings,
    /// The file that was read, if any.
    pub(crate) file: Option<PathBuf>,
    /// Possible mistakes, for people.
    pub(crate) notes: Vec<String>,
    /// Where each setting was given, by name; those with their defaults are absent.
    pub(super) places: BTreeMap<&'static str, Place>,
}

impl Loaded {
    /// A setting's value.
    pub(crate) fn value(&self, definition: &Definition) -> Value {
        (definition.get)(&self.settings)
    }

    /// Where it was given; `None` if it is the default.
    pub(crate) fn place(&self, definition: &Definition) -> Option<&Place> {
        self.places.get(definition.name)
    }

    /// Sets a value that was given in a place.
    pub(super) fn take(&mut self, definition: &'static Definition, value: &Value, place: Place) {
        (definition.set)(&mut self.settings, value);
        self.places.insert(definition.name, place);
    }
}
