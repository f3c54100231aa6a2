//! A broker over a network that can be cut: behaves like RabbitMQ or Pulsar where they differ from the embedded broker, on top of that one.
//!
//! - It has one connection for publishing and one for everything else. [`Cutting::cut`] loses both: consumers end with `Unavailable` and
//!   what they hold is redelivered; publishes that are not confirmed end with `OutcomeUnknown`, stored or not. [`Cutting::cut_publishing`]
//!   and [`Cutting::cut_consuming`] lose one of them. [`Cutting::down`] keeps both away until [`Cutting::up`]; every call fails meanwhile.
//! - [`Cutting::restart`] is a broker restart: in addition, its `request` queues are gone.
//! - [`Cutting::block`] is a memory alarm: publishes and outputs of settles wait, for a limited time, while consuming and acknowledging
//!   continue.
//! - [`Cutting::deny`] revokes the user's permissions.
//! - A settle is not atomic: its outputs are published one after the other, each confirmed, then the delivery is acknowledged. One that
//!   fails midway names the outputs that were not confirmed, of which the first may be stored nevertheless
//!   ([`Cutting::lose_next_confirm`]). The outputs of a delivery that is no longer held are not sent.
//! - Deliveries are not counted, only whether one is the first; figures, a list of queues and a deletion of several at once are missing.

mod ends;
mod faults;
mod link;
mod lock;
mod wire;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use weir_pubsub::{
    Backend, BrowseStart, Consumer, ConsumerOptions, Delete, Deletion, Inspect, Limits, Lock, LockHolder, LockName, Message, Named, Output,
    Page, Producer, Queue, QueueSpec, QueueStats, Receipt, Result, Settled, Subscription, Topic, Unsettled, chain,
};

use self::ends::CuttingProducer;
pub use self::faults::KeepsCutting;
use self::link::{Link, Settle};
use self::lock::CuttingLock;
use self::wire::{in_doubt, lost};

/// The most settles in flight per consumer: more than any window.
const UNDER_WAY: usize = 1 << 16;
/// How long closing waits for settles.
const CLOSE_TIME: std::time::Duration = std::time::Duration::from_secs(10);

/// Forwards everything to another broker, over connections that can be lost.
pub struct Cutting {
    link: Arc<Link>,
}

impl Cutting {
    /// On top of another broker.
    pub fn over(inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Cutting { link: Arc::new(Link::new(inner)) })
    }

    /// Loses both connections, which are restored immediately.
    pub fn cut(&self) {
        self.down();
        self.up();
    }

    /// Loses the publishing connection, which is restored immediately.
    pub fn cut_publishing(&self) {
        self.publishing_down();
        self.up();
    }

    /// From now on behaves like a broker that counts nothing and does not support limits of queues.
    pub fn be_plain(&self) {
        self.link.is_plain.store(true, Ordering::Relaxed);
    }

    /// Loses the consuming connection, which is restored immediately.
    pub fn cut_consuming(&self) {
        self.link.consuming_down();
        self.up();
    }

    /// Loses both connections until [`Cutting::up`].
    pub fn down(&self) {
        self.publishing_down();
        self.link.consuming_down();
    }

    /// Loses the publishing connection until [`Cutting::up`].
    pub fn publishing_down(&self) {
        self.link.publishing_down();
    }

    /// Restores the connections.
    pub fn up(&self) {
        self.link.publishing.up();
        self.link.consuming.up();
    }

    /// Restarts the broker: `request` queues are gone with their content.
    pub async fn restart(&self) {
        self.down();
        self.link.forget_requests().await;
        self.up();
    }

    /// Loses the publishing connection after the next message, of this topic if one is given, was stored and before it is confirmed.
    pub fn lose_next_confirm(&self, of: Option<Topic>) {
        self.link.lose_next_confirm(of);
    }

    /// Blocks publishers until [`Cutting::unblock`], for at most this time; then a publish fails with `Unavailable`.
    pub fn block(&self, longest: Duration) {
        self.link.block(longest);
    }

    /// Unblocks publishers.
    pub fn unblock(&self) {
        self.link.unblock();
    }

    /// Makes consumers fail with `Stalled` until [`Cutting::go_on`], as if messages could not be read. They stay subscribed.
    pub fn stall(&self) {
        self.link.is_stalled.send_replace(true);
    }

    /// How often a consumer was reported as stalled.
    pub fn stalls_count(&self) -> u64 {
        self.link.stalls_count.load(Ordering::SeqCst)
    }

    /// Makes consumers receive again.
    pub fn go_on(&self) {
        self.link.is_stalled.send_replace(false);
    }

    /// Refuses everything that needs permissions until [`Cutting::allow`]: creating and deleting queues, subscribing and publishing.
    pub fn deny(&self) {
        self.link.set_denied(true);
    }

    /// Restores the permissions.
    pub fn allow(&self) {
        self.link.set_denied(false);
    }

    /// Removes the binding of a queue, the only one of its topic, until the queue is ensured.
    pub fn unbind(&self, queue: &Queue) {
        self.link.unbound.lock().unwrap().insert(queue.clone());
    }

    /// Ends the consumers of one topic with `Unavailable`, like a broker that closes their channels.
    pub fn end_consumers_of(&self, topic: &Topic) {
        self.link.end_consumers_of(topic);
    }

    /// How many consumers of a topic were created.
    pub fn made_count(&self, topic: &Topic) -> u64 {
        self.link.made_count(topic)
    }

    /// How often a connection was lost.
    pub fn losses_count(&self) -> u64 {
        self.link.losses_count.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Backend for Cutting {
    fn limits(&self) -> &Limits {
        self.link.inner.limits()
    }

    fn inspect(&self) -> &dyn Inspect {
        self
    }

    async fn create_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.link.permitted()?;
        self.link.check_bound(spec)?;
        self.link.consuming.over(self.link.inner.create_queue(spec)).await
    }

    async fn ensure_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.link.permitted()?;
        self.link.check_bound(spec)?;
        self.link.consuming.over(self.link.inner.ensure_queue(spec)).await?;
        self.link.unbound.lock().unwrap().remove(&spec.queue);
        Ok(())
    }

    async fn delete_queue(&self, queue: &Queue, when: Delete) -> Result<Deletion> {
        self.link.permitted()?;
        let held = self.link.held_of(queue);
        let deletion = self.link.consuming.over(self.link.inner.delete_queue(queue, when)).await?;
        if deletion == Deletion::Deleted {
            self.link.held.lock().unwrap().retain(|receipt, _| !held.contains(receipt));
        }
        Ok(deletion)
    }

    async fn queue_exists(&self, queue: &Queue) -> Result<bool> {
        self.link.consuming.over(self.link.inner.queue_exists(queue)).await
    }

    async fn producer(&self, topic: &Topic) -> Result<Box<dyn Producer>> {
        let inner = self.link.publishing.over(self.link.inner.producer(topic)).await?.into();
        Ok(Box::new(CuttingProducer { link: self.link.clone(), topic: topic.clone(), inner }))
    }

    async fn consumer(&self, topic: &Topic, subscription: &Subscription, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        let connection = self.link.consuming.connected()?;
        self.link.permitted()?;
        let inner = self.link.inner.consumer(topic, subscription, options).await?;
        let queue = Queue::new(topic.clone(), subscription.clone()).ok().filter(|_| topic.class().has_queues());
        self.link.consumer(topic, queue, inner, connection)
    }

    fn settle(&self, receipt: &Receipt, outputs: Vec<Output>) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        let outputs_count = outputs.len();
        let connection = match self.link.consuming.connected() {
            Ok(_) if !receipt.is_some() => return std::future::ready(Ok(Settled::NoLongerHeld)).boxed(),
            Ok(connection) => connection,
            Err(error) => return std::future::ready(Err(Unsettled::whole(error, outputs_count))).boxed(),
        };
        let mut checks = outputs.iter().map(|output| self.limits().check(&output.topic, &output.message));
        if let Err(error) = self.limits().check_settle(&outputs).and_then(|()| checks.try_for_each(|check| check)) {
            return std::future::ready(Err(Unsettled::whole(error, outputs_count))).boxed();
        }
        let held = self.link.held.lock().unwrap().get(receipt).map(|held| held.consumer);
        let Some(consumer) = held else { return std::future::ready(Ok(Settled::NoLongerHeld)).boxed() };
        let (done, outcome) = oneshot::channel();
        let mut settlers = self.link.settlers.lock().unwrap();
        let settler = settlers.entry(consumer).or_insert_with(|| {
            let (sender, mut settles) = mpsc::channel(UNDER_WAY);
            let link = self.link.clone();
            tokio::spawn(async move {
                while let Some(Settle { receipt, outputs, connection, done }) = settles.recv().await {
                    let _ = done.send(link.settle(receipt, &outputs, connection).await);
                    link.settles_count.send_modify(|count| *count -= 1);
                }
            });
            sender
        });
        self.link.settles_count.send_modify(|count| *count += 1);
        // If it does not fit, `done` is dropped: none of it was sent.
        if settler.try_send(Settle { receipt: *receipt, outputs, connection, done }).is_err() {
            self.link.settles_count.send_modify(|count| *count -= 1);
        }
        outcome.map(move |outcome| outcome.unwrap_or_else(|_| Err(Unsettled::whole(lost(), outputs_count)))).boxed()
    }

    async fn requeue(&self, receipt: &Receipt) -> Result<()> {
        // First: the message may be redelivered under the same receipt before the answer arrives.
        self.link.held.lock().unwrap().remove(receipt);
        self.link.consuming.over(self.link.inner.requeue(receipt)).await
    }

    async fn lock(&self, name: &LockName) -> Result<Box<dyn Lock>> {
        let connection = self.link.consuming.connected()?;
        self.link.permitted()?;
        let inner = self.link.inner.lock(name).await?;
        Ok(Box::new(CuttingLock::over(self.link.clone(), inner, connection)))
    }

    fn outage(&self) -> Option<String> {
        let lost = [&self.link.consuming, &self.link.publishing].into_iter().find_map(|wire| wire.connected().err());
        lost.map(|error| chain(&error)).or_else(|| self.link.is_blocked().then(|| "the broker accepts no messages".to_owned()))
    }

    async fn failed(&self) -> String {
        self.link.inner.failed().await
    }

    async fn close(&self) {
        // Earlier settles are completed, unless nothing progresses any more.
        let _ = tokio::time::timeout(CLOSE_TIME, self.link.settled()).await;
        self.link.inner.close().await;
    }
}

#[async_trait]
impl Inspect for Cutting {
    async fn stats(&self, queue: &Queue) -> Result<QueueStats> {
        let known = self.link.consuming.over(self.link.inner.inspect().stats(queue)).await?;
        if self.link.is_plain.load(Ordering::Relaxed) {
            return Ok(QueueStats::default());
        }
        Ok(QueueStats { depth_count: known.depth_count, consumer_count: known.consumer_count, ..QueueStats::default() })
    }

    async fn lock_holder(&self, lock: &LockName) -> Result<Option<LockHolder>> {
        self.link.consuming.over(self.link.inner.inspect().lock_holder(lock)).await
    }

    async fn tap(&self, topic: &Topic, buffer_count: NonZeroU32) -> Result<Box<dyn Consumer>> {
        let connection = self.link.consuming.connected()?;
        self.link.permitted()?;
        let inner = self.link.inner.inspect().tap(topic, buffer_count).await?;
        self.link.consumer(topic, None, inner, connection)
    }

    async fn browse(&self, queue: &Queue, start: BrowseStart, limit_count: u32, body_bytes: usize) -> Result<Page> {
        self.link.consuming.over(self.link.inner.inspect().browse(queue, start, limit_count, body_bytes)).await
    }

    async fn remove(&self, queue: &Queue, message: &Named) -> Result<bool> {
        self.link.consuming.over(self.link.inner.inspect().remove(queue, message)).await
    }

    async fn redrive(&self, from: &Queue, message: &Named, to: &Queue, sent: Message) -> Result<bool> {
        let reading = self.link.consuming.connected()?;
        let publishing = self.link.may_publish().await?;
        let loses = self.link.takes_loss(to.topic());
        let redriven = self.link.inner.inspect().redrive(from, message, to, sent).await;
        let confirmed = self.link.confirmed(publishing, loses, redriven.clone().map(|_| ()));
        if self.link.consuming.is_lost(reading) {
            return Err(in_doubt());
        }
        confirmed.and(redriven)
    }
}
