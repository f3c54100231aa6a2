//! Names on the wire, as in TrustGraph 2.3.13: one topic exchange for each topicspace, `CLASS.NAME` as routing key, and
//! `TOPICSPACE.CLASS.NAME.SUBSCRIPTION` for a queue. Another naming scheme would be another file like this one.

use lapin::types::ShortString;

use crate::backend::LockName;
use crate::error::{PubsubError, Result};
use crate::topic::{Queue, Topic};

/// The exchange of a topicspace: durable, of type `topic`.
pub(super) fn exchange(topicspace: &str) -> Result<ShortString> {
    short("the topicspace", topicspace)
}

/// The routing key of a topic's messages.
pub(super) fn routing_key(topic: &Topic) -> Result<ShortString> {
    short("the routing key of the topic", &format!("{}.{}", topic.class(), topic.name()))
}

/// The queue of a subscription.
pub(super) fn queue(queue: &Queue) -> Result<ShortString> {
    short("the name of the queue", &queue.wire_name())
}

/// The queue of a lock. It is never the queue of a topic: there is no class `lock`.
pub(super) fn lock(name: &LockName) -> Result<ShortString> {
    short("the name of the lock", &name.wire_name())
}

/// An AMQP 0-9-1 short string, at most 255 bytes; the client library panics above that.
pub(super) fn short(what: &str, text: &str) -> Result<ShortString> {
    ShortString::try_new(text).map_err(|_| PubsubError::TooLarge {
        what: what.to_owned(),
        actual_bytes: text.len() as u64,
        limit_bytes: u64::from(u8::MAX),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::topic::Class;

    #[test]
    fn names_are_those_of_the_wire() {
        let topic: Topic = "flow:tg:text:of:a".parse().unwrap();
        assert_eq!(exchange(topic.topicspace()).unwrap().as_str(), "tg");
        assert_eq!(routing_key(&topic).unwrap().as_str(), "flow.text:of:a");
        let of = Queue::new(topic, "echo--one--input".parse().unwrap()).unwrap();
        assert_eq!(queue(&of).unwrap().as_str(), "tg.flow.text:of:a.echo--one--input");
    }

    #[test]
    fn a_lock_name_differs_from_all_queue_names() {
        let name = lock(&LockName::new("config", "tg").unwrap()).unwrap();
        assert_eq!(name.as_str(), "weir.lock.config.tg");
        assert!("lock:weir:config".parse::<Topic>().is_err(), "read as a queue's name its class would be `lock`");
    }

    #[test]
    fn a_name_that_is_too_long_is_an_error() {
        let topic = Topic::new(Class::Flow, "tg", &"n".repeat(251)).unwrap();
        let error = routing_key(&topic).unwrap_err();
        assert!(matches!(error, PubsubError::TooLarge { actual_bytes: 256, limit_bytes: 255, .. }), "{error}");
    }
}
