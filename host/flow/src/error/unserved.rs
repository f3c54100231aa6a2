//! Processors that nothing provides, for callers to match on and for people.

use std::fmt;

use crate::naming::shown;

/// A processor that nothing provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// The processor.
    pub processor: String,
    /// Why.
    pub cause: UnservedCause,
}

/// Why nothing provides a processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnservedCause {
    /// Nothing with its name exists.
    NoReader {
        /// A similar existing name.
        meant: Option<String>,
    },
    /// The entry, which other flows share, has no component, although there is a deployment.
    SharedWithoutComponent,
    /// The component that the blueprint names is not deployed.
    NotDeployed {
        /// The reference in the blueprint.
        component: String,
    },
}

impl fmt::Display for Unserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = shown(&self.processor);
        match &self.cause {
            UnservedCause::NoReader { meant } => write!(f, "`{name}`{}", hint(meant.as_deref())),
            UnservedCause::SharedWithoutComponent => {
                write!(f, "`{name}` (other flows share its entry, which has no component: weir swap FLOW {name} {name} --shared)")
            }
            UnservedCause::NotDeployed { component } => {
                write!(f, "`{name}` (its component `{}` is not deployed)", shown(component))
            }
        }
    }
}

/// The suggestion after an unknown name.
pub(crate) fn hint(meant: Option<&str>) -> String {
    meant.map_or_else(String::new, |other| format!(" (did you mean `{}`?)", shown(other)))
}
