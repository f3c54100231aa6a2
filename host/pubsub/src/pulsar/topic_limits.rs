//! Maximum message sizes set by policies of single topics, learned when the broker refuses a message.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::admin::Admin;
use super::names::TopicName;
use crate::error::{PubsubError, Result};
use crate::lock::lock;
use crate::message::Message;
use crate::topic::Topic;

/// How long a limit applies without being confirmed: an operator may have changed it, which a later refusal then shows.
const KEPT_TIME: Duration = Duration::from_secs(30);
/// The minimum interval between checks of a limit that refuses messages.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The maximum number of topics remembered.
const MAX_TOPICS_COUNT: usize = 1024;
/// The overhead that the broker counts beside body and properties: names, numbers and times of a message.
const OVERHEAD_BYTES: u64 = 160;

/// Limits by topic.
#[derive(Debug, Default)]
pub(super) struct TopicLimits(Mutex<HashMap<Topic, Limit>>);

#[derive(Debug)]
struct Limit {
    bytes: u64,
    shown_at: Instant,
    /// When it was last checked, or when a check began.
    looked_at: Instant,
}

impl Limit {
    fn counts(&self) -> bool {
        self.shown_at.elapsed() < KEPT_TIME
    }
}

impl TopicLimits {
    /// Remembers a limit for [`KEPT_TIME`].
    pub(super) fn learn(&self, topic: &Topic, limit_bytes: u64) {
        let mut limits = lock(&self.0);
        limits.retain(|_, limit| limit.counts());
        if limits.len() < MAX_TOPICS_COUNT {
            let now = Instant::now();
            limits.insert(topic.clone(), Limit { bytes: limit_bytes, shown_at: now, looked_at: now });
        }
    }

    /// Requests the limit of a topic from the broker, since an operator may have changed it. If that fails, the last known limit stays.
    pub(super) async fn refresh(&self, admin: &Admin, topic: &Topic, topic_name: &TopicName) {
        match admin.largest_message_bytes(topic_name).await {
            Ok(Some(limit_bytes)) => self.learn(topic, limit_bytes),
            Ok(None) => self.forget(topic),
            Err(_) => {}
        }
    }

    fn forget(&self, topic: &Topic) {
        lock(&self.0).remove(topic);
    }

    /// Whether a check of a topic's limit is due; the caller must then perform it.
    pub(super) fn is_refresh_due(&self, topic: &Topic) -> bool {
        let mut limits = lock(&self.0);
        let due = limits.get_mut(topic).filter(|limit| limit.looked_at.elapsed() >= POLL_INTERVAL);
        due.map(|limit| limit.looked_at = Instant::now()).is_some()
    }

    /// Checks a message against the last known limit.
    ///
    /// # Errors
    /// `TooLarge`.
    pub(super) fn check(&self, topic: &Topic, message: &Message) -> Result<()> {
        let limit_bytes = lock(&self.0).get(topic).filter(|limit| limit.counts()).map(|limit| limit.bytes);
        let actual_bytes = crate::message::size_of(message).saturating_add(OVERHEAD_BYTES);
        match limit_bytes {
            Some(limit_bytes) if actual_bytes > limit_bytes => Err(too_large(topic, actual_bytes, limit_bytes)),
            _ => Ok(()),
        }
    }
}

/// The error for a message that a policy of its topic does not allow.
pub(super) fn too_large(topic: &Topic, actual_bytes: u64, limit_bytes: u64) -> PubsubError {
    PubsubError::TooLarge { what: format!("the message, by the policy maxMessageSize of {topic},"), actual_bytes, limit_bytes }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_limit_applies_to_its_topic_for_a_limited_time() {
        let (topic, other) = ("flow:tg:a".parse().unwrap(), "flow:tg:b".parse().unwrap());
        let (limits, large) = (TopicLimits::default(), Message::new(vec![b'x'; 2000]));
        limits.learn(&topic, 1000);
        let error = limits.check(&topic, &large).unwrap_err().to_string();
        assert!(error.contains("maxMessageSize of flow:tg:a") && error.contains("the limit is 1000"), "{error}");
        limits.check(&topic, &Message::new("small")).unwrap();
        limits.check(&other, &large).unwrap();
        tokio::time::advance(KEPT_TIME).await;
        limits.check(&topic, &large).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_is_rechecked_and_may_be_gone() {
        let topic = "flow:tg:a".parse().unwrap();
        let (limits, large) = (TopicLimits::default(), Message::new(vec![b'x'; 2000]));
        assert!(!limits.is_refresh_due(&topic), "there is none");
        limits.learn(&topic, 1000);
        assert!(!limits.is_refresh_due(&topic), "it was just shown");
        tokio::time::advance(POLL_INTERVAL).await;
        assert_eq!((limits.is_refresh_due(&topic), limits.is_refresh_due(&topic)), (true, false));
        limits.forget(&topic);
        limits.check(&topic, &large).unwrap();
    }
}
