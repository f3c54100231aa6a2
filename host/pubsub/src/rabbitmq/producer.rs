//! Publishing on one topic.

use std::sync::Arc;

use async_trait::async_trait;

use super::link::Link;
use super::publish_permits::PublishPermits;
use super::publisher::Publisher;
use crate::backend::{Confirm, Producer};
use crate::error::Result;
use crate::limits::Limits;
use crate::message::Message;
use crate::topic::Topic;

/// Publishes on one topic.
pub(super) struct TopicProducer {
    pub(super) topic: Topic,
    pub(super) limits: Limits,
    pub(super) publisher: Publisher,
    pub(super) link: Arc<Link>,
    pub(super) permits: Arc<PublishPermits>,
}

#[async_trait]
impl Producer for TopicProducer {
    async fn publish(&self, message: Message) -> Result<Confirm> {
        self.limits.check(&self.topic, &message)?;
        self.link.up()?;
        let has_queues = self.topic.class().has_queues();
        let message = if has_queues { message.with_id() } else { message };
        let permit = self.permits.take().await?;
        self.link.up()?;
        let confirm = self.publisher.publish(&self.topic, &message, Some(permit));
        Ok(if has_queues { confirm.recorded(&self.topic, message.id) } else { confirm })
    }
}
