//! Inspection of queues: figures from the admin API, messages by reading the topic independently of its subscriptions, which does not affect
//! consumers. A message is removed by acknowledging its position.
//!
//! Messages in flight are known only to the process that holds them: the broker does not report which messages other consumers hold.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use super::admin::CursorStats;
use super::envelope::{self, Incoming};
use super::lifecycle::refuses;
use super::listing;
use super::lock;
use super::names::{BROWSE_PREFIX, TopicName, quoted};
use super::positions::{Deleted, Position};
use super::proto::MessageIdData;
use super::shared::Shared;
use super::subscriber::Subscriber;
use super::subscription::{InitialPosition, Reading, Subscribed};
use super::wire::{ConsumerEvent, Failure};
use crate::backend::{BrowseStart, Browsed, Consumer, Cursor, Inspect, LockHolder, LockName, Named, Page, QueueStats};
use crate::error::{PubsubError, Result};
use crate::message::Message;
use crate::topic::{Class, Queue, Topic};

/// The time-out for the next message of a topic that has more.
const READ_TIME: Duration = Duration::from_secs(10);
/// How many messages are requested at a time.
const PREFETCH_COUNT: u32 = 256;
const NOT_KEPT: &str = "browsing request queues: the broker does not store requests";
const BATCHED: &str = "removing one message of a batch sent by another client";

#[async_trait]
impl Inspect for Arc<Shared> {
    async fn list_queues(&self) -> Result<Vec<Queue>> {
        self.check_up()?;
        listing::list(&self.admin, self.lifecycle.tenants()).await
    }

    async fn stats(&self, queue: &Queue) -> Result<QueueStats> {
        self.check_up()?;
        let topic_name = TopicName::of(queue.topic())?;
        let Some(stats) = self.admin.stats(&topic_name).await? else { return Err(PubsubError::no_queue(queue)) };
        let refused_above = if stats.bound_bytes > 0 { refuses(self.admin.applied_quota(&topic_name).await?.as_ref()) } else { None };
        let backlog_bytes = whole(stats.backlog_bytes);
        let found = stats.subscriptions.get(queue.subscription().as_str());
        if !topic_name.is_persistent {
            // Requests wait in the processes that consume them.
            let consumer_count = Some(found.map_or(0, |stats| stats.consumers.len() as u64));
            return Ok(QueueStats { consumer_count, ..QueueStats::default() });
        }
        let Some(stats) = found else { return Err(PubsubError::no_queue(queue)) };
        let (depth_count, unsettled_count) = (whole(stats.msg_backlog), whole(stats.unacked_messages));
        Ok(QueueStats {
            depth_count: Some(depth_count),
            ready_count: Some(depth_count.saturating_sub(unsettled_count)),
            unsettled_count: Some(unsettled_count),
            consumer_count: Some(stats.consumers.len() as u64),
            size_bytes: refused_above.map(|_| backlog_bytes),
            refuse_above_bytes: refused_above,
            is_refusing: refused_above.map(|limit| backlog_bytes >= limit),
            ..QueueStats::default()
        })
    }

    async fn has_remains(&self, queue: &Queue) -> Result<bool> {
        self.check_up()?;
        let topic_name = TopicName::of(queue.topic())?;
        // A `request` topic is the queue itself.
        Ok(topic_name.is_persistent && self.lifecycle.queues(&topic_name).await?.is_some_and(|queues| queues.is_empty()))
    }

    async fn lock_holder(&self, name: &LockName) -> Result<Option<LockHolder>> {
        lock::holder(self, name).await
    }

    async fn tap(&self, topic: &Topic, buffer_count: NonZeroU32) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(Subscriber::tap(self, topic, buffer_count).await?))
    }

    async fn browse(&self, queue: &Queue, start: BrowseStart, limit_count: u32, body_bytes: usize) -> Result<Page> {
        self.check_up()?;
        let mut view = View::of(self, queue).await?;
        let first = match start {
            BrowseStart::Oldest => Position::default(),
            BrowseStart::At(cursor) => Position::of(&cursor).unwrap_or_default(),
            BrowseStart::Behind(cursor) => Position::of(&cursor).map(Position::next).unwrap_or_default(),
        };
        let mut messages = Vec::new();
        let limit_count = limit_count as usize;
        if limit_count > 0 {
            view.begin(first).await?;
            while messages.len() < limit_count
                && let Some((position, entry)) = view.next().await?
            {
                let cursor = position.cursor()?;
                messages.extend(entry.shown(cursor, body_bytes));
                messages.truncate(limit_count);
            }
        }
        let newest = view.newest.map(Position::cursor).transpose()?;
        view.end().await;
        Ok(Page { messages, newest })
    }

    async fn remove(&self, queue: &Queue, message: &Named) -> Result<bool> {
        self.check_up()?;
        let _lock = self.looks.clone().lock_owned().await;
        let Some((position, _)) = self.find(queue, message).await? else { return Ok(false) };
        self.take(queue, position).await?;
        Ok(true)
    }

    async fn redrive(&self, from: &Queue, message: &Named, to: &Queue, sent: Message) -> Result<bool> {
        self.check_up()?;
        if !to.topic().class().has_queues() {
            return Err(PubsubError::no_queues_to_send_to(to.topic()));
        }
        self.limits.check(to.topic(), &sent)?;
        self.publishers.check(to.topic(), &sent)?;
        let _lock = self.looks.clone().lock_owned().await;
        // Checked before anything is sent.
        self.lifecycle.check_exists(from).await?;
        self.lifecycle.check_exists(to).await?;
        let Some((position, _)) = self.find(from, message).await? else { return Ok(false) };
        let confirm = self.publishers.publish(to.topic(), &sent.with_id(), Some(to.subscription().as_str()), None);
        confirm.await.map_err(|error| match error {
            PubsubError::QueueNotFound { .. } => PubsubError::no_queue(to),
            error => error,
        })?;
        self.take(from, position).await?;
        Ok(true)
    }
}

fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl Shared {
    /// Finds a message that is neither gone nor in flight in this process.
    async fn find(self: &Arc<Self>, queue: &Queue, message: &Named) -> Result<Option<(Position, EntryRead)>> {
        let mut view = View::of(self, queue).await?;
        let Some(position) = Position::of(&message.cursor) else { return Ok(None) };
        if !view.may_hold(position) {
            return Ok(None);
        }
        view.begin(position).await?;
        let found = view.next().await?.filter(|(at, _)| *at == position);
        view.end().await;
        if found.as_ref().is_some_and(|(_, found)| found.count > 1) {
            return Err(PubsubError::Unsupported { what: BATCHED });
        }
        Ok(found)
    }

    /// Acknowledges the message at a position.
    async fn take(self: &Arc<Self>, queue: &Queue, position: Position) -> Result<()> {
        let url = TopicName::of(queue.topic())?.url();
        let reading = Reading {
            topic: &url,
            subscription: queue.subscription().as_str(),
            is_shared: true,
            is_durable: true,
            makes_topic: false,
            start: InitialPosition::Oldest,
        };
        // Permits no messages, so no other consumer misses one.
        let subscribed = Subscribed::open(&self.consuming, reading).await.map_err(|failure| failure.about(queue))?;
        let acknowledged = subscribed.acknowledger().acknowledge(vec![position.id()]).await;
        subscribed.close().await;
        acknowledged.map_err(|failure| failure.about(queue))
    }
}

/// The content of one position of a topic.
struct EntryRead {
    messages: Vec<Option<Incoming>>,
    error: Option<String>,
    count: usize,
}

impl EntryRead {
    fn shown(self, cursor: Cursor, body_bytes: usize) -> Vec<Browsed> {
        if let Some(error) = self.error {
            return vec![Browsed { cursor, message: Err(error), body_bytes: 0 }];
        }
        let cut = |incoming: Incoming| {
            let mut message = incoming.shown();
            let whole_bytes = message.body.len();
            if whole_bytes > body_bytes {
                message.body = bytes::Bytes::copy_from_slice(&message.body[..body_bytes]);
            }
            Browsed { cursor, message: Ok(message), body_bytes: whole_bytes as u64 }
        };
        self.messages.into_iter().flatten().map(cut).collect()
    }
}

/// The content of a queue at one moment, read from its topic.
struct View {
    shared: Arc<Shared>,
    queue: Queue,
    url: String,
    /// The newest position that had a message at that moment.
    newest: Option<Position>,
    /// The first position that may not be acknowledged; everything before it is gone.
    gone: Position,
    deleted: Deleted,
    reading: Option<Subscribed>,
    permitted_count: u32,
    from: Position,
}

impl View {
    async fn of(shared: &Arc<Shared>, queue: &Queue) -> Result<Self> {
        if queue.topic().class() != Class::Flow {
            shared.lifecycle.check_exists(queue).await?;
            return Err(PubsubError::Unsupported { what: NOT_KEPT });
        }
        let topic_name = TopicName::of(queue.topic())?;
        let missing = || PubsubError::no_queue(queue);
        let stats = shared.admin.internal_stats(&topic_name).await?.ok_or_else(missing)?;
        let cursor: &CursorStats = stats.cursors.get(&quoted(queue.subscription().as_str())).ok_or_else(missing)?;
        let foreign = || PubsubError::unavailable("the broker shows a position in a topic in an unknown form");
        Ok(View {
            shared: shared.clone(),
            queue: queue.clone(),
            url: topic_name.url(),
            newest: Position::parse(&stats.last_confirmed_entry).ok_or_else(foreign)?,
            gone: Position::parse(&cursor.mark_delete_position).ok_or_else(foreign)?.map(Position::next).unwrap_or_default(),
            deleted: Deleted::parse(&cursor.individually_deleted_messages).ok_or_else(foreign)?,
            reading: None,
            permitted_count: 0,
            from: Position::default(),
        })
    }

    /// Whether there may be a message at a position that this process does not hold.
    fn may_hold(&self, position: Position) -> bool {
        let is_there = self.newest.is_some_and(|newest| position <= newest) && position >= self.gone && !self.deleted.holds(position);
        is_there && !self.shared.consumers.holds(&self.queue, position.ledger, position.entry)
    }

    /// Begins to read at a position, or at the first one left.
    async fn begin(&mut self, from: Position) -> Result<()> {
        self.from = from.max(self.gone);
        if self.newest.is_none_or(|newest| newest < self.from) {
            return Ok(());
        }
        let subscription = format!("{BROWSE_PREFIX}{:016x}", rand::random::<u64>());
        let start = InitialPosition::Behind(self.from.before());
        let reading =
            Reading { topic: &self.url, subscription: &subscription, is_shared: false, is_durable: false, makes_topic: false, start };
        let reading = Subscribed::open(&self.shared.consuming, reading).await.map_err(|failure: Failure| failure.about(&self.queue))?;
        self.reading = Some(reading);
        Ok(())
    }

    /// The next remaining message.
    async fn next(&mut self) -> Result<Option<(Position, EntryRead)>> {
        loop {
            let Some(newest) = self.newest.filter(|newest| self.from <= *newest) else { return Ok(None) };
            let Some(reading) = &mut self.reading else { return Ok(None) };
            if self.permitted_count == 0 {
                reading.permit(PREFETCH_COUNT).await?;
                self.permitted_count = PREFETCH_COUNT;
            }
            let arrived = match timeout(READ_TIME, reading.arrivals.recv()).await {
                Ok(Some(ConsumerEvent::Message(arrived))) => arrived,
                Ok(Some(ConsumerEvent::Closed)) => return Err(PubsubError::no_queue(&self.queue)),
                Ok(None) => return Err(reading.wire.reason()),
                // The messages up to the end were removed meanwhile.
                Err(_) => return Ok(None),
            };
            let position = Position::at(&arrived.id);
            let found = match envelope::read(Class::Flow, self.queue.subscription(), arrived.bytes) {
                Ok(messages) => EntryRead { count: messages.len(), messages, error: None },
                Err(error) => EntryRead { count: 1, messages: Vec::new(), error: Some(error.to_string()) },
            };
            self.permitted_count = self.permitted_count.saturating_sub(u32::try_from(found.count).unwrap_or(1));
            if position < self.from {
                continue;
            }
            self.from = position.next();
            if position > newest {
                return Ok(None);
            }
            let is_for_it =
                found.error.is_some() || found.messages.iter().flatten().any(|incoming| incoming.is_for(self.queue.subscription()));
            if self.may_hold(position) && is_for_it {
                return Ok(Some((position, found)));
            }
        }
    }

    async fn end(self) {
        if let Some(reading) = self.reading {
            reading.close().await;
        }
    }
}

impl Position {
    fn id(self) -> MessageIdData {
        MessageIdData { ledger: self.ledger, entry: self.entry, partition: None, batch_index: None }
    }

    fn at(id: &MessageIdData) -> Self {
        Position { ledger: id.ledger, entry: id.entry }
    }

    /// The position to send to the broker to start at this one: the broker continues after it.
    fn before(self) -> MessageIdData {
        match self.entry.checked_sub(1) {
            Some(entry) => MessageIdData { entry, ..self.id() },
            // Before the first entry of a ledger, or before all ledgers: -1 on the wire.
            None if self == Position::default() => MessageIdData { ledger: u64::MAX, entry: u64::MAX, ..self.id() },
            None => MessageIdData { entry: u64::MAX, ..self.id() },
        }
    }
}
