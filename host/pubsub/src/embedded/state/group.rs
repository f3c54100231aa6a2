//! What is committed together: operations are decided in order, written as one frame, and applied, or undone if the write failed.

use super::operation::{Done, Permit};
use super::step::Step;
use crate::backend::{IfEmpty, Settled};
use crate::embedded::refusal::WriteFailure;
use crate::error::Result;

/// Who waits for what.
#[derive(Debug)]
pub(crate) enum Answer {
    Unit(Done<()>, Result<()>),
    Settled(Done<Settled>, Result<Settled>),
    Flag(Done<bool>, Result<bool>),
    IfEmpty(Done<IfEmpty>, Result<IfEmpty>),
}

/// Operations that are committed together.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) steps: Vec<Step>,
    pub(super) answers: Vec<Answer>,
    pub(super) permits: Vec<Permit>,
    pub(crate) operations_count: u64,
}

impl Group {
    /// Whether there is anything to write.
    pub(crate) fn is_durable(steps: &[Step]) -> bool {
        steps.iter().any(Step::is_durable)
    }

    /// Tells everybody how it ended.
    pub(crate) fn answer(self) {
        for answer in self.answers {
            // A caller that does not wait any more is no concern of the log's.
            match answer {
                Answer::Unit(done, outcome) => drop(done.send(outcome)),
                Answer::Settled(done, outcome) => drop(done.send(outcome)),
                Answer::Flag(done, outcome) => drop(done.send(outcome)),
                Answer::IfEmpty(done, outcome) => drop(done.send(outcome)),
            }
        }
    }

    /// Tells everybody that nothing was done.
    pub(crate) fn fail(self, failure: &WriteFailure) {
        for answer in self.answers {
            match answer {
                Answer::Unit(done, outcome) => drop(done.send(outcome.and_then(|()| Err(failure.to_error())))),
                Answer::Settled(done, outcome) => drop(done.send(outcome.and_then(|_| Err(failure.to_settle_error())))),
                Answer::Flag(done, outcome) => drop(done.send(outcome.and_then(|_| Err(failure.to_settle_error())))),
                Answer::IfEmpty(done, outcome) => drop(done.send(outcome.and_then(|_| Err(failure.to_settle_error())))),
            }
        }
    }
}
