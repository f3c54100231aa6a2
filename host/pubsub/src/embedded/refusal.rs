//! Why an operation is refused or cannot be carried out, where several parts of the broker give the same answer.

use crate::error::PubsubError;
use crate::topic::Queue;

/// The broker is closed.
pub(crate) fn closed() -> PubsubError {
    PubsubError::unavailable("the embedded broker is closed")
}

/// The queue does not exist.
pub(crate) fn not_found(queue: &Queue) -> PubsubError {
    PubsubError::no_queue(queue)
}

/// The commit thread ended before it answered.
pub(crate) fn lost() -> PubsubError {
    PubsubError::outcome_unknown("the embedded broker ended before it answered")
}

/// A disk with too little free space.
#[derive(Clone, Debug)]
pub(crate) struct DiskFull {
    /// Its name, for people.
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

/// Why nothing could be written to the log.
#[derive(Clone, Debug)]
pub(crate) enum WriteFailure {
    DiskFull(DiskFull),
    Unavailable(String),
}

impl WriteFailure {
    /// For publishers.
    pub(crate) fn to_error(&self) -> PubsubError {
        match self {
            WriteFailure::DiskFull(disk) => disk.to_error(),
            WriteFailure::Unavailable(reason) => PubsubError::unavailable(reason.clone()),
        }
    }

    /// For operations that a full queue does not refuse, such as settles.
    pub(crate) fn to_settle_error(&self) -> PubsubError {
        PubsubError::unavailable(self.to_reason())
    }

    /// For people.
    pub(crate) fn to_reason(&self) -> String {
        match self {
            WriteFailure::DiskFull(disk) => format!("{} is full: nothing can be written", disk.disk),
            WriteFailure::Unavailable(reason) => reason.clone(),
        }
    }
}
