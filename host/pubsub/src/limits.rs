//! Limits that every backend enforces before a client library sees the message, the same for all brokers.

use crate::error::{PubsubError, Result};
use crate::message::{Message, size_of};
use crate::output::Output;
use crate::topic::{Class, Topic};

/// Limits on messages. Exceeding one returns [`PubsubError::TooLarge`] to that caller only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The body of a message; 4 MiB by default, which a component with 64 MiB of memory can hold while it processes JSON.
    pub max_message_bytes: usize,
    /// The body of a message to a `response` topic: the broker's own maximum, since the config service answers with the whole configuration.
    pub max_answer_bytes: usize,
    /// The name of one property: AMQP allows 255 bytes, the headers of other brokers less.
    pub max_property_name_bytes: usize,
    /// All properties of a message together, names and values: an AMQP frame holds 128 KiB.
    pub max_properties_bytes: usize,
    /// All outputs of one settle together; 256 MiB by default. They are in memory at the same time, and a broker with atomic settles stores them in
    /// one step.
    pub max_settle_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_message_bytes: 4 << 20,
            max_answer_bytes: 64 << 20,
            max_property_name_bytes: 128,
            max_properties_bytes: 32 << 10,
            max_settle_bytes: 256 << 20,
        }
    }
}

impl Limits {
    /// Checks a message that is about to be published on a topic.
    ///
    /// # Errors
    /// [`PubsubError::TooLarge`], with the part and its limit.
    pub fn check(&self, topic: &Topic, message: &Message) -> Result<()> {
        let body_limit = if topic.class() == Class::Response { self.max_answer_bytes } else { self.max_message_bytes };
        at_most("the body of the message", message.body.len(), body_limit)?;
        let mut total = message.from.as_ref().map_or(0, |f| f.len()) + message.content_type.as_ref().map_or(0, |t| t.len());
        for (name, value) in message.properties.iter() {
            if name.len() > self.max_property_name_bytes {
                let start: String = name.chars().take(32).flat_map(char::escape_default).collect();
                at_most(&format!("the property name `{start}...`"), name.len(), self.max_property_name_bytes)?;
            }
            total += name.len() + value.len();
        }
        at_most("the properties of the message", total, self.max_properties_bytes)
    }

    /// Checks the outputs of one settle together.
    ///
    /// # Errors
    /// [`PubsubError::TooLarge`].
    pub fn check_settle(&self, outputs: &[Output]) -> Result<()> {
        let actual_bytes = outputs.iter().map(|output| size_of(&output.message)).sum();
        if actual_bytes <= self.max_settle_bytes {
            return Ok(());
        }
        let what = "all outputs of one message together".to_owned();
        Err(PubsubError::TooLarge { what, actual_bytes, limit_bytes: self.max_settle_bytes })
    }
}

fn at_most(what: &str, actual: usize, limit: usize) -> Result<()> {
    if actual <= limit {
        return Ok(());
    }
    Err(PubsubError::TooLarge { what: what.to_owned(), actual_bytes: actual as u64, limit_bytes: limit as u64 })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_its_limit() {
        let check = |topic: &str, message: Message| Limits::default().check(&topic.parse().unwrap(), &message).map_err(|e| e.to_string());
        let body = |size: usize| Message::new(vec![0; size]);
        assert_eq!(check("flow:tg:x", body(4 << 20)), Ok(()));
        assert_eq!(check("flow:tg:x", body((4 << 20) + 1)), Err("the body of the message has 4194305 bytes; the limit is 4194304".into()));
        assert_eq!(check("response:tg:x", body((4 << 20) + 1)), Ok(()));
        assert!(check("response:tg:x", body((64 << 20) + 1)).is_err());
        assert_eq!(check("flow:tg:x", body(1).with("n".repeat(128), "v")), Ok(()));
        assert!(check("flow:tg:x", body(1).with("n".repeat(129), "v")).unwrap_err().contains("property name `nnn"));
        assert!(check("flow:tg:x", body(1).with("n", "v".repeat(32 << 10))).unwrap_err().contains("properties"));
    }
}
