//! Sending and requesting. Topics are named as in the descriptor.

use crate::failure::call_failed;
use crate::imports::messaging;
use crate::time::whole_ms;
use crate::{Failure, FromMessage, Incoming, IntoMessage, Message, Result};
use std::time::Duration;

/// Sends a message to an output.
///
/// To a topic of class `flow`, it is held and sent when the handler returns ok; to one of another class, it is sent immediately. Messages
/// to one output keep their order.
///
/// # Errors
/// A reject if it can never succeed: no such output, a message or a number of them above a limit, a property reserved for the host. See
/// [`Failure::call_error`].
///
/// ```
/// use weir::{Json, Result};
///
/// fn sort(Json(number): Json<i64>) -> Result {
///     weir::send(if number < 0 { "negative" } else { "rest" }, Json(number))
/// }
///
/// weir::processor!(sort);
/// ```
pub fn send(to: &str, message: impl IntoMessage) -> Result {
    messaging::send(to, &message.into_message()?).map_err(call_failed)
}

/// Sends many messages to an output, in their order; each is created only after those before it are sent.
///
/// # Errors
/// As [`send`]; messages sent before are discarded if the handler returns the error.
///
/// ```
/// use weir::{Json, Result, Text};
///
/// fn words(Text(text): Text) -> Result {
///     weir::send_all("output", text.split_whitespace().map(Json))
/// }
///
/// weir::processor!(words);
/// ```
pub fn send_all<M: IntoMessage>(to: &str, messages: impl IntoIterator<Item = M>) -> Result {
    messages.into_iter().try_for_each(|message| send(to, message))
}

/// Sends a request to a service and reads its answer, which must have one part. Waits for at most the time-out in the descriptor.
///
/// # Errors
/// A retry if there was no answer in time, no service, or an error as the answer; a reject if the request can never succeed.
/// [`Failure::call_error`] returns which. An answer that cannot be read, or has several parts, is a retry.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use weir::{Json, Result};
///
/// #[derive(Serialize)]
/// struct Question {
///     text: String,
/// }
///
/// #[derive(Deserialize, Serialize)]
/// struct Answer {
///     score: f64,
/// }
///
/// fn rate(Json(text): Json<String>) -> Result<Json<Answer>> {
///     weir::request("model", Json(Question { text }))
/// }
///
/// weir::processor!(rate);
/// ```
pub fn request<T: FromMessage>(to: &str, message: impl IntoMessage) -> Result<T> {
    let parts = request_parts(to, message, None)?;
    match <[Message; 1]>::try_from(parts) {
        Ok([part]) => read_part(to, part),
        Err(parts) => Err(Failure::retry(format!("`{to}` answered in {} parts instead of one: use `request_parts`", parts.len()))),
    }
}

/// Reads a part of an answer.
pub(crate) fn read_part<T: FromMessage>(to: &str, part: Message) -> Result<T> {
    // The fault is not that of the message being handled, whatever the extractor reports.
    T::from_message(&mut Incoming::new(to, part)).map_err(|fault| Failure::retry(format!("the answer of `{to}` cannot be read: {fault}")))
}

/// Sends a request to a service and waits for all parts of its answer, in their order. `timeout` counts from the call, in whole
/// milliseconds, and is limited to the time that the handler has left; `None` means the descriptor's.
///
/// # Errors
/// As [`request`], but nothing is read.
///
/// ```
/// use std::time::Duration;
/// use weir::{Json, Result, Text};
///
/// fn summary(Text(text): Text) -> Result<Text> {
///     let parts = weir::request_parts("model", Text(text), Some(Duration::from_secs(20)))?;
///     let texts = parts.iter().map(|part| part.text()).collect::<Result<Vec<_>>>()?;
///     Ok(Text(texts.concat()))
/// }
///
/// weir::processor!(summary);
/// ```
pub fn request_parts(to: &str, message: impl IntoMessage, timeout: Option<Duration>) -> Result<Vec<Message>> {
    messaging::request(to, &message.into_message()?, timeout.map(whole_ms)).map_err(call_failed)
}
