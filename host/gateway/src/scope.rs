//! Token scopes, and the scope that each request requires.

mod operation;

use std::fmt;
use std::str::FromStr;

pub(crate) use self::operation::{Required, of_config, of_flow};

/// The scope of a token. Each scope includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read-only access: status, lists, figures, configuration, dead letters, copies of messages, and the bytes of components.
    Read,
    /// Operating flows: start, stop and swap them, send and take messages, process dead letters, and change configuration except what decides what is
    /// deployed and what is recorded of flows.
    Operate,
    /// Deciding what runs: deploy and remove components, and write any configuration.
    Deploy,
}

/// The word is not a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a scope: use read, operate or deploy")]
pub struct NotAScope;

impl Scope {
    /// All scopes, smallest first.
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Operate, Scope::Deploy];

    /// The word used in token files.
    pub fn word(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Operate => "operate",
            Scope::Deploy => "deploy",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Scope {
    type Err = NotAScope;

    fn from_str(word: &str) -> Result<Self, NotAScope> {
        Scope::ALL.into_iter().find(|scope| scope.word() == word).ok_or(NotAScope)
    }
}

/// The requirement of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessRule {
    /// Nothing: it is the same for all clients, and shows neither names nor figures.
    Open,
    /// A token of this scope.
    Scope(Scope),
    /// A token whose required scope depends on the [operation] in the request.
    ByOperation,
}

impl AccessRule {
    /// The minimum scope for any request to the path; `None` if it is open.
    pub(crate) fn least(self) -> Option<Scope> {
        match self {
            AccessRule::Open => None,
            AccessRule::Scope(scope) => Some(scope),
            AccessRule::ByOperation => Some(Scope::Read),
        }
    }
}
