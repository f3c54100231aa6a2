//! Creation, lookup and deletion of shared queues.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use lapin::ExchangeKind;
use lapin::options::{
    BasicGetOptions, BasicNackOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::time::{Instant, timeout};

use super::broker_error::{BrokerError, BrokerErrorKind};
use super::channel_pool::{CALL_TIME, ChannelPool, call, open};
use super::link::Link;
use super::names;
use crate::backend::{Backlog, Delete, Deletion, Overflow, QueueSpec};
use crate::error::{PubsubError, Result};
use crate::error_text::chain;
use crate::lock::lock;
use crate::network::KeyedLocks;
use crate::retry::Backoff;
use crate::topic::{Class, Queue, Topic};

/// How long the deletion of an empty queue waits for its last consumers to close.
const CONSUMER_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The maximum number of declarations of a queue that is gone when it is bound.
const DECLARES_COUNT: u32 = 6;
/// How long binding is retried for a queue that was found not to be empty, and the waits between the attempts.
const BIND_TIME: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Cached knowledge about the broker's queues.
pub(super) struct Lifecycle {
    pub(super) channels: ChannelPool,
    /// The connection for declarations to which the broker may respond by closing the connection.
    risky: Link,
    /// Exchanges known to exist, and the number of the connection on which they were declared.
    exchanges: Mutex<(u64, HashSet<String>)>,
    /// Whether the broker has refused queues that are neither durable nor exclusive; `None` if unknown.
    transient_denied: Mutex<Option<bool>>,
    /// Queues that exist with other properties and are left unchanged.
    kept: Mutex<HashSet<Queue>>,
    /// Topics with a queue that refuses messages above a bound, in bytes.
    refusing: Mutex<HashMap<Topic, u64>>,
    /// Serializes operations on each queue: otherwise, a queue that is ensured while it is being deleted could receive a message that is deleted with
    /// it.
    locks: KeyedLocks<Queue>,
}

/// The broker's figures of a queue, without fetching messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueInfo {
    pub(super) ready_count: u64,
    pub(super) consumer_count: u64,
}

/// This process's use of a queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LocalUse {
    /// Consumers at the broker; never more than there are.
    pub(super) consumer_count: u64,
    /// Unacknowledged deliveries.
    pub(super) held_count: u64,
}

/// How to treat a queue that exists with other properties.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnMismatch {
    Refuse,
    Keep,
}

impl Lifecycle {
    pub(super) fn new(channels: ChannelPool, risky: Link) -> Self {
        let (exchanges, transient_denied) = (Mutex::default(), Mutex::default());
        let locks = KeyedLocks::default();
        Lifecycle { channels, risky, exchanges, transient_denied, kept: Mutex::default(), refusing: Mutex::default(), locks }
    }

    pub(super) async fn close(&self) {
        self.channels.link().close().await;
        self.risky.close().await;
    }

    /// The bound above which a queue of the topic refuses messages, if this process knows one.
    pub(super) fn refuses_above_bytes(&self, topic: &Topic) -> Option<u64> {
        lock(&self.refusing).get(topic).copied()
    }

    /// Whether request queues are durable because the broker denies others; `None` before the first was created.
    pub(super) fn transient_denied(&self) -> Option<bool> {
        *lock(&self.transient_denied)
    }

    /// Declares the exchange of a topicspace, once for each connection.
    pub(super) async fn exchange(&self, topicspace: &str) -> Result<ShortString> {
        let name = names::exchange(topicspace)?;
        let number = self.channels.link().up()?.number;
        {
            let mut known = lock(&self.exchanges);
            if known.0 != number {
                *known = (number, HashSet::new());
            }
            if known.1.contains(topicspace) {
                return Ok(name);
            }
        }
        let channel = self.channels.channel().await?;
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declaring = channel.raw();
        let declared = declaring.exchange_declare(name.clone(), ExchangeKind::Topic, options, FieldTable::default());
        channel.call("declaring an exchange", declared).await.map_err(|refusal| exchange_refused(topicspace, refusal))?;
        let mut known = lock(&self.exchanges);
        if known.0 == number {
            known.1.insert(topicspace.to_owned());
        }
        Ok(name)
    }

    /// Clears the cache of exchanges, because one was missing.
    pub(super) fn forget_exchanges(&self) {
        lock(&self.exchanges).1.clear();
    }

    pub(super) async fn create(&self, spec: &QueueSpec) -> Result<()> {
        self.make(spec, OnMismatch::Refuse).await
    }

    pub(super) async fn ensure(&self, spec: &QueueSpec) -> Result<()> {
        self.make(spec, OnMismatch::Keep).await
    }

    /// # Cancel safety
    /// None, as of [`Lifecycle::delete`].
    async fn make(&self, spec: &QueueSpec, on_mismatch: OnMismatch) -> Result<()> {
        let queue = &spec.queue;
        if !queue.topic().class().has_queues() {
            return Ok(());
        }
        let _lock = self.locks.take(queue).await;
        let exchange = self.exchange(queue.topic().topicspace()).await?;
        let name = names::queue(queue)?;
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut left_count = DECLARES_COUNT;
        loop {
            match queue.topic().class() {
                Class::Request => self.declare_request(spec, &name).await?,
                _ => self.declare_flow(spec, &name, on_mismatch).await?,
            }
            left_count -= 1;
            match self.bind(queue, name.clone(), exchange.clone()).await {
                Ok(()) => break,
                // A quorum queue whose deletion is confirmed can be declared for another moment.
                Err(PubsubError::QueueNotFound { .. }) if left_count > 0 => {
                    let wait = backoff.next_wait(&mut rand::rng());
                    tokio::time::sleep(wait).await;
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(bytes) = spec.overflow.refuse_above_bytes() {
            lock(&self.refusing).insert(queue.topic().clone(), bytes);
        }
        Ok(())
    }

    async fn bind(&self, queue: &Queue, name: ShortString, exchange: ShortString) -> Result<()> {
        let key = names::routing_key(queue.topic())?;
        let channel = self.channels.channel().await?;
        let bound = channel.raw();
        let bound = bound.queue_bind(name, exchange, key, QueueBindOptions::default(), FieldTable::default());
        channel.call("binding a queue", bound).await.map_err(|refusal| refusal.about(queue))
    }

    async fn declare_flow(&self, spec: &QueueSpec, name: &ShortString, on_mismatch: OnMismatch) -> Result<()> {
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let refusal = match self.declare(name, durable, arguments(spec.overflow)).await? {
            Ok(_) => return Ok(()),
            Err(refusal) => refusal,
        };
        let is_type = refusal.text().contains("x-queue-type");
        let is_unbounded = spec.overflow == Overflow::None;
        match refusal.kind {
            // Whether flow queues are quorum queues is the operator's choice, which may have changed since this one was created.
            BrokerErrorKind::Mismatch if is_type && is_unbounded => self.passive(&spec.queue, name).await.map(|_| ()),
            BrokerErrorKind::Mismatch if on_mismatch == OnMismatch::Keep && spec.overflow.refuse_above_bytes().is_some() => {
                // Queues are ensured repeatedly; log this once.
                if lock(&self.kept).insert(spec.queue.clone()) {
                    tracing::warn!(queue = %spec.queue, difference = refusal.text(), "queue exists with other properties, left unchanged");
                }
                self.passive(&spec.queue, name).await.map(|_| ())
            }
            _ => Err(refusal.about(&spec.queue)),
        }
    }

    /// Declares a request queue, not durable if the broker permits that. A broker that does not closes the connection.
    async fn declare_request(&self, spec: &QueueSpec, name: &ShortString) -> Result<()> {
        let queue = &spec.queue;
        match self.passive(queue, name).await {
            Ok(_) => return Ok(()),
            Err(PubsubError::QueueNotFound { .. }) => {}
            // Its node is down, and its messages with it: another node can host the queue.
            Err(PubsubError::Unavailable { reason, .. }) if self.channels.link().up().is_ok() => {
                tracing::warn!(queue = %queue, reason, "request queue unavailable with its node, creating it again");
                self.delete_risky(name).await?;
            }
            Err(error) => return Err(error),
        }
        if self.transient_denied() != Some(true) {
            match self.declare_risky(name, arguments(spec.overflow)).await? {
                Ok(()) => {
                    *lock(&self.transient_denied) = Some(false);
                    return Ok(());
                }
                Err(refusal) if refusal.kind == BrokerErrorKind::TransientDenied => self.note_denial(),
                Err(refusal) => return Err(refusal.about(queue)),
            }
        }
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.declare(name, durable, arguments(spec.overflow)).await?.map(|_| ()).map_err(|refusal| refusal.about(queue))
    }

    fn note_denial(&self) {
        if lock(&self.transient_denied).replace(true) != Some(true) {
            tracing::warn!(
                "broker rejects queues that are neither durable nor exclusive: using durable request queues; for TrustGraph's own \
                 services set `deprecated_features.permit.transient_nonexcl_queues = true` on all nodes"
            );
        }
    }

    async fn declare_risky(&self, name: &ShortString, arguments: FieldTable) -> Result<Result<(), BrokerError>> {
        let up = self.risky.wait().await.ok_or_else(crate::network::closed)?;
        let channel = open(&self.risky, &up).await?;
        let declared = channel.queue_declare(name.clone(), QueueDeclareOptions::default(), arguments);
        Ok(call(&self.risky, "declaring a queue", declared).await.map(|_| ()))
    }

    async fn delete_risky(&self, name: &ShortString) -> Result<()> {
        let up = self.risky.wait().await.ok_or_else(crate::network::closed)?;
        let channel = open(&self.risky, &up).await?;
        let deleted = channel.queue_delete(name.clone(), QueueDeleteOptions::default());
        call(&self.risky, "deleting a queue", deleted).await.map(|_| ()).map_err(BrokerError::plain)
    }

    async fn declare(
        &self,
        name: &ShortString,
        options: QueueDeclareOptions,
        arguments: FieldTable,
    ) -> Result<Result<QueueInfo, BrokerError>> {
        let channel = self.channels.channel().await?;
        let declaring = channel.raw();
        let declared = declaring.queue_declare(name.clone(), options, arguments);
        let declared = channel.call("declaring a queue", declared).await;
        Ok(declared.map(|queue| QueueInfo { ready_count: queue.message_count().into(), consumer_count: queue.consumer_count().into() }))
    }

    /// Declares the queue of a lock, or passively checks it. Uses the connection that may be lost: the node of a queue may be down, and a time-out
    /// then closes the connection.
    pub(super) async fn declare_lock(
        &self,
        name: &ShortString,
        options: QueueDeclareOptions,
        arguments: FieldTable,
    ) -> Result<Result<QueueInfo, BrokerError>> {
        let up = match timeout(CALL_TIME, self.risky.wait()).await {
            Ok(up) => up.ok_or_else(crate::network::closed)?,
            Err(_) => self.risky.up()?,
        };
        let channel = open(&self.risky, &up).await?;
        let declared = call(&self.risky, "declaring the queue of a lock", channel.queue_declare(name.clone(), options, arguments)).await;
        let seen =
            declared.map(|queue| QueueInfo { ready_count: queue.message_count().into(), consumer_count: queue.consumer_count().into() });
        if seen.is_ok() {
            tokio::spawn(async move { timeout(CALL_TIME, channel.close(200, "done".into())).await });
        }
        Ok(seen)
    }

    /// Checks a queue with a passive declaration, which does not create it.
    pub(super) async fn passive(&self, queue: &Queue, name: &ShortString) -> Result<QueueInfo> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        self.declare(name, passive, FieldTable::default()).await?.map_err(|refusal| refusal.about(queue))
    }

    pub(super) async fn exists(&self, queue: &Queue) -> Result<bool> {
        if !queue.topic().class().has_queues() {
            return Ok(false);
        }
        match self.passive(queue, &names::queue(queue)?).await {
            Ok(_) => Ok(true),
            Err(PubsubError::QueueNotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes a queue; `own` returns this process's use of it.
    ///
    /// # Cancel safety
    /// None: the queue may be left without its binding. Callers run this in a task of its own.
    pub(super) async fn delete(&self, queue: &Queue, when: Delete, own: impl Fn(&Queue) -> LocalUse) -> Result<Deletion> {
        if !queue.topic().class().has_queues() {
            return Ok(Deletion::Deleted);
        }
        let name = names::queue(queue)?;
        let _lock = self.locks.take(queue).await;
        match when {
            Delete::Always => self.delete_now(queue, name).await.map(|()| Deletion::Deleted),
            Delete::IfEmpty => self.delete_if_empty(queue, name, own).await,
        }
    }

    pub(super) async fn delete_now(&self, queue: &Queue, name: ShortString) -> Result<()> {
        let channel = self.channels.channel().await?;
        let deleting = channel.raw();
        let deleted = deleting.queue_delete(name, QueueDeleteOptions::default());
        match channel.call("deleting a queue", deleted).await {
            Ok(_) => {}
            Err(refusal) if refusal.kind == BrokerErrorKind::NotFound => {}
            Err(refusal) => return Err(refusal.about(queue)),
        }
        Ok(())
    }

    /// AMQP's `if-empty` does not count messages held by consumers, and does not exist for quorum queues. So the queue is unbound, checked, and bound
    /// again if it holds a message; what is published meanwhile is returned, or goes to the topic's other queues only. Messages published just before
    /// may not be counted yet, in particular by quorum queues: so a `basic.get` follows, which the queue answers after them.
    async fn delete_if_empty(&self, queue: &Queue, name: ShortString, own: impl Fn(&Queue) -> LocalUse) -> Result<Deletion> {
        if let Some(kept) = self.backlog(queue, &name, &own).await? {
            return Ok(kept.map_or(Deletion::Deleted, |backlog| Deletion::NotEmpty(vec![backlog])));
        }
        let exchange = self.exchange(queue.topic().topicspace()).await?;
        let channel = self.channels.channel().await?;
        let unbinding = channel.raw();
        let key = names::routing_key(queue.topic())?;
        let unbound = unbinding.queue_unbind(name.clone(), exchange.clone(), key, FieldTable::default());
        match channel.call("unbinding a queue", unbound).await {
            Ok(()) => {}
            Err(refusal) if refusal.kind == BrokerErrorKind::NotFound => return Ok(Deletion::Deleted),
            Err(refusal) => return Err(refusal.about(queue)),
        }
        drop(channel);
        let looked = match self.backlog(queue, &name, &own).await {
            Ok(None) => match self.holds_late_messages(queue, &name).await {
                // Also counts a message that a consumer of this process has received by now.
                Ok(false) => self.backlog(queue, &name, &own).await,
                Ok(true) => Ok(Some(Some(Backlog { queue: queue.clone(), count: None }))),
                Err(error) => Err(error),
            },
            looked => looked,
        };
        match looked {
            Ok(None) => self.delete_now(queue, name).await.map(|()| Deletion::Deleted),
            Ok(Some(None)) => Ok(Deletion::Deleted),
            Ok(Some(Some(backlog))) => match self.bind_again(queue, name, exchange).await {
                Ok(()) => Ok(Deletion::NotEmpty(vec![backlog])),
                Err(PubsubError::QueueNotFound { .. }) => Ok(Deletion::Deleted),
                Err(error) => Err(error),
            },
            Err(error) => {
                self.bind_again(queue, name, exchange).await?;
                Err(error)
            }
        }
    }

    /// Whether the queue holds a message that was published before the queue was unbound. The message is requeued.
    ///
    /// A quorum queue delays publishes behind other commands for one turn of its leader's mailbox, so the first `basic.get` may overtake a publish
    /// that arrived before it. That publish is in the queue's log before the second one.
    async fn holds_late_messages(&self, queue: &Queue, name: &ShortString) -> Result<bool> {
        Ok(self.holds_message(queue, name).await? || self.holds_message(queue, name).await?)
    }

    async fn holds_message(&self, queue: &Queue, name: &ShortString) -> Result<bool> {
        let channel = self.channels.channel().await?;
        let getting = channel.raw();
        let got = getting.basic_get(name.clone(), BasicGetOptions::default());
        match channel.call("looking for a message", got).await {
            Ok(None) => Ok(false),
            Ok(Some(message)) => {
                let back = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
                let requeued = channel.call("requeueing a message", message.nack(back)).await;
                requeued.map(|_| true).map_err(|refusal| refusal.about(queue))
            }
            // The queue is gone, or has an exclusive consumer, which receives its messages.
            Err(refusal) if matches!(refusal.kind, BrokerErrorKind::NotFound | BrokerErrorKind::Held | BrokerErrorKind::Refused) => {
                Ok(false)
            }
            Err(refusal) => Err(refusal.about(queue)),
        }
    }

    /// Binds an unbound queue again, with retries while the connection is down.
    async fn bind_again(&self, queue: &Queue, name: ShortString, exchange: ShortString) -> Result<()> {
        let deadline = Instant::now() + BIND_TIME;
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let error = match self.bind(queue, name.clone(), exchange.clone()).await {
                bound @ (Ok(()) | Err(PubsubError::QueueNotFound { .. })) => return bound,
                Err(error) => error,
            };
            let wait = backoff.next_wait(&mut rand::rng());
            if !error.is_transient() || self.channels.link().is_closed() || Instant::now() + wait >= deadline {
                let (error_text, next) = (chain(&error), "it is bound again when its flow or its service starts");
                tracing::error!(queue = %queue, error = error_text, next, "queue not bound to its topic");
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits until no other process consumes the queue. `None`: it is empty; `Some(None)`: it is gone; otherwise its backlog.
    async fn backlog(&self, queue: &Queue, name: &ShortString, own: impl Fn(&Queue) -> LocalUse) -> Result<Option<Option<Backlog>>> {
        let deadline = Instant::now() + CONSUMER_CLOSE_TIMEOUT;
        loop {
            let seen = match self.passive(queue, name).await {
                Ok(seen) => seen,
                Err(PubsubError::QueueNotFound { .. }) => return Ok(Some(None)),
                Err(error) => return Err(error),
            };
            let LocalUse { consumer_count, held_count } = own(queue);
            let are_own = seen.consumer_count <= consumer_count;
            let count = seen.ready_count + held_count;
            if count > 0 {
                return Ok(Some(Some(Backlog { queue: queue.clone(), count: are_own.then_some(count) })));
            }
            if are_own {
                return Ok(None);
            }
            if Instant::now() >= deadline {
                return Ok(Some(Some(Backlog { queue: queue.clone(), count: None })));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// Shared queues have no arguments, except for Weir's own queues with a bound. Those state the type, since a quorum queue counts fetching a message
/// for inspection as a delivery, and drops a message after a number of deliveries.
fn arguments(overflow: Overflow) -> FieldTable {
    let (bytes, overflow) = match overflow {
        Overflow::None => return FieldTable::default(),
        Overflow::DropOldest { bytes } => (bytes, "drop-head"),
        Overflow::Refuse { bytes } => (bytes, "reject-publish"),
    };
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
    arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(i64::try_from(bytes).unwrap_or(i64::MAX)));
    arguments.insert("x-overflow".into(), AMQPValue::LongString(overflow.into()));
    arguments
}

fn exchange_refused(topicspace: &str, refusal: BrokerError) -> PubsubError {
    match refusal.kind {
        BrokerErrorKind::Mismatch => PubsubError::Refused {
            reason: format!(
                "exchange `{topicspace}` exists and is not a durable exchange of type topic ({}): delete it, or choose another `topicspace`",
                refusal.text()
            ),
            source: None,
        },
        _ => refusal.plain(),
    }
}
