//! The parameters, and the rules that they name.

use crate::rules::{Rules, Take};
use serde::Deserialize;
use std::rc::Rc;
use weir::{Failure, Result, config, context};

/// The config type that contains the rules.
const CONFIG_TYPE: &str = "router-rules";

/// The parameters.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    /// The key of the rules; empty means the variant.
    #[serde(rename = "rules")]
    key: String,
    /// Which rules apply.
    pub(crate) take: Take,
}

impl Settings {
    fn key(&self) -> String {
        if self.key.is_empty() { context::variant() } else { self.key.clone() }
    }

    /// The location of the rules, for people.
    pub(crate) fn place(&self) -> String {
        format!("config type `{CONFIG_TYPE}`, key `{}`", self.key())
    }

    /// The rules of the configuration, parsed once for each version of it.
    ///
    /// # Errors
    /// A retry: there are none, or they cannot be read.
    pub(crate) fn rules(&self) -> Result<Rc<Rules>> {
        config::parsed(CONFIG_TYPE, &self.key())?
            .ok_or_else(|| Failure::retry(format!("{} has no value: store a list of rules, which may be empty", self.place())))
    }
}
