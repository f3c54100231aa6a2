//! The outcome of a message.

use crate::log::Level;
use crate::{Failure, FromMessage, Incoming, Json, Message};
use std::fmt;

/// A message and the name of the output or request to which it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The name, as in the descriptor.
    pub to: String,
    /// The message.
    pub message: Message,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its level.
    pub level: Level,
    /// Its message.
    pub message: String,
    /// Its fields, in the order in which they were added.
    pub fields: Vec<(String, String)>,
}

/// The outcome of a message that [`Kit::handle`](crate::testing::Kit::handle) passed to a processor.
///
/// ```
/// use weir::testing::{Kit, json};
/// use weir::{Json, Result, Text, log};
///
/// fn split(Text(text): Text) -> Result {
///     for word in text.split_whitespace() {
///         weir::send(if word.len() > 3 { "long" } else { "short" }, Json(word))?;
///     }
///     log::info("text split").with("bytes", text.len()).write();
///     Ok(())
/// }
///
/// let descriptor = r#"{ "schema": 1, "consumers": ["input"], "producers": ["long", "short"] }"#;
/// let handled = Kit::new(descriptor, split).handle("input", Text("a few words"));
/// assert_eq!(handled.failure(), None);
/// assert_eq!(handled.json("long"), [json!("words")]);
/// let Json(first): &Json<String> = &handled.outputs("short")[0];
/// assert_eq!(first, "a");
/// let order: Vec<&str> = handled.sent().iter().map(|sent| sent.to.as_str()).collect();
/// assert_eq!(order, ["short", "short", "long"]);
/// assert_eq!(handled.log()[0].fields, [("bytes".to_owned(), "11".to_owned())]);
/// ```
#[must_use = "a test looks at what came of the message"]
pub struct Handled {
    pub(super) failure: Option<Failure>,
    pub(super) outputs: Vec<String>,
    pub(super) sent: Vec<Sent>,
    pub(super) replies: Vec<Message>,
    pub(super) is_answered: bool,
    pub(super) requests: Vec<Sent>,
    pub(super) log: Vec<LogLine>,
}

impl Handled {
    /// Why the message could not be handled; `None` if it was.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// The messages sent to an output, in their order, read as by a handler: `Json<T>`, `Text`, `Message`.
    ///
    /// # Panics
    /// If the handler failed, so that nothing was sent; if there is no such output; if one of the messages cannot be read as a `T`.
    #[track_caller]
    #[must_use]
    pub fn outputs<T: FromMessage>(&self, output: &str) -> Vec<T> {
        if let Some(failure) = &self.failure {
            panic!("nothing left for `{output}`, since the handler failed: {failure:?}");
        }
        assert!(
            self.outputs.iter().any(|known| known == output),
            "output `{output}` does not exist; must be one of: {}",
            self.outputs.join(", ")
        );
        let messages = self.sent.iter().filter(|sent| sent.to == output).map(|sent| &sent.message);
        messages.enumerate().map(|(index, message)| read(&format!("message {index} of `{output}`"), message)).collect()
    }

    /// As [`outputs`](Self::outputs), as any JSON values, for comparison with those of [`json!`](crate::testing::json).
    ///
    /// # Panics
    /// As [`outputs`](Self::outputs).
    #[track_caller]
    #[must_use]
    pub fn json(&self, output: &str) -> Vec<serde_json::Value> {
        self.outputs(output).into_iter().map(|Json(value)| value).collect()
    }

    /// All messages that were sent, in order. None if the handler failed.
    #[must_use]
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// The parts of the answer that were sent, in their order: including those before a failure, since a part is sent immediately.
    ///
    /// # Panics
    /// If the handler failed before a part was sent; if one of them cannot be read as a `T`.
    #[track_caller]
    #[must_use]
    pub fn replies<T: FromMessage>(&self) -> Vec<T> {
        if let (Some(failure), []) = (&self.failure, &self.replies[..]) {
            panic!("no part of an answer left, since the handler failed: {failure:?}");
        }
        self.replies.iter().enumerate().map(|(index, part)| read(&format!("part {index} of the answer"), part)).collect()
    }

    /// As [`replies`](Self::replies), as any JSON values.
    ///
    /// # Panics
    /// As [`replies`](Self::replies).
    #[track_caller]
    #[must_use]
    pub fn reply_json(&self) -> Vec<serde_json::Value> {
        self.replies().into_iter().map(|Json(value)| value).collect()
    }

    /// Whether the handler marked the last part of its answer. If it did not, the host ends the answer: with an empty part after an ok,
    /// with an error after a permanent failure.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// The requests that were sent, in order, whatever their outcome.
    #[must_use]
    pub fn requests(&self) -> &[Sent] {
        &self.requests
    }

    /// The logged lines, in order: including those of `setup`, if it was called for this message.
    #[must_use]
    pub fn log(&self) -> &[LogLine] {
        &self.log
    }
}

#[track_caller]
fn read<T: FromMessage>(what: &str, message: &Message) -> T {
    match T::from_message(&mut Incoming::new(what, message.clone())) {
        Ok(value) => value,
        Err(failure) => panic!("{what} cannot be read: {failure}: it is {}", String::from_utf8_lossy(&message.body)),
    }
}

impl fmt::Debug for Handled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handled")
            .field("failure", &self.failure)
            .field("sent", &self.sent)
            .field("replies", &self.replies)
            .field("is_answered", &self.is_answered)
            .field("requests", &self.requests)
            .field("log", &self.log)
            .finish()
    }
}
