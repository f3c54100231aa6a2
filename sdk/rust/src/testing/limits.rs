//! What a host allows one call to send: the same limits and error messages.

use super::wording::shown;
use crate::Message;

/// The most properties of one message.
const MAX_PROPERTIES_COUNT: usize = 256;
/// The largest body of a message, in bytes.
pub(super) const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// The largest body of an answer, which goes to a `response` topic, in bytes.
pub(super) const MAX_ANSWER_BYTES: usize = 64 << 20;
const MAX_PROPERTY_NAME_BYTES: usize = 128;
const MAX_PROPERTIES_BYTES: usize = 32 << 10;
/// The most unfinished requests of one call.
pub(super) const MAX_BEGUN_COUNT: usize = 64;

/// The limits of a deployment that the kit applies.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) sends_count: u64,
    pub(super) sends_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { sends_count: 1_000, sends_bytes: 16 << 20 }
    }
}

/// Whether a property is the host's own: hidden from components and not settable by them.
pub(super) fn is_reserved(name: &str) -> bool {
    name.starts_with("weir-") || ["id", "traceparent", "tracestate"].contains(&name)
}

/// Checks the properties of a message that a component sends.
pub(super) fn check_properties(message: &Message) -> Result<(), String> {
    let properties = &message.properties;
    if properties.len() > MAX_PROPERTIES_COUNT {
        return Err(format!("the message has {} properties; the limit is {MAX_PROPERTIES_COUNT}", properties.len()));
    }
    match properties.iter().find(|(name, _)| is_reserved(name)) {
        Some((name, _)) => Err(format!("the property `{}` is reserved for the host", shown(name))),
        None => Ok(()),
    }
}

/// Checks the sizes of a message that a component sends; `body_limit` applies to the class of the topic.
pub(super) fn check_sizes(message: &Message, body_limit: usize) -> Result<(), String> {
    at_most("the body of the message", message.body.len(), body_limit)?;
    let mut total = message.content_type.as_ref().map_or(0, String::len);
    for (name, value) in &message.properties {
        if name.len() > MAX_PROPERTY_NAME_BYTES {
            let start: String = name.chars().take(32).flat_map(char::escape_default).collect();
            at_most(&format!("the property name `{start}...`"), name.len(), MAX_PROPERTY_NAME_BYTES)?;
        }
        total += name.len() + value.len();
    }
    at_most("the properties of the message", total, MAX_PROPERTIES_BYTES)
}

fn at_most(what: &str, actual: usize, limit: usize) -> Result<(), String> {
    if actual <= limit { Ok(()) } else { Err(format!("{what} has {actual} bytes; the limit is {limit}")) }
}
