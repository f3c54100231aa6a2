//! Errors of configuration. Each variant corresponds to a decision of the caller.

use std::error::Error;
use std::path::PathBuf;

use weir_pubsub::{NameError, PubsubError};

use crate::protocol::ConfigLimit;
use crate::records::Digest;

/// The result of an operation on configuration.
pub type Result<T, E = ConfigError> = std::result::Result<T, E>;

/// What to do about an answer that is too large.
const REQUEST_LESS: &str = "request fewer types or keys at a time";

/// Part of the message of every error caused by a full disk.
pub const DISK_FULL: &str = "the disk of the configuration is full";

/// Why an operation on configuration failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The topicspace cannot be part of a topic's name: choose another.
    #[error("the topicspace `{topicspace}` cannot be used")]
    Topicspace {
        /// The topicspace as given, cut.
        topicspace: String,
        /// The problem.
        source: NameError,
    },
    /// Another config service is running on this broker: stop it, or use another topicspace.
    #[error("another config service holds {what}: stop it first, or choose another topicspace")]
    Held {
        /// The lock or the request queue.
        what: String,
    },
    /// The store's file cannot be opened or is not a config store.
    #[error("the config store {} cannot be opened", path.display())]
    StoreNotOpened {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store failed: a write with this error changed nothing, unless its commit failed.
    #[error("the config store failed while {doing}")]
    StoreFailed {
        /// The operation.
        doing: &'static str,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A condition of a batch does not hold: nothing was changed; reread and decide again.
    #[error("conflict: {message}")]
    Conflict {
        /// The condition, and the stored value.
        message: String,
    },
    /// The request is invalid: change it.
    #[error("{reason}")]
    Refused {
        /// The problem, with the field and the fix.
        reason: String,
    },
    /// A response would be larger than the broker accepts: request less at a time.
    #[error("the answer would have more than {limit_bytes} bytes (broker.max-answer): {REQUEST_LESS}")]
    AnswerTooLarge {
        /// The broker's limit.
        limit_bytes: usize,
    },
    /// The broker does not accept a response of this size, regardless of the settings.
    #[error(
        "the answer has {actual_bytes} bytes, and the broker accepts at most {limit_bytes}: {REQUEST_LESS}, or raise its max_message_size; \
             set broker.max-answer to at most that size"
    )]
    AnswerRefused {
        /// The size of the answer.
        actual_bytes: u64,
        /// The broker's limit.
        limit_bytes: u64,
    },
    /// The whole configuration would no longer fit into one answer: nothing was changed; delete something first.
    #[error(
        "the whole configuration would have {after_bytes} bytes; the limit is {limit_bytes}; it has {before_bytes}: delete values that are no \
             longer needed (`weir config list` shows the size of each type), or raise broker.max-answer if it is below 64 MiB"
    )]
    ConfigurationTooLarge {
        /// Its current size.
        before_bytes: u64,
        /// Its size after the change.
        after_bytes: u64,
        /// Its limit.
        limit_bytes: u64,
    },
    /// The service answered with an error other than a conflict.
    #[error("the config service answered {kind}: {message}")]
    Answered {
        /// Its type: `bad-operation`, `config-error`.
        kind: String,
        /// For people.
        message: String,
        /// The limit that the request would exceed, if that is the reason.
        exceeded: Option<ConfigLimit>,
    },
    /// The request is above the broker's limits and can never be sent: split it.
    #[error("the request to the config service is too large")]
    TooLarge {
        /// Which part, and the limit.
        source: PubsubError,
    },
    /// The service or the broker cannot be reached, or did not answer in time. A write may still have been executed.
    #[error("the config service cannot be reached")]
    Unavailable {
        /// The failed operation.
        source: PubsubError,
    },
    /// The response of the service is malformed.
    #[error("the answer of the config service cannot be read")]
    UnreadableAnswer {
        /// The problem.
        source: serde_json::Error,
    },
    /// The folder of components failed.
    #[error("cannot {doing} {}", path.display())]
    ComponentFolder {
        /// The operation: `read`, `write`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The received bytes are not those of the component.
    #[error("the bytes of the component {digest} are wrong: {came}")]
    WrongComponent {
        /// Which.
        digest: Digest,
        /// The bytes that were received instead.
        came: WrongBytes,
    },
    /// A component could not be fetched from its store this time.
    #[error("the component {digest} was not fetched from {place}: {problem}")]
    ComponentNotFetched {
        /// Which.
        digest: Digest,
        /// The store's address.
        place: String,
        /// The problem and the fix.
        problem: String,
    },
    /// The digest of a component's file does not match its name: upload the component again.
    #[error("the component in {} is damaged: its bytes do not have the digest of its name; deploy it again", path.display())]
    DamagedComponent {
        /// The file.
        path: PathBuf,
    },
}

impl ConfigError {
    /// Whether the same request may succeed later: the service or the broker was unavailable, or the store failed.
    pub fn is_transient(&self) -> bool {
        match self {
            ConfigError::Unavailable { source } => source.is_transient(),
            ConfigError::StoreFailed { .. } => true,
            _ => false,
        }
    }

    /// Whether the response or the request may have been too large: requesting less at a time may succeed.
    pub(crate) fn is_about_size(&self) -> bool {
        match self {
            ConfigError::TooLarge { .. } => true,
            error => error.exceeded() == Some(ConfigLimit::Answer),
        }
    }

    /// The limit of the config service that the request would exceed, if that is the reason.
    pub fn exceeded(&self) -> Option<ConfigLimit> {
        match self {
            ConfigError::Answered { exceeded, .. } => *exceeded,
            ConfigError::AnswerTooLarge { .. } | ConfigError::AnswerRefused { .. } => Some(ConfigLimit::Answer),
            ConfigError::ConfigurationTooLarge { .. } => Some(ConfigLimit::Configuration),
            _ => None,
        }
    }

    /// An error of the pub/sub layer, classified by what the caller can do about it.
    pub(crate) fn of_pubsub(source: PubsubError) -> Self {
        match source {
            PubsubError::TooLarge { .. } => ConfigError::TooLarge { source },
            PubsubError::LockHeld { lock } => ConfigError::Held { what: lock.to_string() },
            PubsubError::QueueHeld { queue } => ConfigError::Held { what: queue.to_string() },
            source => ConfigError::Unavailable { source },
        }
    }
}
/// The bytes are not those of the expected component.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongBytes {
    /// It exceeds the allowed size.
    #[error("more bytes arrived than the component's size, {most_bytes}")]
    TooMany {
        /// The allowed size.
        most_bytes: u64,
    },
    /// Its digest differs.
    #[error("{size_bytes} bytes with digest {digest} arrived")]
    Other {
        /// The digest of the received bytes.
        digest: Digest,
        /// The number of received bytes.
        size_bytes: u64,
    },
}
