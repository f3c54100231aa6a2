//! Conversion of messages to Pulsar properties and payload, and back.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::frame::{NotAFrame, Single, batch, parts};
use super::proto::{KeyValue, MessageMetadata};
use crate::message::{DEFAULT_CONTENT_TYPE, Message, MessageId, Properties, WEIR_FROM, WEIR_ID};
use crate::topic::{Class, Subscription};

/// The property with the media type, if it is not the default.
const CONTENT_TYPE: &str = "weir-content-type";
/// The property with the time when the caller stops waiting, in milliseconds since 1970.
const EXPIRES: &str = "weir-expires";
/// The property with the subscription of a message for one subscription only.
const ONLY: &str = "weir-only";

/// The metadata of a message of a class; `only` is the subscription, if the message is for one only.
pub(super) fn metadata(class: Class, message: &Message, only: Option<&str>) -> MessageMetadata {
    let mut properties: Vec<KeyValue> = message.properties.iter().map(|(name, value)| property(name, value)).collect();
    if let Some(id) = message.id {
        properties.push(property(WEIR_ID, &id.to_string()));
    }
    if let Some(from) = &message.from {
        properties.push(property(WEIR_FROM, from));
    }
    if let Some(content_type) = message.content_type.as_deref().filter(|text| *text != DEFAULT_CONTENT_TYPE) {
        properties.push(property(CONTENT_TYPE, content_type));
    }
    if let (Class::Request, Some(time)) = (class, message.expires_in) {
        let at_ms = now_ms().saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        properties.push(property(EXPIRES, &at_ms.to_string()));
    }
    if let Some(only) = only {
        properties.push(property(ONLY, only));
    }
    MessageMetadata { publish_time: now_ms(), properties, ..MessageMetadata::default() }
}

fn property(name: &str, value: &str) -> KeyValue {
    KeyValue { key: name.to_owned(), value: value.to_owned() }
}

/// The wall-clock time, in milliseconds since 1970, as on the wire.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// A delivered message.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) message: Message,
    /// The subscription, if the message is for one only.
    only: Option<String>,
    /// In milliseconds since 1970.
    expires_at_ms: Option<u64>,
}

impl Incoming {
    fn read(class: Class, subscription: &Subscription, properties: Vec<KeyValue>, body: Bytes) -> Self {
        let mut incoming = Incoming { message: Message { body, ..Message::default() }, only: None, expires_at_ms: None };
        let mut others = Properties::new();
        for KeyValue { key, value } in properties {
            match key.as_str() {
                WEIR_ID => incoming.message.id = value.parse().ok(),
                WEIR_FROM => incoming.message.from = Some(value.into()),
                CONTENT_TYPE => {
                    incoming.message.content_type = Some(Arc::from(value)).filter(|text: &Arc<str>| **text != *DEFAULT_CONTENT_TYPE)
                }
                EXPIRES if class == Class::Request => incoming.expires_at_ms = value.parse().ok(),
                // Only requests expire, whichever client set this.
                EXPIRES => {}
                ONLY => incoming.only = Some(value),
                _ => others.set(key, value),
            }
        }
        incoming.message.properties = others;
        if incoming.message.id.is_none() && class.has_queues() {
            let Message { properties, body, .. } = &incoming.message;
            incoming.message.id = Some(MessageId::of_foreign(subscription.as_str(), properties, body));
        }
        incoming
    }

    /// Whether it is for this subscription and has not expired.
    pub(super) fn is_for(&self, subscription: &Subscription) -> bool {
        self.only.as_deref().is_none_or(|only| only == subscription.as_str()) && !self.has_expired()
    }

    pub(super) fn has_expired(&self) -> bool {
        self.expires_at_ms.is_some_and(|at_ms| at_ms <= now_ms())
    }

    /// The message as delivered to a caller, with its remaining time.
    pub(super) fn shown(&self) -> Message {
        let expires_in = self.expires_at_ms.map(|at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms())));
        Message { expires_in, ..self.message.clone() }
    }
}

/// Reads the messages of one entry of a topic: nearly always a single one; other clients may send batches.
///
/// # Errors
/// Why the entry is unreadable: it is compressed, encrypted, a chunk of a larger message, or damaged.
pub(super) fn read(class: Class, subscription: &Subscription, message: Bytes) -> Result<Vec<Option<Incoming>>, Unreadable> {
    let (metadata, payload) = parts(message)?;
    if metadata.compression.is_some_and(|kind| kind != 0) {
        return Err(Unreadable::Foreign("it is compressed: set the compression of its producer to none"));
    }
    if metadata.encryption_algo.is_some() {
        return Err(Unreadable::Foreign("it is encrypted: turn off encryption in its producer"));
    }
    if metadata.chunk_count.is_some_and(|count| count > 1) {
        return Err(Unreadable::Foreign("it is a chunk of a chunked message, which is not supported: send smaller messages"));
    }
    // An internal marker of the broker, for transactions or replication.
    if metadata.marker_type.is_some() {
        return Ok(vec![None]);
    }
    let Some(count) = metadata.batch_count else {
        return Ok(vec![Some(Incoming::read(class, subscription, metadata.properties, payload))]);
    };
    let singles = batch(payload, count)?;
    let read = |single: Single| (!single.is_gone).then(|| Incoming::read(class, subscription, single.properties, single.body));
    Ok(singles.into_iter().map(read).collect())
}

/// An unreadable message.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// Another client wrote it in an unsupported form; the fix.
    #[error("{0}")]
    Foreign(&'static str),
    /// It is damaged.
    #[error(transparent)]
    Damaged(#[from] NotAFrame),
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use prost::Message as _;

    use super::*;

    fn reader() -> Subscription {
        "reader".parse().unwrap()
    }

    fn written(metadata: &MessageMetadata, body: &[u8]) -> Bytes {
        let mut bytes = u32::try_from(metadata.encoded_len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(metadata.encode_to_vec());
        bytes.extend(body);
        bytes.into()
    }

    fn read_one(class: Class, metadata: &MessageMetadata, body: &[u8]) -> Incoming {
        let mut all = read(class, &reader(), written(metadata, body)).unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0).unwrap()
    }

    #[test]
    fn every_part_is_restored() {
        let message = Message {
            id: Some(MessageId(7)),
            from: Some("f".into()),
            content_type: Some("text/plain".into()),
            ..Message::new("body").with("id", "42").with("empty", "")
        };
        let incoming = read_one(Class::Flow, &metadata(Class::Flow, &message, None), b"body");
        assert_eq!(incoming.shown(), message);
    }

    #[test]
    fn a_request_expires_and_a_message_can_be_addressed_to_one_subscription() {
        let message = Message { expires_in: Some(Duration::ZERO), ..Message::new("x") };
        assert!(read_one(Class::Request, &metadata(Class::Request, &message, None), b"x").has_expired());
        assert!(!read_one(Class::Flow, &metadata(Class::Flow, &message, None), b"x").has_expired());
        let foreign = MessageMetadata { properties: vec![property(EXPIRES, "1")], ..MessageMetadata::default() };
        assert!(read_one(Class::Request, &foreign, b"x").has_expired());
        assert!(read_one(Class::Flow, &foreign, b"x").is_for(&reader()), "a message of a flow that another client wrote was dropped");
        let only = |name: &str| read_one(Class::Flow, &metadata(Class::Flow, &Message::new("x"), Some(name)), b"x");
        assert!(only("reader").is_for(&reader()) && !only("other").is_for(&reader()));
    }

    #[test]
    fn a_message_without_an_id_gets_one_from_its_content_if_it_has_a_queue() {
        let plain = MessageMetadata { properties: vec![property("a", "b")], ..MessageMetadata::default() };
        let of = |class: Class| read_one(class, &plain, b"x").message.id;
        assert_eq!(of(Class::Flow), Some(MessageId::of_foreign("reader", &Properties::from_iter([("a", "b")]), b"x")));
        assert_eq!(of(Class::Notify), None);
    }

    #[test]
    fn a_compressed_message_is_unreadable_with_the_reason() {
        let compressed = MessageMetadata { compression: Some(1), ..MessageMetadata::default() };
        let error = read(Class::Flow, &reader(), written(&compressed, b"x")).unwrap_err();
        assert!(error.to_string().contains("compressed"), "{error}");
    }
}
