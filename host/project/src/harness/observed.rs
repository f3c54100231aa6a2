//! The results of one message.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_pubsub::Message;
use weir_runtime::{FaultKind, Outcome};

use super::capture::{Capture, LogLine};
use super::stub_broker::StubBroker;

/// The results of one message.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The messages sent to each output, in order.
    pub outputs: BTreeMap<String, Vec<Message>>,
    /// The parts of the answer, if the message was a request.
    pub replies: Vec<Message>,
    /// The requests made: name and message, in order.
    pub requests: Vec<(String, Message)>,
    /// Why the message was not handled.
    pub failure: Option<ObservedFailure>,
    /// What was logged, including standard output and standard error.
    pub log: Vec<LogLine>,
    /// Requests for which the fixture has no answer.
    pub unanswered: Vec<String>,
}

/// Why a message was not handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedFailure {
    /// `retry`, `busy` or `reject` of the component; `trap` or `timeout` of the host.
    pub verdict: &'static str,
    /// The reason, for people.
    pub reason: String,
    /// The delay that the component requests, in milliseconds.
    pub delay_ms: Option<u64>,
}

impl Observed {
    pub(super) fn of(outcome: Outcome, stub: &StubBroker, capture: &Capture) -> Self {
        let mut observed = Observed { log: capture.take(), ..Observed::default() };
        let published = stub.take();
        (observed.replies, observed.requests, observed.unanswered) = (published.replies, published.requests, published.unanswered);
        match outcome {
            Outcome::Done(handled) => {
                for output in handled.outputs {
                    observed.outputs.entry(stub.output_name(&output.topic)).or_default().push(output.message);
                }
            }
            Outcome::Failed(fault) => {
                let delay_ms = match fault.kind {
                    FaultKind::Retry(delay) | FaultKind::Busy(delay) => delay.map(in_ms),
                    _ => None,
                };
                observed.failure = Some(ObservedFailure { verdict: fault.kind.word(), reason: fault.reason, delay_ms });
            }
        }
        observed
    }
}

/// A delay in milliseconds, for people and fixtures.
pub(crate) fn in_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
