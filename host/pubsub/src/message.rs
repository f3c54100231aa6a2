//! Messages, their ids and properties.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use sha2::{Digest, Sha256};

/// The media type of a message that does not state one.
pub const DEFAULT_CONTENT_TYPE: &str = "application/json";
/// The property that correlates a reply with its request.
pub const CORRELATION_ID: &str = "id";
/// The property that carries [`Message::id`] on brokers.
pub const WEIR_ID: &str = "weir-id";
/// The property that carries [`Message::from`] on brokers.
pub const WEIR_FROM: &str = "weir-from";
/// `more` on every part of an answer but the last.
pub const WEIR_PART: &str = "weir-part";
/// The error type, on the last part of an answer to a request that failed permanently.
pub const WEIR_ERROR: &str = "weir-error";

/// The 128-bit id of a message: the same in every attempt and redelivery, different for different messages.
///
/// On the wire: 32 lower-case hexadecimal digits, property `weir-id`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u128);

impl MessageId {
    /// A new id, for a message that enters the system.
    pub fn random(rng: &mut impl Rng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        MessageId(u128::from_be_bytes(bytes))
    }

    /// The id of the `index`th message that handling this one sends to `output`. It is the same in every attempt, so a repeated handling produces the
    /// same ids: the first 16 bytes of SHA-256 over `weir-output`, this id, the index (4 bytes, big-endian) and the output's name.
    pub fn of_output(self, output: &str, index: u32) -> Self {
        Self::digest(&[b"weir-output", &self.0.to_be_bytes(), &index.to_be_bytes(), output.as_bytes()])
    }

    /// The id of a message that arrived without one: stable across redeliveries, and equal for messages with identical bytes. The first 16 bytes of
    /// SHA-256 over `weir-foreign`, subscription, properties in their order and body, each preceded by its length (8 bytes, big-endian).
    pub fn of_foreign(subscription: &str, properties: &Properties, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"weir-foreign");
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(subscription.as_bytes());
        for (name, value) in properties.iter() {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        part(body);
        Self::first_half(&hash.finalize())
    }

    fn digest(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        Self::first_half(&hash.finalize())
    }

    fn first_half(digest: &[u8]) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        MessageId(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

/// The string is not a [`MessageId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message id is 32 hexadecimal digits")]
pub struct NotAMessageId;

impl FromStr for MessageId {
    type Err = NotAMessageId;

    fn from_str(text: &str) -> Result<Self, NotAMessageId> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotAMessageId);
        }
        u128::from_str_radix(text, 16).map(MessageId).map_err(|_| NotAMessageId)
    }
}

/// The properties (headers) of a message: a small map from name to value. If a name is set twice, the last value wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(Vec<(String, String)>);

impl Properties {
    /// No properties.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a property.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Sets a property, replacing an earlier value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// Removes a property and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.remove(at).1)
    }

    /// All properties, in the order in which they were first set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// The number of properties.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no properties.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut properties = Properties::new();
        for (name, value) in pairs {
            properties.set(name, value);
        }
        properties
    }
}

/// One message. Cloning shares the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its id (property `weir-id`); `None` only until a sender of Weir's has handled it.
    pub id: Option<MessageId>,
    /// Its origin (property `weir-from`): processor, first 12 digits of the component's digest, config version, attempt.
    pub from: Option<Arc<str>>,
    /// The media type; `None` means [`DEFAULT_CONTENT_TYPE`].
    pub content_type: Option<Arc<str>>,
    /// All other properties.
    pub properties: Properties,
    /// The content.
    pub body: Bytes,
    /// For `request` topics: how long after the publish an answer is awaited; later the message is not delivered. In a delivery it is the remaining
    /// time, if the broker reports it.
    pub expires_in: Option<Duration>,
}

impl Message {
    /// A message without properties; the body may be JSON or any bytes.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Message { body: body.into(), ..Self::default() }
    }

    /// Returns the message with a property set.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.set(name, value);
        self
    }
}

impl Message {
    /// Returns the message with an id: a random one if it has none.
    pub(crate) fn with_id(mut self) -> Self {
        self.id.get_or_insert_with(|| MessageId::random(&mut rand::rng()));
        self
    }
}

/// The overhead of a stored message, in bytes: the message itself, its queue entry, and the allocation of its body. Measured.
const MESSAGE_MEMORY_BYTES: u64 = 288;
/// The overhead of a property, in bytes: two strings in a list that grows by doubling, and an allocation for each of them.
const PROPERTY_MEMORY_BYTES: u64 = 112;

impl Message {
    /// The approximate memory use in bytes. For a message of a few bytes, or with many properties, this is many times its size.
    pub fn memory_bytes(&self) -> u64 {
        size_of(self) + MESSAGE_MEMORY_BYTES + PROPERTY_MEMORY_BYTES * self.properties.len() as u64
    }
}

/// The size of a message for limits and bounds, in bytes: body, properties, and the metadata stored with them.
pub(crate) fn size_of(message: &Message) -> u64 {
    let texts = message.from.as_ref().map_or(0, |t| t.len()) + message.content_type.as_ref().map_or(0, |t| t.len());
    let properties: usize = message.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
    (message.body.len() + texts + properties) as u64
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_through_strings() {
        let id = MessageId(0x00ab_cdef);
        assert_eq!(id.to_string(), "00000000000000000000000000abcdef");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("x".parse::<MessageId>(), Err(NotAMessageId));
        assert_eq!("+0000000000000000000000000abcdef".parse::<MessageId>(), Err(NotAMessageId));
    }

    #[test]
    fn the_id_of_an_output_depends_only_on_input_output_and_index() {
        let input = MessageId(7);
        assert_eq!(input.of_output("output", 0), input.of_output("output", 0));
        let all =
            [input.of_output("output", 0), input.of_output("output", 1), input.of_output("copies", 0), MessageId(8).of_output("output", 0)];
        for (at, id) in all.iter().enumerate() {
            assert!(!all[..at].contains(id));
        }
        // Pinned: hosts of other versions must derive the same ids.
        assert_eq!(input.of_output("output", 0).to_string(), "9c2680ee10d5d93692795fe6dc73966f");
    }

    #[test]
    fn foreign_ids_depend_on_every_part() {
        let with = Properties::from_iter([("a", "b")]);
        let id = |s: &str, p: &Properties, b: &[u8]| MessageId::of_foreign(s, p, b);
        let base = id("s", &with, b"body");
        assert_eq!(base, id("s", &with, b"body"));
        for other in [id("t", &with, b"body"), id("s", &Properties::new(), b"body"), id("s", &with, b"bod")] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn the_last_value_of_a_repeated_property_counts() {
        let properties = Properties::from_iter([("a", "1"), ("b", "2"), ("a", "3")]);
        assert_eq!(properties.iter().collect::<Vec<_>>(), [("a", "3"), ("b", "2")]);
    }
}
