//! Entries: config type `processor:NAME`, key VARIANT. They tell a processor its topics and parameters in one flow.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::component::ComponentRef;

/// What one variant of a processor works with. Fields beyond `topics` and `parameters` are Weir's own and left out where they do not apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Topic by spec name.
    #[serde(default)]
    pub topics: BTreeMap<String, String>,
    /// Value by parameter name.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// The flow, where the variant belongs to one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The component that does the work; absent for programs outside of Weir.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentRef>,
    /// The component before it, which a host runs if it cannot run `component`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<ComponentRef>,
    /// The outputs that somebody consumes: there a missing queue is an error and not a loss.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumed: Vec<String>,
    /// Whether intake is stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// What the config types of entries begin with.
pub const ENTRY_TYPE_PREFIX: &str = "processor:";

/// The config type of a processor's entries.
pub fn entry_type(processor: &str) -> String {
    format!("{ENTRY_TYPE_PREFIX}{processor}")
}

/// The processor whose entries a config type holds.
pub fn processor_of_entry_type(config_type: &str) -> Option<&str> {
    config_type.strip_prefix(ENTRY_TYPE_PREFIX).filter(|name| !name.is_empty())
}
