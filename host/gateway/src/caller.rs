//! Who sends a request, and what it may do.

use crate::error::{GatewayError, Result};
use crate::scope::Scope;

/// Who sent a request that is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// May do what this scope permits, and is told names and figures.
    Trusted(Scope),
    /// Has shown no token of a gateway that has some: it is told no names and no figures.
    Unknown,
}

impl Caller {
    /// The gateway itself.
    pub(crate) const SELF: Caller = Caller::Trusted(Scope::Deploy);

    /// Refuses a caller without this scope.
    ///
    /// # Errors
    /// `SmallScope`, with what requires it.
    pub(crate) fn require(self, needed: Scope, what: impl FnOnce() -> String) -> Result<()> {
        match self {
            Caller::Trusted(scope) if scope >= needed => Ok(()),
            Caller::Trusted(scope) => Err(GatewayError::SmallScope { what: what(), needed, scope }),
            Caller::Unknown => Err(GatewayError::MissingToken),
        }
    }

    /// Whether it may do everything.
    pub(crate) fn is_unbounded(self) -> bool {
        self == Caller::Trusted(Scope::Deploy)
    }
}
