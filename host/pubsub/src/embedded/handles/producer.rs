//! Publishing messages, and preparing the outputs of settles.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::backend::{Confirm, Output, Producer};
use crate::embedded::commit::Shared;
use crate::embedded::refusal::lost;
use crate::embedded::state::{Operation, Outgoing, Redriven, Stored};
use crate::error::{PubsubError, Result};
use crate::lock::lock;
use crate::message::Message;
use crate::topic::{Class, Queue, Topic};

/// Publishes on one topic.
pub(crate) struct TopicProducer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) topic: Topic,
}

#[async_trait]
impl Producer for TopicProducer {
    async fn publish(&self, mut message: Message) -> Result<Confirm> {
        self.shared.limits.check(&self.topic, &message)?;
        match self.topic.class() {
            Class::Flow => {
                message = message.with_id();
                let id = message.id;
                let stored = Stored::of(Class::Flow, message);
                let permit = self.shared.admission.admit(stored.memory_bytes).await?;
                let (done, outcome) = oneshot::channel();
                self.shared.submit(Operation::Publish { topic: self.topic.clone(), stored, permit, done })?;
                Ok(Confirm::waiting(outcome).recorded(&self.topic, id))
            }
            Class::Request => {
                message = message.with_id();
                let id = message.id;
                self.shared.publish_request(&self.topic, &Stored::of(Class::Request, message))?;
                Ok(Confirm::resolved(Ok(())).recorded(&self.topic, id))
            }
            Class::Response | Class::Notify => {
                self.shared.broadcast(&self.topic, &Stored::of(self.topic.class(), message))?;
                Ok(Confirm::resolved(Ok(())))
            }
        }
    }
}

impl Shared {
    pub(crate) async fn redrive(&self, from: &Queue, position: u64, to: &Queue, message: Message) -> Result<bool> {
        let stored = self.for_queue(to, message)?;
        let permit = self.admission.admit(stored.memory_bytes).await?;
        let (done, outcome) = oneshot::channel();
        let moved = Box::new(Redriven { from: from.clone(), position, to: to.clone() });
        self.submit(Operation::Redrive { moved, stored, permit, done })?;
        outcome.await.unwrap_or_else(|_| Err(lost()))
    }

    /// A message for one queue.
    fn for_queue(&self, queue: &Queue, message: Message) -> Result<Arc<Stored>> {
        self.limits.check(queue.topic(), &message)?;
        if !queue.topic().class().has_queues() {
            return Err(PubsubError::no_queues_to_send_to(queue.topic()));
        }
        Ok(Stored::of(queue.topic().class(), message.with_id()))
    }

    fn publish_request(&self, topic: &Topic, stored: &Arc<Stored>) -> Result<()> {
        let mut state = lock(&self.state);
        state.check_open()?;
        let targets = state.request_targets(topic, stored, Instant::now())?;
        state.publish_to(&targets, topic, stored);
        let wakeups = state.wake(&targets);
        drop(state);
        wakeups.send();
        Ok(())
    }

    fn broadcast(&self, topic: &Topic, stored: &Arc<Stored>) -> Result<()> {
        let mut state = lock(&self.state);
        state.check_open()?;
        state.publish_ephemeral(topic, stored, &mut Vec::new());
        Ok(())
    }

    /// Checks outputs and prepares them.
    pub(crate) fn outgoing(&self, outputs: Vec<Output>) -> Result<Vec<Outgoing>> {
        self.limits.check_settle(&outputs)?;
        let ready = |output: Output| {
            self.limits.check(&output.topic, &output.message)?;
            let message = if output.topic.class().has_queues() { output.message.with_id() } else { output.message };
            let stored = Stored::of(output.topic.class(), message);
            Ok(Outgoing { topic: output.topic, stored, routing: output.routing })
        };
        outputs.into_iter().map(ready).collect()
    }
}
