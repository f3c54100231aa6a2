//! Inspection of queues, within the limits of AMQP: two figures from a passive declaration, taps through a queue of their own, and messages by
//! getting and requeueing them.

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions};

use super::broker_error::BrokerError;
use super::channel_pool::{CALL_TIME, call, open};
use super::envelope::Incoming;
use super::listing;
use super::lock;
use super::names;
use super::shared::Shared;
use super::subscriber::Subscriber;
use crate::backend::{BrowseStart, Browsed, Consumer, Cursor, Inspect, LockHolder, LockName, Named, Page, QueueStats};
use crate::error::{PubsubError, Result};
use crate::message::{Message, MessageId};
use crate::topic::{Queue, Subscription, Topic};

/// The maximum number of messages fetched from a queue to find one or to return a page.
const DEPTH_COUNT: usize = 10_000;
const TOO_DEEP: &str = "browsing messages beyond the first 10,000 of a queue: consume or move some of those before them";

#[async_trait]
impl Inspect for Arc<Shared> {
    async fn list_queues(&self) -> Result<Vec<Queue>> {
        self.check_open()?;
        match &self.management {
            Some(management) => listing::list(management).await,
            None => Err(PubsubError::Unsupported { what: "listing queues without broker.management" }),
        }
    }

    async fn stats(&self, queue: &Queue) -> Result<QueueStats> {
        self.check_open()?;
        let seen = self.lifecycle.passive(queue, &names::queue(queue)?).await?;
        // The broker does not report what consumers hold; without consumers nothing is held.
        let depth_count = (seen.consumer_count == 0).then_some(seen.ready_count);
        let (ready_count, consumer_count) = (Some(seen.ready_count), Some(seen.consumer_count));
        Ok(QueueStats { depth_count, ready_count, consumer_count, ..QueueStats::default() })
    }

    async fn lock_holder(&self, name: &LockName) -> Result<Option<LockHolder>> {
        self.check_open()?;
        lock::holder(self, name).await
    }

    async fn tap(&self, topic: &Topic, buffer_count: NonZeroU32) -> Result<Box<dyn Consumer>> {
        let name: Subscription = "tap".parse().map_err(|_| PubsubError::Unsupported { what: "taps" })?;
        Ok(Box::new(Subscriber::open(self, topic, &name, buffer_count).await?))
    }

    async fn browse(&self, queue: &Queue, start: BrowseStart, limit_count: u32, body_bytes: usize) -> Result<Page> {
        let mut taken = BorrowedMessages::of(self, queue).await?;
        let looked = page(&mut taken, start, limit_count as usize, body_bytes).await;
        taken.requeue().await;
        looked
    }

    async fn remove(&self, queue: &Queue, message: &Named) -> Result<bool> {
        let mut taken = BorrowedMessages::of(self, queue).await?;
        let removed = async {
            let Some((tag, _)) = taken.find(message).await? else { return Ok(false) };
            taken.acknowledge(tag).await?;
            Ok(true)
        }
        .await;
        taken.requeue().await;
        removed
    }

    async fn redrive(&self, from: &Queue, message: &Named, to: &Queue, sent: Message) -> Result<bool> {
        if !to.topic().class().has_queues() {
            return Err(PubsubError::no_queues_to_send_to(to.topic()));
        }
        self.limits.check(to.topic(), &sent)?;
        let name = names::queue(to)?;
        let mut taken = BorrowedMessages::of(self, from).await?;
        let redriven = async {
            self.lifecycle.passive(to, &name).await?;
            let Some((tag, _)) = taken.find(message).await? else { return Ok(false) };
            let confirm = self.publisher.publish_into(to.topic(), name.clone(), &sent.with_id());
            confirm.await.map_err(|error| match error {
                PubsubError::QueueNotFound { .. } => PubsubError::no_queue(to),
                error => error,
            })?;
            taken.acknowledge(tag).await?;
            Ok(true)
        }
        .await;
        taken.requeue().await;
        redriven
    }
}

/// The cursor of a message: its id, which identifies it as long as it is in the queue.
fn cursor(incoming: &Incoming) -> Cursor {
    Cursor::id(incoming.message.id.unwrap_or(MessageId(0)))
}

/// Fetches messages up to the end of a page. If the start is not found, it is gone with everything before it, and the page begins at the oldest
/// message.
async fn page(taken: &mut BorrowedMessages, start: BrowseStart, limit_count: usize, body_bytes: usize) -> Result<Page> {
    let (from, includes) = match start {
        BrowseStart::Oldest => (None, true),
        BrowseStart::At(cursor) => (Some(cursor), true),
        BrowseStart::Behind(cursor) => (Some(cursor), false),
    };
    let mut all: Vec<Browsed> = Vec::new();
    let mut found_at = from.is_none().then_some(0);
    let newest = loop {
        if all.len() >= DEPTH_COUNT {
            // Later messages are unknown: a page that would begin there must not look like the end of the queue.
            if found_at.is_none_or(|found| found >= all.len()) {
                return Err(PubsubError::Unsupported { what: TOO_DEEP });
            }
            break None;
        }
        let Some((_, incoming)) = taken.next().await? else { break all.last().map(|newest| newest.cursor) };
        let at = cursor(&incoming);
        if from == Some(at) {
            found_at = Some(if includes { all.len() } else { all.len() + 1 });
        }
        all.push(shown(at, incoming, body_bytes));
        // The newest message is known only if the end of the queue was reached.
        if found_at.is_some_and(|found| all.len() > found.saturating_add(limit_count)) && limit_count > 0 {
            break None;
        }
    };
    let messages = all.into_iter().skip(found_at.unwrap_or(0)).take(limit_count).collect();
    Ok(Page { messages, newest })
}

fn shown(cursor: Cursor, incoming: Incoming, body_bytes: usize) -> Browsed {
    let mut message = incoming.message;
    let whole = message.body.len();
    if whole > body_bytes {
        message.body = bytes::Bytes::copy_from_slice(&message.body[..body_bytes]);
    }
    Browsed { cursor, message: Ok(message), body_bytes: whole as u64 }
}

/// Messages fetched for inspection; they return to their positions when it ends, however it ends.
struct BorrowedMessages {
    shared: Arc<Shared>,
    channel: lapin::Channel,
    queue: Queue,
    name: lapin::types::ShortString,
    /// One inspection at a time: a second one would find the messages in flight.
    _lock: tokio::sync::OwnedMutexGuard<()>,
}

impl BorrowedMessages {
    async fn of(shared: &Arc<Shared>, queue: &Queue) -> Result<Self> {
        shared.check_open()?;
        let turn = shared.looks.clone().lock_owned().await;
        let name = names::queue(queue)?;
        shared.lifecycle.passive(queue, &name).await?;
        let up = shared.consuming.up()?;
        let channel = open(&shared.consuming, &up).await?;
        Ok(BorrowedMessages { shared: shared.clone(), channel, queue: queue.clone(), name, _lock: turn })
    }

    async fn next(&mut self) -> Result<Option<(u64, Incoming)>> {
        let got = self.channel.basic_get(self.name.clone(), BasicGetOptions::default());
        let got = call(&self.shared.consuming, "taking a message", got).await.map_err(|refusal| refusal.about(&self.queue))?;
        Ok(got.map(|BasicGetMessage { delivery, .. }| {
            let tag = delivery.delivery_tag;
            (tag, Incoming::read(self.queue.topic().class(), self.queue.subscription(), delivery))
        }))
    }

    async fn find(&mut self, named: &Named) -> Result<Option<(u64, Incoming)>> {
        for _ in 0..DEPTH_COUNT {
            let Some((tag, incoming)) = self.next().await? else { return Ok(None) };
            if cursor(&incoming) == named.cursor {
                return Ok(Some((tag, incoming)));
            }
        }
        Err(PubsubError::Unsupported { what: TOO_DEEP })
    }

    async fn acknowledge(&mut self, tag: u64) -> Result<()> {
        let acknowledged = self.channel.basic_ack(tag, BasicAckOptions::default());
        call(&self.shared.consuming, "removing a message", acknowledged).await.map_err(BrokerError::plain)
    }

    async fn requeue(self) {
        // Tag 0 means all messages fetched on this channel.
        let back = self.channel.basic_nack(0, BasicNackOptions { multiple: true, requeue: true });
        let _ = call(&self.shared.consuming, "requeueing messages", back).await;
        let _ = tokio::time::timeout(CALL_TIME, self.channel.close(200, "done".into())).await;
    }
}
