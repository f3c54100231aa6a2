//! The contract between Weir and a broker. Every sentence of it is a test of that name in the conformance suite.

use std::num::NonZeroU32;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::error::Result;
use crate::limits::Limits;
use crate::message::Message;
use crate::topic::{Queue, Subscription, Topic};

/// What a queue is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// Which queue.
    pub queue: Queue,
    /// A bound at which the oldest messages are dropped and counted; `None` for all queues but exits.
    pub drop_oldest_above_bytes: Option<u64>,
}

impl QueueSpec {
    /// A queue without a bound of its own.
    pub fn new(queue: Queue) -> Self {
        QueueSpec { queue, drop_oldest_above_bytes: None }
    }
}

/// How a consumer takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerOptions {
    /// How many messages it may hold unsettled, those included that were fetched ahead and wait for a `receive`.
    pub window: NonZeroU32,
    /// Whether it must be the queue's only consumer. Others are refused with `QueueHeld` while it lives.
    pub sharing: Sharing,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        ConsumerOptions { window: NonZeroU32::MIN.saturating_add(255), sharing: Sharing::Competing }
    }
}

/// Whether a queue's consumer suffers others beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Any number of consumers share the queue's messages.
    Competing,
    /// The consumer is alone.
    Exclusive,
}

/// Names one delivery of one message to one consumer. It stays valid until the message was settled or given back or the consumer went.
/// A later delivery of the same message to the same consumer may have the same receipt: who gives back forgets the receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The consumer, unique in the life of the backend; 0 for what needs no settling, and settling it does nothing.
    pub consumer: u64,
    /// The queue, in the backend's own numbering.
    pub queue: u64,
    /// The message within the queue or channel.
    pub sequence: u64,
}

/// A message as a consumer gets it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The message; its id is always set, except on `response` and `notify` topics, where an absent one stays absent.
    pub message: Message,
    /// To settle it or give it back by.
    pub receipt: Receipt,
    /// How often it was delivered, this time included; from 1. Durable on the embedded broker's `flow` queues.
    pub delivery_count: u32,
}

/// What must be true of a topic for an output to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// Somebody is known to consume it: no queue is an error (`QueueNotFound`), not a silent loss.
    Required,
    /// Without a queue the message is dropped and counted.
    Optional,
}

/// A message that leaves together with the settling of its cause.
#[derive(Clone, Debug)]
pub struct Output {
    /// Where it goes.
    pub topic: Topic,
    /// What goes; the id must be set.
    pub message: Message,
    /// Whether somebody must be there.
    pub routing: Routing,
}

/// How a settle ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The message is gone from its queue and the outputs are in theirs; this many outputs found no queue and were dropped.
    Done {
        /// Outputs with [`Routing::Optional`] that nobody consumes.
        dropped_count: u32,
    },
    /// The delivery was settled before, belongs to somebody else by now, or its queue was deleted: nothing was done.
    NoLongerHeld,
}

/// What a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Messages in it, those in work included.
    pub depth_count: u64,
    /// Messages that consumers hold unsettled, those fetched ahead included.
    pub unsettled_count: u64,
    /// Bodies and properties of all its messages.
    pub size_bytes: u64,
    /// Consumers that are there.
    pub consumer_count: u64,
    /// Messages dropped because of the queue's own bound, since the backend was opened.
    pub dropped_count: u64,
    /// Messages that are lost because the disk did not keep them: missing when the backend was opened, or found damaged and set aside since.
    pub damaged_count: u64,
}

/// A message of a queue as [`Backend::browse`] shows it.
#[derive(Clone, Debug)]
pub struct Browsed {
    /// Its place in the queue, to browse on from and to [`Backend::take`] it by.
    pub position: u64,
    /// The message.
    pub message: Message,
}

/// What can be published on one topic.
///
/// Messages of one producer keep their order: that in which their publishes were first polled, however many are under way.
#[async_trait]
pub trait Producer: Send + Sync {
    /// Publishes a message and returns once the broker has it: for `flow` topics, once it is durable in every queue of the topic.
    ///
    /// A message without an id gets a random one, except on `response` and `notify` topics, where an absent id stays absent.
    /// `response` and `notify` with nobody there: the message is dropped without an error. `flow` and `request` without a queue:
    /// `QueueNotFound`, and nothing was sent.
    ///
    /// # Errors
    /// `TooLarge`, `QueueNotFound`, `QueueFull`, `Unavailable`, `OutcomeUnknown`.
    ///
    /// # Cancel safety
    /// A publish that is dropped may or may not have been stored.
    async fn publish(&self, message: Message) -> Result<()>;
}

/// What reads one queue, or everything that is published on a `response` or `notify` topic.
///
/// Dropping it gives back what it holds unsettled. Messages come in the order of the queue; what is given back comes again before
/// what is behind it and was not fetched ahead: whoever needs strict order takes a window of 1.
#[async_trait]
pub trait Consumer: Send + Sync {
    /// Waits for the next message. Several tasks may wait on one consumer; each message goes to one of them.
    ///
    /// # Errors
    /// `QueueNotFound` when the queue was deleted, `Lagged` on a `response` or `notify` topic or a tap (the next call goes on),
    /// `Unavailable` when the backend is closed; also while the disk cannot be read, or cannot be written so that a delivery cannot be
    /// recorded: no message is lost, and a later call goes on.
    ///
    /// # Cancel safety
    /// No message is lost when the future is dropped.
    async fn receive(&self) -> Result<Delivery>;

    /// Changes how many messages the consumer may hold unsettled. What it holds above a smaller window stays with it.
    fn set_window(&self, window: NonZeroU32);
}

/// A broker.
///
/// Operations on one queue are seen by all who share the backend as soon as they return. All are safe to cancel in the sense that they
/// happened or did not; only the answer is lost.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// What it refuses.
    fn limits(&self) -> &Limits;

    /// Makes a queue. It is no error if it is there with the same properties. For `response` and `notify` topics nothing is done.
    ///
    /// # Errors
    /// `QueueMismatch` when it exists with other properties; `QueueFull`, `Unavailable`.
    async fn create_queue(&self, spec: &QueueSpec) -> Result<()>;

    /// As `create_queue`, and puts the topic's binding right for a queue that is there.
    ///
    /// # Errors
    /// As [`Backend::create_queue`].
    async fn ensure_queue(&self, spec: &QueueSpec) -> Result<()>;

    /// Deletes a queue with all that is in it; its consumers get `QueueNotFound`. It is no error if there is none.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn delete_queue(&self, queue: &Queue) -> Result<()>;

    /// Whether the queue exists; never for `response` and `notify` topics.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn queue_exists(&self, queue: &Queue) -> Result<bool>;

    /// What the queue holds.
    ///
    /// # Errors
    /// `QueueNotFound`, `Unavailable`.
    async fn stats(&self, queue: &Queue) -> Result<QueueStats>;

    /// Makes a producer. No queue needs to exist yet.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn producer(&self, topic: &Topic) -> Result<Box<dyn Producer>>;

    /// Reads a topic under a subscription. `flow` and `request`: the queue must exist. `response` and `notify`: the subscription is bound
    /// when this returns, gets what is published from then on, and leaves nothing behind when it is dropped; its name only tells
    /// people who reads, and its deliveries need no settling.
    ///
    /// # Errors
    /// `QueueNotFound`: a consumer never makes a queue. `QueueHeld` when it, or another, is exclusive. `Unavailable`.
    async fn consumer(&self, topic: &Topic, subscription: &Subscription, options: ConsumerOptions) -> Result<Box<dyn Consumer>>;

    /// Acknowledges a delivery together with sending its outputs.
    ///
    /// Settles take effect in the order of the calls; the future only waits for the outcome, and dropping it changes nothing. On the embedded
    /// broker it is one atomic durable write. It never fails for a queue being full, and may be repeated when the outcome is unknown:
    /// what is no longer held is left alone ([`Settled::NoLongerHeld`]). On the embedded broker, after one that failed (other than as
    /// `TooLarge`) later ones of the same consumer fail with `Unavailable` until it is repeated or its delivery is given back, so that none
    /// takes effect before it.
    ///
    /// # Errors
    /// `QueueNotFound` when an output with [`Routing::Required`] has no queue, `TooLarge`, `Unavailable`, `OutcomeUnknown`;
    /// the delivery is still held then.
    fn settle(&self, receipt: &Receipt, outputs: Vec<Output>) -> BoxFuture<'static, Result<Settled>>;

    /// Gives a delivery back: it is delivered again, to any consumer, in its old place. Nothing happens if it is no longer held.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn give_back(&self, receipt: &Receipt) -> Result<()>;

    /// Puts a message into one queue, past the topic's other subscriptions.
    ///
    /// # Errors
    /// As [`Producer::publish`]; `WrongClass` for `response` and `notify` topics.
    async fn send_to(&self, queue: &Queue, message: Message) -> Result<()>;

    /// A copy of what is published on a topic from now on, by settles too, taking nothing from its consumers; what is refused is not
    /// seen. At most `buffer_count` messages wait for the reader; beyond it the oldest are dropped and the gap is told as `Lagged`. It is
    /// gone with its reader.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn tap(&self, topic: &Topic, buffer_count: NonZeroU32) -> Result<Box<dyn Consumer>>;

    /// Looks at up to `limit_count` messages of a queue behind a position (0 for the beginning), without taking them; those in work are
    /// left out.
    ///
    /// # Errors
    /// `QueueNotFound`, `Unavailable`.
    async fn browse(&self, queue: &Queue, after: u64, limit_count: u32) -> Result<Vec<Browsed>>;

    /// Removes one message from a queue. `false` if it is not there or is in work.
    ///
    /// # Errors
    /// `QueueNotFound`, `Unavailable`.
    async fn take(&self, queue: &Queue, position: u64) -> Result<bool>;
}
