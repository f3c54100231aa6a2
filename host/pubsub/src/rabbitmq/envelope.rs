//! Conversion of messages to AMQP properties, headers and body, and back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::time::Instant;

use super::names::short;
use crate::error::Result;
use crate::message::{DEFAULT_CONTENT_TYPE, Message, MessageId, Properties, WEIR_FROM, WEIR_ID};
use crate::topic::{Class, Subscription};

/// Delivery modes of AMQP 0-9-1.
const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;
/// The header with the number of earlier deliveries, set by quorum queues.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// The AMQP properties of a message. Its limits are already checked.
pub(super) fn properties(class: Class, message: &Message) -> Result<BasicProperties> {
    let mut headers = FieldTable::default();
    for (name, value) in message.properties.iter() {
        headers.insert(short("a property name", name)?, AMQPValue::LongString(value.into()));
    }
    if let Some(id) = message.id {
        headers.insert(ShortString::from(WEIR_ID), AMQPValue::LongString(id.to_string().into()));
    }
    if let Some(from) = &message.from {
        headers.insert(ShortString::from(WEIR_FROM), AMQPValue::LongString((**from).into()));
    }
    let content_type = short("the content type", message.content_type.as_deref().unwrap_or(DEFAULT_CONTENT_TYPE))?;
    let mode = if class.is_durable() { PERSISTENT } else { TRANSIENT };
    let mut properties = BasicProperties::default().with_content_type(content_type).with_delivery_mode(mode);
    // Like TrustGraph's, an answer without properties has no headers at all.
    if !headers.inner().is_empty() {
        properties = properties.with_headers(headers);
    }
    if let (Class::Request, Some(time)) = (class, message.expires_in) {
        properties = properties.with_expiration(ShortString::from(time.as_millis().to_string()));
    }
    Ok(properties)
}

/// A delivered message with the broker's delivery data.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) message: Message,
    /// The least number of deliveries, including this one.
    pub(super) delivered_count: u32,
    /// When the caller stops waiting, counted from the message's arrival here.
    pub(super) expires_at: Option<Instant>,
}

impl Incoming {
    /// Reads a delivery. A message of a shared queue without an id gets one derived from its content.
    pub(super) fn read(class: Class, subscription: &Subscription, delivery: lapin::message::Delivery) -> Self {
        let is_again = delivery.redelivered;
        let (content_type, expiration) = (delivery.properties.content_type(), delivery.properties.expiration());
        let mut message = Message { body: Bytes::from(delivery.data), ..Message::default() };
        message.content_type = content_type.as_ref().map(ShortString::as_str).filter(|text| *text != DEFAULT_CONTENT_TYPE).map(Arc::from);
        message.expires_in = expiration.as_ref().and_then(|text| text.as_str().parse().ok()).map(Duration::from_millis);
        let counted = delivery.properties.headers().as_ref().and_then(|headers| read_headers(headers, &mut message));
        if message.id.is_none() && class.has_queues() {
            message.id = Some(MessageId::of_foreign(subscription.as_str(), &message.properties, &message.body));
        }
        let delivered_count = counted.map_or(1 + u32::from(is_again), |count| count.saturating_add(1));
        let expires_at = message.expires_in.and_then(|time| Instant::now().checked_add(time));
        Incoming { message, delivered_count, expires_at }
    }

    /// Whether the caller no longer waits.
    pub(super) fn has_expired(&self) -> bool {
        self.expires_at.is_some_and(|at| at <= Instant::now())
    }
}

/// Stores headers in a message; returns the number of earlier deliveries, if the broker reports it.
fn read_headers(headers: &FieldTable, message: &mut Message) -> Option<u32> {
    let mut delivered_count = None;
    let mut properties = Properties::new();
    for (name, value) in headers.inner() {
        if name.as_str() == DELIVERY_COUNT {
            delivered_count = whole(value).and_then(|count| u32::try_from(count).ok());
            continue;
        }
        // Headers that the broker adds are not message properties.
        let Some(text) = text(value) else { continue };
        match name.as_str() {
            WEIR_ID => message.id = text.parse().ok(),
            WEIR_FROM => message.from = Some(text.into()),
            _ => properties.set(name.as_str(), text),
        }
    }
    message.properties = properties;
    delivered_count
}

/// A header's value as a string. Numbers and booleans are formatted as in JSON; tables, arrays and void have no string form and are omitted.
fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        AMQPValue::ByteArray(bytes) => Some(String::from_utf8_lossy(bytes.as_slice()).into_owned()),
        AMQPValue::Boolean(truth) => Some(truth.to_string()),
        AMQPValue::Float(number) => Some(number.to_string()),
        AMQPValue::Double(number) => Some(number.to_string()),
        AMQPValue::Timestamp(seconds) => Some(seconds.to_string()),
        AMQPValue::DecimalValue(_) | AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) | AMQPValue::Void => None,
        number => whole(number).map(|number| number.to_string()),
    }
}

fn whole(value: &AMQPValue) -> Option<i64> {
    match value {
        AMQPValue::ShortShortInt(number) => Some((*number).into()),
        AMQPValue::ShortShortUInt(number) => Some((*number).into()),
        AMQPValue::ShortInt(number) => Some((*number).into()),
        AMQPValue::ShortUInt(number) => Some((*number).into()),
        AMQPValue::LongInt(number) => Some((*number).into()),
        AMQPValue::LongUInt(number) => Some((*number).into()),
        AMQPValue::LongLongInt(number) => Some(*number),
        _ => None,
    }
}
