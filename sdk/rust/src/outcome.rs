//! The return values of handlers.

use crate::{IntoMessage, Result, send, send_all};

/// The output for return values.
const OUTPUT: &str = "output";

/// A type that a handler can return: `()`; a message (`Json<T>`, `Text`, `Message`), which goes to the output called `output`; an `Option`
/// or a `Vec` of messages, for none or many; the answer to a request, as a [`Reply`](crate::Reply) or in parts as
/// [`ReplyParts`](crate::ReplyParts); and a `Result` of any of these.
///
/// ```
/// use weir::{Failure, Json, Result, Text};
///
/// fn lines(Text(text): Text) -> Result<Vec<Json<String>>> {
///     if text.is_empty() {
///         return Err(Failure::reject("the text is empty"));
///     }
///     Ok(text.lines().map(|line| Json(line.to_owned())).collect())
/// }
///
/// weir::processor!(lines);
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    note = "it can return `()`, `Json<T>`, `Text`, `Message`, an `Option` or `Vec` of these, `Reply(..)`, `ReplyParts(..)`, and a \
            `weir::Result` of any of them"
)]
pub trait Outcome {
    /// Sends the messages.
    ///
    /// # Errors
    /// The error of the handler, or of [`send`].
    fn settle(self) -> Result;
}

impl Outcome for () {
    fn settle(self) -> Result {
        Ok(())
    }
}

impl<M: IntoMessage> Outcome for M {
    fn settle(self) -> Result {
        send(OUTPUT, self)
    }
}

impl<M: IntoMessage> Outcome for Option<M> {
    fn settle(self) -> Result {
        self.map_or(Ok(()), |message| send(OUTPUT, message))
    }
}

impl<M: IntoMessage> Outcome for Vec<M> {
    fn settle(self) -> Result {
        send_all(OUTPUT, self)
    }
}

impl<T: Outcome> Outcome for Result<T> {
    fn settle(self) -> Result {
        self?.settle()
    }
}
