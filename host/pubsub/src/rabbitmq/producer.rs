//! Publishing on one topic.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::lane::Lane;
use super::link::{Blocked, Link};
use crate::backend::{Confirm, Producer};
use crate::error::{PubsubError, Result};
use crate::limits::Limits;
use crate::message::Message;
use crate::topic::Topic;

/// How many messages of producers may be on their way, of all together.
const UNDER_WAY_COUNT: usize = 2048;
/// How long a publish waits for its place while the broker takes no messages, or takes them slowly.
const PLACE_TIME: Duration = Duration::from_secs(10);

/// What producers share: how many messages may be under way.
pub(super) struct Places {
    free: Arc<Semaphore>,
    blocked: watch::Receiver<Option<Blocked>>,
}

impl Places {
    pub(super) fn of(link: &Link) -> Self {
        Places { free: Arc::new(Semaphore::new(UNDER_WAY_COUNT)), blocked: link.blocked() }
    }

    /// Waits until nothing is under way.
    pub(super) async fn quiet(&self) {
        let _ = self.free.acquire_many(UNDER_WAY_COUNT as u32).await;
    }
}

/// Publishes on one topic.
pub(super) struct TopicProducer {
    pub(super) topic: Topic,
    pub(super) limits: Limits,
    pub(super) lane: Lane,
    pub(super) link: Arc<Link>,
    pub(super) places: Arc<Places>,
}

#[async_trait]
impl Producer for TopicProducer {
    async fn publish(&self, message: Message) -> Result<Confirm> {
        self.limits.check(&self.topic, &message)?;
        self.link.up()?;
        let has_queues = self.topic.class().has_queues();
        let message = if has_queues { message.with_id() } else { message };
        let mut blocked = self.places.blocked.clone();
        let place = async {
            // What is given to a broker that takes nothing would be sent long after its sender gave up.
            let _ = blocked.wait_for(Option::is_none).await;
            self.places.free.clone().acquire_owned().await
        };
        let permit = match timeout(PLACE_TIME, place).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(super::link::closed()),
            Err(_) => return Err(no_place(self.places.blocked.borrow().as_ref())),
        };
        self.link.up()?;
        let confirm = self.lane.publish(&self.topic, &message, Some(permit));
        Ok(if has_queues { confirm.recorded(&self.topic, message.id) } else { confirm })
    }
}

pub(super) fn no_place(blocked: Option<&Blocked>) -> PubsubError {
    PubsubError::unavailable(match blocked {
        Some(Blocked { reason, .. }) => format!("the broker takes no messages ({reason}): free memory or disk on its nodes"),
        None => format!("the broker confirms too slowly: {UNDER_WAY_COUNT} messages wait for it"),
    })
}
