//! Groups: operations that are committed together. They are decided in order, written as one frame, and applied, or undone if the write failed.

use super::operation::{Done, Permit};
use super::step::StateChange;
use crate::backend::{Deletion, Settled};
use crate::embedded::refusal::WriteFailure;
use crate::error::Result;

/// A result with the channel of its caller.
#[derive(Debug)]
pub(crate) enum Completion {
    Unit(Done<()>, Result<()>),
    Settled(Done<Settled>, Result<Settled>),
    Flag(Done<bool>, Result<bool>),
    Deletion(Done<Deletion>, Result<Deletion>),
}

/// Operations that are committed together.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) steps: Vec<StateChange>,
    pub(super) answers: Vec<Completion>,
    pub(super) permits: Vec<Permit>,
    pub(crate) operations_count: u64,
}

impl Group {
    /// Whether any of these steps must be written.
    pub(crate) fn is_durable(steps: &[StateChange]) -> bool {
        steps.iter().any(StateChange::is_durable)
    }

    /// Sends all results.
    pub(crate) fn answer(self) {
        for answer in self.answers {
            // The caller may have stopped waiting.
            match answer {
                Completion::Unit(done, outcome) => drop(done.send(outcome)),
                Completion::Settled(done, outcome) => drop(done.send(outcome)),
                Completion::Flag(done, outcome) => drop(done.send(outcome)),
                Completion::Deletion(done, outcome) => drop(done.send(outcome)),
            }
        }
    }

    /// Sends the failure in place of each success.
    pub(crate) fn fail(self, failure: &WriteFailure) {
        for answer in self.answers {
            match answer {
                Completion::Unit(done, outcome) => drop(done.send(outcome.and_then(|()| Err(failure.to_error())))),
                Completion::Settled(done, outcome) => drop(done.send(outcome.and_then(|_| Err(failure.to_settle_error())))),
                Completion::Flag(done, outcome) => drop(done.send(outcome.and_then(|_| Err(failure.to_settle_error())))),
                Completion::Deletion(done, outcome) => drop(done.send(outcome.and_then(|_| Err(failure.to_settle_error())))),
            }
        }
    }
}
