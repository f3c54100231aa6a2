//! The outcome of a call of `handle`.

use weir_pubsub::Output;

use crate::failure::FaultKind;
use crate::output_budget::Charge;

/// The outcome of a call of `handle`.
#[derive(Debug)]
pub enum Outcome {
    /// The message was handled.
    Done(Handled),
    /// It was not handled; held outputs are discarded.
    Failed(Fault),
}

/// The result of a successful call of `handle`.
#[derive(Debug, Default)]
pub struct Handled {
    /// The outputs to `flow` topics, which are sent when the message is settled.
    pub outputs: Vec<Output>,
    /// Messages already sent: to topics of other classes.
    pub already_sent_count: u32,
    /// Messages that were dropped because their output has no topic.
    pub dropped_count: u32,
    /// The account that the outputs are charged to.
    pub(crate) charge: Charge,
}

/// Why a message could not be handled.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The kind of failure.
    pub kind: FaultKind,
    /// For display.
    pub reason: String,
    /// How much of an answer has been sent; once any part has, nothing is retried.
    pub answered: Answered,
}

/// How much of the answer to a request has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Nothing.
    Not,
    /// Some parts, of which none was the last.
    InPart,
    /// All of it.
    InFull,
}
