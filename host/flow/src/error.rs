//! What can go wrong with blueprints and flows.

use weir_pubsub::{NameError, PubsubError};

/// The result of an operation on flows.
pub type Result<T, E = FlowError> = std::result::Result<T, E>;

/// Why an operation on blueprints or flows failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// The flow service answered an error: the request was wrong, or could not be done.
    #[error("{message}")]
    Answered {
        /// For programs: `bad-operation` or `flow-error`.
        kind: String,
        /// For people.
        message: String,
    },
    /// The flow service answered something that is no answer.
    #[error("the answer of the flow service cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// A text that must be a name is none.
    #[error("{what}")]
    Name {
        /// Where it stands.
        what: String,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// The broker failed.
    #[error("{action}")]
    Broker {
        /// What was being done.
        action: String,
        /// What the broker said.
        #[source]
        source: PubsubError,
    },
}

impl FlowError {
    /// For `map_err`: the broker failed at what is named.
    pub(crate) fn broker(action: impl Into<String>) -> impl FnOnce(PubsubError) -> FlowError {
        let action = action.into();
        move |source| FlowError::Broker { action, source }
    }

    /// For `map_err`: what is named is no name.
    pub(crate) fn name(what: impl Into<String>) -> impl FnOnce(NameError) -> FlowError {
        let what = what.into();
        move |source| FlowError::Name { what, source }
    }
}
