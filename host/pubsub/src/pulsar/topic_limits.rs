//! The largest messages that policies of single topics permit, as far as the broker has shown them by refusing one.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{PubsubError, Result};
use crate::lock::lock;
use crate::message::Message;
use crate::topic::Topic;

/// How long a limit counts: an operator may have changed it since, which a later refusal shows.
const KEPT_TIME: Duration = Duration::from_secs(30);
/// More topics than this are not remembered.
const KEPT_COUNT: usize = 1024;
/// What the broker counts beside body and properties: names, numbers and times of a message.
const OVERHEAD_BYTES: u64 = 160;

/// Limits by topic.
#[derive(Debug, Default)]
pub(super) struct TopicLimits(Mutex<HashMap<Topic, (u64, Instant)>>);

impl TopicLimits {
    /// Remembers a limit for a while.
    pub(super) fn learn(&self, topic: &Topic, limit_bytes: u64) {
        let mut limits = lock(&self.0);
        limits.retain(|_, (_, at)| at.elapsed() < KEPT_TIME);
        if limits.len() < KEPT_COUNT {
            limits.insert(topic.clone(), (limit_bytes, Instant::now()));
        }
    }

    /// Checks a message against the limit that was shown last.
    ///
    /// # Errors
    /// `TooLarge`.
    pub(super) fn check(&self, topic: &Topic, message: &Message) -> Result<()> {
        let limit_bytes = lock(&self.0).get(topic).filter(|(_, at)| at.elapsed() < KEPT_TIME).map(|(limit_bytes, _)| *limit_bytes);
        let actual_bytes = crate::limits::size_of(message).saturating_add(OVERHEAD_BYTES);
        match limit_bytes {
            Some(limit_bytes) if actual_bytes > limit_bytes => Err(too_large(topic, actual_bytes, limit_bytes)),
            _ => Ok(()),
        }
    }
}

/// The error about a message that a policy of its topic does not permit.
pub(super) fn too_large(topic: &Topic, actual_bytes: u64, limit_bytes: u64) -> PubsubError {
    PubsubError::TooLarge { what: format!("the message, by the policy maxMessageSize of {topic},"), actual_bytes, limit_bytes }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_limit_counts_for_its_topic_and_for_a_while() {
        let (topic, other) = ("flow:tg:a".parse().unwrap(), "flow:tg:b".parse().unwrap());
        let (limits, large) = (TopicLimits::default(), Message::new(vec![b'x'; 2000]));
        limits.learn(&topic, 1000);
        let error = limits.check(&topic, &large).unwrap_err().to_string();
        assert!(error.contains("maxMessageSize of flow:tg:a") && error.contains("of at most 1000"), "{error}");
        limits.check(&topic, &Message::new("small")).unwrap();
        limits.check(&other, &large).unwrap();
        tokio::time::advance(KEPT_TIME).await;
        limits.check(&topic, &large).unwrap();
    }
}
