//! Why a client for a gateway cannot be created.

use std::path::PathBuf;

use crate::token::BadToken;

/// Why a client for a gateway cannot be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The URL cannot be used.
    #[error("the gateway's address `{url}` does not have the form https://HOST:PORT or http://HOST:PORT")]
    BadUrl {
        /// As it was given.
        url: String,
    },
    /// The URL contains a user name or password, which a request would not send; it is shown without them.
    #[error("the gateway's address {url} contains a user name or password: use a token instead")]
    UserInfo {
        /// Without them.
        url: String,
    },
    /// The token would be readable in transit.
    #[error("the token is not sent to {url}: without TLS it could be read in transit")]
    TokenInClear {
        /// The gateway's URL.
        url: String,
    },
    /// The token is malformed.
    #[error(transparent)]
    BadToken(#[from] BadToken),
    /// The file of the CAs cannot be read.
    #[error("the CA file {} cannot be read", file.display())]
    UnreadableAuthorities {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The CA file has no usable certificate.
    #[error("the CA file {} {problem}", file.display())]
    BadAuthorities {
        /// Which.
        file: PathBuf,
        /// The problem.
        problem: String,
    },
    /// The HTTP client cannot be created, for example because the system has no CAs.
    #[error("the HTTP client could not be created")]
    Client(#[from] reqwest::Error),
}
