//! Publishing on one topic.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use super::publisher::Publishers;
use super::publishing::{Channel, MAX_IN_FLIGHT_COUNT};
use crate::backend::{Confirm, Producer};
use crate::error::{PubsubError, Result};
use crate::limits::Limits;
use crate::message::Message;
use crate::network::closed;
use crate::topic::Topic;

/// How long a publish waits for its permit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Publishes on one topic.
pub(super) struct TopicProducer {
    pub(super) topic: Topic,
    pub(super) limits: Limits,
    pub(super) publishers: Arc<Publishers>,
    pub(super) channel: Channel,
}

#[async_trait]
impl Producer for TopicProducer {
    async fn publish(&self, message: Message) -> Result<Confirm> {
        self.limits.check(&self.topic, &message)?;
        self.publishers.check(&self.topic, &message)?;
        self.channel.link.up()?;
        let has_queues = self.topic.class().has_queues();
        let message = if has_queues { message.with_id() } else { message };
        let slow = || PubsubError::unavailable(format!("the broker confirms too slowly: {MAX_IN_FLIGHT_COUNT} messages are unconfirmed"));
        let permit =
            timeout(PERMIT_TIMEOUT, self.channel.permits.clone().acquire_owned()).await.map_err(|_| slow())?.map_err(|_| closed())?;
        self.channel.link.up()?;
        let confirm = self.publishers.publish(&self.topic, &message, None, Some(permit));
        Ok(if has_queues { confirm.recorded(&self.topic, message.id) } else { confirm })
    }
}
