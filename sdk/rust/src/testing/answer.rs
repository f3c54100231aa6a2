//! The answer of a service to a processor in a test.

use crate::bindings::base::weir::processor::messaging::CallError;
use crate::{ErrorKind, IntoMessage, Message};
use std::collections::VecDeque;

/// The answer of a service: a message, several parts, or an error. See [`Kit::answer`](crate::testing::Kit::answer).
///
/// ```
/// use weir::testing::{Answer, json};
/// use weir::{ErrorKind, Json};
///
/// let whole = Answer::from(Json(json!({ "score": 0.9 })));
/// let in_parts = Answer::parts(["one", "two"].map(Json));
/// let nobody_there = Answer::error(ErrorKind::Timeout, "no reply within 5000 ms");
/// let broken_off = Answer::parts([Json(1)]).then_error(ErrorKind::Failed, "the model was unloaded");
/// ```
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) parts: VecDeque<Message>,
    pub(super) error: Option<CallError>,
}

impl Answer {
    /// An answer in parts, in this order.
    ///
    /// # Panics
    /// If one of them cannot be converted into a message.
    pub fn parts<M: IntoMessage>(parts: impl IntoIterator<Item = M>) -> Self {
        Answer { parts: parts.into_iter().map(made).collect(), error: None }
    }

    /// An error instead of an answer: `Timeout` if no service answers in time, `Unavailable` if the request cannot be sent now, `Failed` if
    /// the service answers with an error, whose text is the reason.
    #[must_use]
    pub fn error(kind: ErrorKind, reason: impl Into<String>) -> Self {
        Answer { parts: VecDeque::new(), error: Some(CallError { kind, reason: reason.into() }) }
    }

    /// The same answer, interrupted by an error after its parts.
    #[must_use]
    pub fn then_error(self, kind: ErrorKind, reason: impl Into<String>) -> Self {
        Answer { error: Some(CallError { kind, reason: reason.into() }), ..self }
    }
}

impl<M: IntoMessage> From<M> for Answer {
    fn from(message: M) -> Self {
        Answer::parts([message])
    }
}

fn made(message: impl IntoMessage) -> Message {
    message.into_message().unwrap_or_else(|failure| panic!("the answer in the test is invalid: {failure}"))
}
