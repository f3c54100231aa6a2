//! Errors of the store of components at another gateway.

use axum::http::StatusCode;

/// Why a request did not reach the gateway that stores the components.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFault {
    /// That gateway does not answer.
    #[error(
        "components are stored by the gateway {url} (gateway.components-from), which cannot be reached: {problem}; try again once it is running"
    )]
    Away {
        /// Its address.
        url: String,
        /// The failed operation.
        problem: String,
    },
    /// That gateway does not accept this one.
    #[error(
        "components are stored by the gateway {url} (gateway.components-from), which answered with status {status}: give this gateway a token of that one with scope deploy, in the file gateway.components-token-file"
    )]
    Refused {
        /// Its address.
        url: String,
        /// 401 or 403.
        status: u16,
    },
    /// The request was already forwarded to this gateway, which would forward it again.
    #[error(
        "this gateway does not store components but forwards requests for them to {url} (gateway.components-from), and this request was already forwarded: set gateway.components-from of the gateway that it came from to the one that stores them"
    )]
    ForwardedTwice {
        /// The gateway to which it would be forwarded.
        url: String,
    },
}

impl StoreFault {
    /// The HTTP status and the error's type for programs.
    pub(crate) fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            StoreFault::Away { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            StoreFault::Refused { .. } => (StatusCode::BAD_GATEWAY, "store-refused"),
            StoreFault::ForwardedTwice { .. } => (StatusCode::LOOP_DETECTED, "forwarded-twice"),
        }
    }
}
