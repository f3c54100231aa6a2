//! The parameters of handlers.

use crate::{Failure, IntoMessage, Message, Result, json};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The message being handled, passed through the parameters of a handler.
#[derive(Debug)]
pub struct Incoming<'a> {
    input: &'a str,
    message: Option<Message>,
}

impl<'a> Incoming<'a> {
    /// A message and the name of the input it came from.
    #[must_use]
    pub fn new(input: &'a str, message: Message) -> Self {
        Self { input, message: Some(message) }
    }

    /// The name of the input, as in the descriptor.
    #[must_use]
    pub fn input(&self) -> &'a str {
        self.input
    }

    /// Borrows the message.
    ///
    /// # Errors
    /// If a parameter before this one took it: a mistake in the handler, which the first message reveals.
    pub fn message(&self) -> Result<&Message> {
        self.message.as_ref().ok_or_else(taken)
    }

    /// Takes the message.
    ///
    /// # Errors
    /// As [`Incoming::message`].
    pub fn take(&mut self) -> Result<Message> {
        self.message.take().ok_or_else(taken)
    }
}

fn taken() -> Failure {
    Failure::retry("the handler takes the message after another parameter has consumed it: put `Message` last")
}

/// A type that a handler can have as a parameter. Parameters are read from left to right; the first that fails fails the message.
///
/// Implement it for what you read in many handlers:
///
/// ```
/// use weir::{Failure, FromMessage, Incoming, Result};
///
/// struct Language(String);
///
/// impl FromMessage for Language {
///     fn from_message(incoming: &mut Incoming<'_>) -> Result<Self> {
///         match incoming.message()?.property("language") {
///             Some(language) => Ok(Language(language.to_owned())),
///             None => Err(Failure::reject("property `language` is missing: send it with each document")),
///         }
///     }
/// }
///
/// fn handle(Language(language): Language) {
///     weir::log::info("document seen").with("language", language).write();
/// }
///
/// weir::processor!(handle);
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot have a parameter of type `{Self}`",
    note = "use `Json<T>`, `Text`, `Params<T>`, `Input`, `Message`, or a type that implements `weir::FromMessage`"
)]
pub trait FromMessage: Sized {
    /// Reads the value.
    ///
    /// # Errors
    /// A [`Failure`]: a reject if the message is at fault.
    fn from_message(incoming: &mut Incoming<'_>) -> Result<Self>;
}

/// The body, read and written as JSON by serde. As a parameter it rejects a body that is not JSON or does not match `T`, with the field,
/// line and column; as a return value or with [`send`](crate::send) it is serialized.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use weir::Json;
///
/// #[derive(Deserialize)]
/// struct Document {
///     id: String,
///     text: String,
/// }
///
/// #[derive(Serialize)]
/// struct Length {
///     id: String,
///     words: usize,
/// }
///
/// fn count(Json(document): Json<Document>) -> Json<Length> {
///     Json(Length { words: document.text.split_whitespace().count(), id: document.id })
/// }
///
/// weir::processor!(count);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromMessage for Json<T> {
    fn from_message(incoming: &mut Incoming<'_>) -> Result<Self> {
        json::read(&incoming.message()?.body).map(Json)
    }
}

/// The body as text in UTF-8; anything else is rejected. Sent as `text/plain; charset=utf-8`.
///
/// ```
/// use weir::Text;
///
/// fn shout(Text(text): Text) -> Text {
///     Text(text.to_uppercase())
/// }
///
/// weir::processor!(shout);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text<T = String>(pub T);

impl FromMessage for Text {
    fn from_message(incoming: &mut Incoming<'_>) -> Result<Self> {
        incoming.message()?.text().map(|text| Text(text.to_owned()))
    }
}

impl<T: Serialize> IntoMessage for Json<T> {
    fn into_message(self) -> Result<Message> {
        Message::json(&self.0)
    }
}

impl<T: Into<String>> IntoMessage for Text<T> {
    fn into_message(self) -> Result<Message> {
        Ok(Message::new(self.0.into(), "text/plain; charset=utf-8"))
    }
}

/// The name of the input that the message came from, as in the descriptor.
///
/// ```
/// use weir::{Input, Message, Result};
///
/// fn route(Input(input): Input, message: Message) -> Result {
///     weir::send(if input == "urgent" { "fast" } else { "slow" }, message)
/// }
///
/// weir::processor!(route);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input(pub String);

impl FromMessage for Input {
    fn from_message(incoming: &mut Incoming<'_>) -> Result<Self> {
        Ok(Input(incoming.input().to_owned()))
    }
}

impl FromMessage for Message {
    fn from_message(incoming: &mut Incoming<'_>) -> Result<Self> {
        incoming.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;

    #[test]
    fn a_message_can_be_inspected_before_it_is_handled() {
        let mut incoming = Incoming::new("input", Message::new("[1]", "application/json"));
        assert_eq!(Json::<Vec<u8>>::from_message(&mut incoming).unwrap().0, [1]);
        assert_eq!(Input::from_message(&mut incoming).unwrap().0, "input");
        assert_eq!(Message::from_message(&mut incoming).unwrap().body, b"[1]");
        let failure = Text::from_message(&mut incoming).unwrap_err();
        assert_eq!(failure.verdict(), Verdict::Retry);
        assert!(failure.reason().contains("`Message` last"), "{failure}");
    }
}
