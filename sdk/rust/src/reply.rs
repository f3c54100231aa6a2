//! Answering requests.

use crate::bindings::base::weir::processor::messaging::Part;
use crate::failure::call_failed;
use crate::imports::messaging;
use crate::{IntoMessage, Message, Outcome, Result};

/// Answers the current request completely, on the output that the descriptor pairs with the input by `reply`. For handlers that continue
/// afterwards, or answer in parts of different types; others return a [`Reply`].
///
/// # Errors
/// A reject if the current message is not a request, or was already answered.
///
/// ```
/// use weir::{Json, Result};
///
/// fn answer(Json(question): Json<String>) -> Result {
///     weir::reply(Json(question.len()))?;
///     weir::send("asked", Json(question))
/// }
///
/// weir::processor!(answer);
/// ```
pub fn reply(message: impl IntoMessage) -> Result {
    messaging::reply(&message.into_message()?, Part::Last).map_err(call_failed)
}

/// Answers the current request with a part that others follow; send the last one with [`reply`]. It is sent immediately, and from then on
/// the request is not retried.
///
/// # Errors
/// As [`reply`].
///
/// ```
/// use weir::{Json, Result};
///
/// fn count_down(Json(from): Json<u32>) -> Result {
///     for number in (1..=from).rev() {
///         weir::reply_part(Json(number))?;
///     }
///     weir::reply(Json("go"))
/// }
///
/// weir::processor!(count_down);
/// ```
pub fn reply_part(message: impl IntoMessage) -> Result {
    messaging::reply(&message.into_message()?, Part::More).map_err(call_failed)
}

/// As a return value of a handler: the complete answer to the current request. (A message returned without it goes to the output called
/// `output`, whatever the current message is.)
///
/// ```
/// use weir::{Json, Reply, Result};
///
/// fn length(Json(question): Json<String>) -> Result<Reply<Json<usize>>> {
///     Ok(Reply(Json(question.len())))
/// }
///
/// weir::processor!(length);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<M>(pub M);

impl<M: IntoMessage> Outcome for Reply<M> {
    fn settle(self) -> Result {
        reply(self.0)
    }
}

/// As a return value of a handler: the answer to the current request in parts, sent as they are produced. A part is sent once the next one
/// exists, the last one marked as such; without any part the answer is one empty message.
///
/// The parts are messages, or results of messages. The first error fails the handler; the part before it, which is then still held, is not
/// sent. If any part was sent before, the request is not retried, and the requester gets the error.
///
/// ```
/// use weir::{Json, ReplyParts, Text};
///
/// fn words(Text(text): Text) -> ReplyParts<Vec<Json<String>>> {
///     ReplyParts(text.split_whitespace().map(|word| Json(word.to_owned())).collect())
/// }
///
/// weir::processor!(words);
/// ```
///
/// This allows forwarding the answer of another service while it arrives:
///
/// ```
/// use weir::{Json, Replies, ReplyParts, Result};
///
/// fn ask_in_turn(Json(question): Json<String>) -> Result<ReplyParts<Replies>> {
///     weir::begin_request("model", Json(question), None).map(ReplyParts)
/// }
///
/// weir::processor!(ask_in_turn);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyParts<I>(pub I);

impl<I: IntoIterator<Item: IntoPart>> Outcome for ReplyParts<I> {
    fn settle(self) -> Result {
        let mut held: Option<Message> = None;
        for part in self.0 {
            let part = part.into_part()?;
            if let Some(earlier) = held.replace(part) {
                reply_part(earlier)?;
            }
        }
        held.map_or(Ok(()), reply)
    }
}

/// A part of an answer that is produced step by step: a message, or a [`Result`] of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a part of an answer",
    note = "it can be `weir::Json(..)`, `weir::Text(..)`, a `weir::Message`, or a `weir::Result` of one of these"
)]
pub trait IntoPart {
    /// Converts it into a message.
    ///
    /// # Errors
    /// The failure that ends the answer.
    fn into_part(self) -> Result<Message>;
}

impl<M: IntoMessage> IntoPart for M {
    fn into_part(self) -> Result<Message> {
        self.into_message()
    }
}

impl<M: IntoMessage> IntoPart for Result<M> {
    fn into_part(self) -> Result<Message> {
        self?.into_message()
    }
}
