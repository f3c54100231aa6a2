//! The sender of a request, and its permissions.

use crate::error::{GatewayError, Result};
use crate::scope::Scope;

/// The sender of an admitted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Has the permissions of this scope, and may see names and figures.
    Trusted(Scope),
    /// Presented no token although the gateway has some: it sees no names and no figures.
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
