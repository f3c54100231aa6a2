//! Errors for refused or failed operations that several parts of the broker return.

use std::error::Error;

use crate::error::{Cause, PubsubError};
use crate::error_text::chain;
use crate::topic::Queue;

/// The broker is closed.
pub(crate) fn closed() -> PubsubError {
    PubsubError::unavailable("the embedded broker is closed")
}

/// The queue does not exist.
pub(crate) fn not_found(queue: &Queue) -> PubsubError {
    PubsubError::no_queue(queue)
}

/// The commit thread ended before it responded.
pub(crate) fn lost() -> PubsubError {
    PubsubError::outcome_unknown("the embedded broker ended before it answered")
}

/// A copy of an operating system error, to return it to several callers.
pub(crate) fn copy_of(error: &std::io::Error) -> std::io::Error {
    error.raw_os_error().map_or_else(|| std::io::Error::new(error.kind(), error.to_string()), std::io::Error::from_raw_os_error)
}

/// A disk with too little free space.
#[derive(Clone, Debug)]
pub(crate) struct DiskFull {
    /// Its name, for display.
    pub(crate) disk: String,
    pub(crate) used_bytes: u64,
    pub(crate) limit_bytes: u64,
}

impl DiskFull {
    pub(crate) fn to_error(&self) -> PubsubError {
        PubsubError::QueueFull {
            what: self.disk.clone().into(),
            used_bytes: Some(self.used_bytes),
            limit_bytes: Some(self.limit_bytes),
            fix: Some("free space on it, or lower broker.disk-reserve-percent"),
        }
    }
}

/// Why a write to the log failed.
#[derive(Clone, Debug)]
pub(crate) enum WriteFailure {
    DiskFull(DiskFull),
    Unavailable { reason: String, source: Option<Cause> },
}

impl WriteFailure {
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        WriteFailure::Unavailable { reason: reason.into(), source: None }
    }

    /// A failure with an error as its source.
    pub(crate) fn because(reason: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        WriteFailure::Unavailable { reason: reason.into(), source: Some(Cause::of(source)) }
    }

    /// The error for publishers.
    pub(crate) fn to_error(&self) -> PubsubError {
        match self {
            WriteFailure::DiskFull(disk) => disk.to_error(),
            WriteFailure::Unavailable { reason, source } => PubsubError::Unavailable { reason: reason.clone(), source: source.clone() },
        }
    }

    /// The error for operations that a full queue does not refuse, such as settles.
    pub(crate) fn to_settle_error(&self) -> PubsubError {
        match self {
            WriteFailure::DiskFull(_) => PubsubError::unavailable(self.to_reason()),
            WriteFailure::Unavailable { .. } => self.to_error(),
        }
    }

    /// For display.
    pub(crate) fn to_reason(&self) -> String {
        match self {
            WriteFailure::DiskFull(disk) => format!("{} is full: nothing can be written", disk.disk),
            WriteFailure::Unavailable { reason, source: None } => reason.clone(),
            WriteFailure::Unavailable { reason, source: Some(source) } => format!("{reason}: {}", chain(source)),
        }
    }
}
