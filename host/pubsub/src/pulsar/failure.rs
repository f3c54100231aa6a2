//! Why a command failed: the broker refused it, or did not respond.

use super::broker_error::BrokerError;
use crate::error::PubsubError;
use crate::topic::{Queue, Topic};

/// Why a command failed.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The broker refused it.
    Refused(BrokerError),
    /// There was no response.
    Lost(PubsubError),
}

impl Failure {
    pub(super) fn about(self, queue: &Queue) -> PubsubError {
        match self {
            Failure::Refused(refusal) => refusal.about(queue),
            Failure::Lost(error) => error,
        }
    }

    pub(super) fn of_publishing(self, topic: &Topic) -> PubsubError {
        match self {
            Failure::Refused(refusal) => refusal.of_publishing(topic),
            Failure::Lost(error) => error,
        }
    }

    pub(super) fn plain(self) -> PubsubError {
        match self {
            Failure::Refused(refusal) => refusal.plain(),
            Failure::Lost(error) => error,
        }
    }
}

impl From<PubsubError> for Failure {
    fn from(error: PubsubError) -> Self {
        Failure::Lost(error)
    }
}
