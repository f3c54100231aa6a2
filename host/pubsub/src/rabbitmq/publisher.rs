//! Publishing: one task writes all messages to one channel with publisher confirms, in order and in bursts; another waits for the confirmations. (The
//! client library assigns delivery tags and writes frames under separate locks, so two writers on one channel could swap confirmations.)

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::maybe_done;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::broker_error::{BrokerError, BrokerErrorKind};
use super::channel_pool::{call, open};
use super::envelope::properties;
use super::lifecycle::Lifecycle;
use super::link::{Blocked, Link, Up, blocked_for};
use super::names;
use super::publish_permits::no_permit;
use crate::backend::Confirm;
use crate::error::{PubsubError, Result};
use crate::message::Message;
use crate::topic::{Class, Topic};

/// The maximum number of messages in one burst.
const BURST_COUNT: usize = 1024;
/// The maximum size of the bodies in one burst, in bytes; a larger message is written alone.
const BURST_BYTES: usize = 4 << 20;
/// The maximum number of messages waiting to be written. Producers wait for a permit earlier; outputs of settles beyond it fail and are resent.
const QUEUED_COUNT: usize = 1 << 16;
/// How long messages wait while the broker is blocked.
const BLOCKED_TIME: Duration = Duration::from_secs(10);
/// The interval at which a lost connection is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// The maximum number of messages waiting for their confirmation.
const UNCONFIRMED_COUNT: usize = 8192;

/// A message to publish.
struct Outgoing {
    topic: Topic,
    /// The queue, if it is sent to one queue only.
    queue: Option<ShortString>,
    /// Moved into the client library when it is written, like `properties`.
    key: ShortString,
    properties: BasicProperties,
    body: Bytes,
    done: oneshot::Sender<Result<()>>,
    /// Held until the message is confirmed.
    _permit: Option<OwnedSemaphorePermit>,
}

/// The handle for publishing.
#[derive(Clone)]
pub(super) struct Publisher {
    outgoing: mpsc::Sender<Outgoing>,
    largest: Arc<Largest>,
}

/// The largest body that the broker accepts, once it has refused one: for a larger one it closes the channel, which all messages share.
struct Largest(AtomicU64);

impl Default for Largest {
    fn default() -> Self {
        Largest(AtomicU64::new(u64::MAX))
    }
}

impl Largest {
    fn learn(&self, limit_bytes: u64) {
        self.0.store(limit_bytes, Ordering::Relaxed);
    }

    /// A restarted broker may accept larger ones.
    fn forget(&self) {
        self.learn(u64::MAX);
    }

    fn check(&self, body: &[u8]) -> Result<()> {
        let (actual_bytes, limit_bytes) = (body.len() as u64, self.0.load(Ordering::Relaxed));
        if actual_bytes <= limit_bytes {
            return Ok(());
        }
        Err(PubsubError::TooLarge {
            what: "the body of the message, by max_message_size of the broker,".to_owned(),
            actual_bytes,
            limit_bytes,
        })
    }
}

impl Publisher {
    /// Starts both tasks. They end when all [`Publisher`]s are dropped and all messages are done, or when the link is closed.
    pub(super) fn start(link: Arc<Link>, lifecycle: Arc<Lifecycle>) -> Self {
        let (outgoing, given) = mpsc::channel(QUEUED_COUNT);
        let (unconfirmed, written) = mpsc::channel(UNCONFIRMED_COUNT);
        let largest = Arc::<Largest>::default();
        tokio::spawn(confirm(written, lifecycle.clone(), largest.clone(), link.blocked()));
        let writer =
            Writer { blocked: link.blocked(), link, lifecycle, given, next: None, unconfirmed, largest: largest.clone(), link_number: 0 };
        tokio::spawn(writer.run());
        Publisher { outgoing, largest }
    }

    /// Checks a message against the sizes that the broker has refused so far.
    pub(super) fn check(&self, message: &Message) -> Result<()> {
        self.largest.check(&message.body)
    }

    /// Assigns a message its position in the order. Its limits are already checked.
    pub(super) fn publish(&self, topic: &Topic, message: &Message, permit: Option<OwnedSemaphorePermit>) -> Confirm {
        match names::routing_key(topic) {
            Ok(key) => self.send(topic, None, key, message, permit),
            Err(error) => Confirm::resolved(Err(error)),
        }
    }

    /// Publishes into one queue only.
    pub(super) fn publish_into(&self, topic: &Topic, queue: ShortString, message: &Message) -> Confirm {
        self.send(topic, Some(queue.clone()), queue, message, None)
    }

    fn send(
        &self,
        topic: &Topic,
        queue: Option<ShortString>,
        key: ShortString,
        message: &Message,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Confirm {
        if let Err(error) = self.check(message) {
            return Confirm::resolved(Err(error));
        }
        let properties = match properties(topic.class(), message) {
            Ok(properties) => properties,
            Err(error) => return Confirm::resolved(Err(error)),
        };
        let (done, outcome) = oneshot::channel();
        let body = message.body.clone();
        let outgoing = Outgoing { topic: topic.clone(), queue, key, properties, body, done, _permit: permit };
        match self.outgoing.try_send(outgoing) {
            Ok(()) => Confirm::waiting(outcome),
            Err(mpsc::error::TrySendError::Full(_)) => Confirm::resolved(Err(PubsubError::unavailable(format!(
                "the broker confirms too slowly: {QUEUED_COUNT} messages are waiting to be sent"
            )))),
            Err(mpsc::error::TrySendError::Closed(_)) => Confirm::resolved(Err(crate::network::closed())),
        }
    }
}

/// A message that was written, and its pending confirmation.
struct Written {
    message: Outgoing,
    confirm: lapin::Result<PublisherConfirm>,
}

/// The writing task.
struct Writer {
    link: Arc<Link>,
    lifecycle: Arc<Lifecycle>,
    blocked: watch::Receiver<Option<Blocked>>,
    given: mpsc::Receiver<Outgoing>,
    /// A message that was taken but not written, because the channel was lost.
    next: Option<Outgoing>,
    unconfirmed: mpsc::Sender<Written>,
    largest: Arc<Largest>,
    /// The number of the connection last used.
    link_number: u64,
}

impl Writer {
    async fn run(mut self) {
        while let Some(up) = self.connected().await {
            if std::mem::replace(&mut self.link_number, up.number) != up.number {
                self.largest.forget();
            }
            match self.open(&up).await {
                Ok(channel) => {
                    if self.write(&up, &channel).await.is_none() {
                        return;
                    }
                }
                Err(error) => {
                    let Some(message) = self.take().await else { return };
                    let _ = message.done.send(Err(error));
                }
            }
        }
        while let Some(message) = self.take().await {
            let _ = message.done.send(Err(crate::network::closed()));
        }
    }

    async fn take(&mut self) -> Option<Outgoing> {
        match self.next.take() {
            Some(message) => Some(message),
            None => self.given.recv().await,
        }
    }

    /// Waits for the connection. Messages that arrive meanwhile fail.
    async fn connected(&mut self) -> Option<Up> {
        let link = self.link.clone();
        loop {
            match link.up() {
                Ok(up) => return Some(up),
                Err(error) => tokio::select! {
                    biased;
                    message = self.take() => {
                        let _ = message?.done.send(Err(error));
                    }
                    up = link.wait() => {
                        up.as_ref()?;
                        // The connection may be lost without the loss being noticed yet.
                        tokio::time::sleep(POLL_INTERVAL).await;
                    }
                },
            }
        }
    }

    async fn open(&self, up: &Up) -> Result<Channel> {
        let channel = open(&self.link, up).await?;
        let confirmed = channel.confirm_select(ConfirmSelectOptions::default());
        call(&self.link, "enabling publisher confirms", confirmed).await.map_err(BrokerError::plain)?;
        Ok(channel)
    }

    /// Writes until the channel or the connection is lost; `None` when there will be no more messages.
    async fn write(&mut self, up: &Up, channel: &Channel) -> Option<()> {
        let link = self.link.clone();
        let mut exchanges = HashSet::new();
        let mut burst = Vec::with_capacity(BURST_COUNT);
        loop {
            let first = tokio::select! {
                biased;
                () = link.gone(up.number) => return Some(()),
                first = self.take() => first?,
            };
            if !channel.status().connected() {
                self.next = Some(first);
                return Some(());
            }
            if let Some(blocked) = self.is_blocked().await {
                let _ = first.done.send(Err(no_permit(Some(&blocked))));
                continue;
            }
            let mut bytes = first.body.len();
            burst.push(first);
            while burst.len() < BURST_COUNT && bytes < BURST_BYTES {
                let Ok(next) = self.given.try_recv() else { break };
                bytes += next.body.len();
                burst.push(next);
            }
            burst = self.with_exchange(burst, &mut exchanges).await;
            let writing = burst.iter_mut().map(|Outgoing { topic, queue, key, properties, body, .. }| {
                let exchange = if queue.is_some() { ShortString::default() } else { topic.topicspace().into() };
                let options = BasicPublishOptions { mandatory: topic.class().has_queues(), ..BasicPublishOptions::default() };
                channel.basic_publish(exchange, std::mem::take(key), options, body, std::mem::take(properties))
            });
            // While the broker is blocked nothing is written; messages waiting in the library are still written later.
            let confirms = tokio::select! {
                confirms = all_in_order(writing) => confirms,
                blocked = blocked_for(&mut self.blocked, BLOCKED_TIME) => {
                    for message in burst.drain(..) {
                        let _ = message.done.send(Err(in_doubt(&blocked)));
                    }
                    continue;
                }
            };
            for (message, confirm) in burst.drain(..).zip(confirms) {
                if self.unconfirmed.send(Written { message, confirm }).await.is_err() {
                    return None;
                }
            }
        }
    }

    /// Waits while the broker is blocked; returns the reason if that lasts too long.
    async fn is_blocked(&mut self) -> Option<Blocked> {
        if self.blocked.borrow().is_none() {
            return None;
        }
        let mut until = self.blocked.clone();
        tokio::select! {
            _ = until.wait_for(Option::is_none) => None,
            blocked = blocked_for(&mut self.blocked, BLOCKED_TIME) => Some(blocked),
        }
    }

    /// Declares exchanges not known yet: publishing to a missing one closes the channel. A message whose exchange cannot be declared fails and is
    /// removed.
    async fn with_exchange(&self, burst: Vec<Outgoing>, known: &mut HashSet<String>) -> Vec<Outgoing> {
        let is_known = |message: &Outgoing| message.queue.is_some() || known.contains(message.topic.topicspace());
        if burst.iter().all(is_known) {
            return burst;
        }
        let mut ready = Vec::with_capacity(BURST_COUNT);
        for message in burst {
            if message.queue.is_none() && !known.contains(message.topic.topicspace()) {
                match self.lifecycle.exchange(message.topic.topicspace()).await {
                    Ok(_) => {
                        known.insert(message.topic.topicspace().to_owned());
                    }
                    Err(error) => {
                        let _ = message.done.send(Err(error));
                        continue;
                    }
                }
            }
            ready.push(message);
        }
        ready
    }
}

/// Starts all futures in order, and waits until all are done. They also complete in order, so only the oldest is polled, which for hundreds costs
/// less than `join_all`, where each has a waker of its own.
async fn all_in_order<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = futures.map(|future| Box::pin(maybe_done(future))).collect();
    let (mut begun_count, mut done_count) = (0, 0);
    poll_fn(|context| {
        while let Some(next) = all.get_mut(begun_count) {
            let _ = next.as_mut().poll(context);
            begun_count += 1;
        }
        while let Some(oldest) = all.get_mut(done_count) {
            ready!(oldest.as_mut().poll(context));
            done_count += 1;
        }
        Poll::Ready(())
    })
    .await;
    let mut outputs = Vec::with_capacity(all.len());
    outputs.extend(all.iter_mut().filter_map(|done| done.as_mut().take_output()));
    outputs
}

/// The task that waits for confirmations, in the order of the messages.
async fn confirm(
    mut written: mpsc::Receiver<Written>,
    lifecycle: Arc<Lifecycle>,
    largest: Arc<Largest>,
    mut blocked: watch::Receiver<Option<Blocked>>,
) {
    while let Some(Written { message, confirm }) = written.recv().await {
        let outcome = match confirm {
            Ok(confirm) => tokio::select! {
                biased;
                confirmed = confirm => confirmed.map_err(|error| (error, true)),
                blocked = blocked_for(&mut blocked, BLOCKED_TIME) => {
                    let _ = message.done.send(Err(in_doubt(&blocked)));
                    continue;
                }
            },
            // The channel was no longer open: the message was not written.
            Err(error) => {
                let may_be_sent = !matches!(error.kind(), lapin::ErrorKind::InvalidChannelState(..));
                Err((error, may_be_sent))
            }
        };
        let outcome = match outcome {
            Ok(confirmation) => meaning(&message, confirmation, &lifecycle),
            Err((error, may_be_sent)) => {
                let refusal = BrokerError::from(error);
                if let Some(limit_bytes) = refusal.largest_body_bytes() {
                    largest.learn(limit_bytes);
                }
                // The outcome of all others in flight is unknown.
                largest.check(&message.body).and_then(|()| Err(failed(refusal, may_be_sent, &lifecycle)))
            }
        };
        let _ = message.done.send(outcome);
    }
}

fn in_doubt(Blocked { reason, .. }: &Blocked) -> PubsubError {
    PubsubError::outcome_unknown(format!(
        "the broker accepts no messages ({reason}), but may accept this one later: free memory or disk space on its nodes"
    ))
}

fn failed(refusal: BrokerError, may_be_sent: bool, lifecycle: &Lifecycle) -> PubsubError {
    if refusal.kind == BrokerErrorKind::NotFound {
        lifecycle.forget_exchanges();
    }
    if may_be_sent { refusal.in_doubt() } else { refusal.plain() }
}

/// The meaning of a confirmation: the broker returns a message without a queue, and then confirms it.
fn meaning(message: &Outgoing, confirmation: Confirmation, lifecycle: &Lifecycle) -> Result<()> {
    let topic = &message.topic;
    match (topic.class(), confirmation) {
        // A nack may be due to a subscriber that was lost with its node; the others have the message.
        (Class::Response | Class::Notify, _) => Ok(()),
        (_, Confirmation::Ack(None) | Confirmation::NotRequested) => Ok(()),
        (_, Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => Err(PubsubError::no_queue_of(topic)),
        (_, Confirmation::Nack(None)) => Err(not_accepted(topic, lifecycle.refuses_above_bytes(topic))),
    }
}

/// The broker does not report why a queue did not accept a message.
fn not_accepted(topic: &Topic, refuses_above_bytes: Option<u64>) -> PubsubError {
    match refuses_above_bytes {
        Some(limit_bytes) => PubsubError::full(format!("a queue of {topic}"), None, limit_bytes),
        None => PubsubError::unavailable(format!(
            "a queue of {topic} did not accept the message: its node is down, or it is above a limit set by a policy"
        )),
    }
}
