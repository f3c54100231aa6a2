//! Messages, and values that can be converted into them.

use crate::bindings::base::weir::processor::delivery;
use crate::{Failure, Result};
use serde::Serialize;

/// One message: a body, its media type (`None` means `application/json`), and properties by name.
///
/// As a parameter of a handler it is the whole message, moved, not copied: it must come last, after the parameters that only borrow it.
/// Properties reserved for the host (`weir-*`, `traceparent`, `tracestate`, `id`) are not visible, and sending them fails.
///
/// ```
/// use weir::{Message, Result};
///
/// fn forward(message: Message) -> Result {
///     let language = message.property("language").unwrap_or("und").to_owned();
///     weir::send("output", message.with_property("seen-in", language))
/// }
///
/// weir::processor!(forward);
/// ```
pub use delivery::Message;

impl Message {
    /// A message with a body of bytes and a media type, such as `image/png`.
    #[must_use]
    pub fn new(body: impl Into<Vec<u8>>, content_type: impl Into<String>) -> Self {
        Self { body: body.into(), content_type: Some(content_type.into()), properties: Vec::new() }
    }

    /// A JSON message, without a media type, which means JSON.
    ///
    /// # Errors
    /// A reject, if serde cannot write it as JSON: for example a map whose keys are not strings.
    pub fn json(value: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(value).map_err(|error| Failure::reject(format!("the message cannot be written as JSON: {error}")))?;
        Ok(Self { body, content_type: None, properties: Vec::new() })
    }

    /// A property's value. Names are case-sensitive.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The same message with a property set, replacing any with this name.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.properties.retain(|(found, _)| *found != name);
        self.properties.push((name, value.into()));
        self
    }

    /// The body as text.
    ///
    /// # Errors
    /// A reject that gives the first byte that is not UTF-8.
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.body)
            .map_err(|error| Failure::reject(format!("the body is not UTF-8 text: byte {} is invalid", error.valid_up_to())))
    }
}

/// What [`send`](crate::send) and the return value of a handler accept.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent",
    note = "wrap a value in `weir::Json(..)` or `weir::Text(..)`, or make a `weir::Message`"
)]
pub trait IntoMessage {
    /// Converts it into a message.
    ///
    /// # Errors
    /// A [`Failure`] if the value cannot be written.
    fn into_message(self) -> Result<Message>;
}

impl IntoMessage for Message {
    fn into_message(self) -> Result<Message> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Json, Text};

    #[test]
    fn the_last_value_of_a_repeated_property_wins() {
        let mut message = Message::new("x", "text/plain");
        message.properties = vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
        assert_eq!(message.property("a"), Some("2"));
        assert_eq!(message.with_property("a", "3").properties, [("a".to_owned(), "3".to_owned())]);
    }

    #[test]
    fn json_has_no_media_type_and_text_has_one() {
        assert_eq!(Json([1, 2]).into_message().unwrap(), Message { body: b"[1,2]".to_vec(), content_type: None, properties: vec![] });
        assert_eq!(Text("hi").into_message().unwrap().content_type.as_deref(), Some("text/plain; charset=utf-8"));
    }

    #[test]
    fn invalid_text_is_reported_with_its_position() {
        let failure = Message::new(b"ab\xffc".to_vec(), "text/plain").text().unwrap_err();
        assert!(failure.reason().contains("byte 2"), "{failure}");
    }
}
