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
    /// A bound of its own, and what happens above it.
    pub overflow: Overflow,
}

/// What a queue does with a message that takes it above a bound of its own. An empty queue accepts a message of any size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// It has no bound of its own.
    #[default]
    None,
    /// It drops its oldest messages and counts them: exits.
    DropOldest {
        /// Bodies and properties together, in bytes; below 2^63.
        bytes: u64,
    },
    /// It refuses the message with `QueueFull`, also as an output of a settle: dead letters.
    Refuse {
        /// Bodies and properties together, in bytes; below 2^63 - 1.
        bytes: u64,
    },
}

impl Overflow {
    /// The bound above which messages are refused.
    pub fn refuse_above_bytes(self) -> Option<u64> {
        match self {
            Overflow::Refuse { bytes } => Some(bytes),
            Overflow::None | Overflow::DropOldest { .. } => None,
        }
    }

    /// The bound above which the oldest messages are dropped.
    pub fn drop_oldest_above_bytes(self) -> Option<u64> {
        match self {
            Overflow::DropOldest { bytes } => Some(bytes),
            Overflow::None | Overflow::Refuse { .. } => None,
        }
    }
}

impl std::fmt::Display for Overflow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Overflow::None => f.write_str("no bound"),
            Overflow::DropOldest { bytes } => write!(f, "a bound of {bytes} bytes that drops the oldest messages"),
            Overflow::Refuse { bytes } => write!(f, "a bound of {bytes} bytes that refuses messages"),
        }
    }
}

impl QueueSpec {
    /// A queue without a bound of its own.
    pub fn new(queue: Queue) -> Self {
        QueueSpec { queue, overflow: Overflow::None }
    }
}

/// How a consumer takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerOptions {
    /// How many messages it may hold unsettled, those included that were fetched ahead and wait for a `receive`.
    pub window: NonZeroU32,
    /// How many bytes these messages may have, bodies and properties together. A consumer that holds nothing gets a message of any size.
    pub window_bytes: u64,
    /// Whether it must be the queue's only consumer. Others are refused with `QueueHeld` while it lives.
    pub sharing: Sharing,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        ConsumerOptions { window: NonZeroU32::MIN.saturating_add(255), window_bytes: 16 << 20, sharing: Sharing::Competing }
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
    /// The queue's own bound above which it refuses messages, if it has one.
    pub refuse_above_bytes: Option<u64>,
    /// How often a message was refused because of that bound, since the backend was opened; a repetition counts again.
    pub refused_count: u64,
    /// Whether that bound is reached: a message was refused, and since then none was accepted or removed.
    pub is_refusing: bool,
}

/// How [`Backend::delete_queues_if_empty`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfEmpty {
    /// All of the queues are deleted.
    Deleted,
    /// At least these queues hold messages, or may hold some: no queue was deleted.
    NotEmpty(Vec<Backlog>),
}

/// A queue that was not found empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The queue.
    pub queue: Queue,
    /// Messages in it, those in flight included; `None` where the broker cannot count them, which is treated as not empty.
    pub count: Option<u64>,
}

/// A message of a queue as [`Backend::browse`] shows it.
#[derive(Clone, Debug)]
pub struct Browsed {
    /// Its place in the queue, to browse on from and to [`Backend::take`] it by.
    pub position: u64,
    /// The message.
    pub message: Message,
}

/// The beginning of a message of a queue as [`Backend::browse_heads`] shows it.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its place in the queue.
    pub position: u64,
    /// The message with the beginning of its body; or why it cannot be read, for people.
    pub message: Result<Message, String>,
    /// The size of the whole body; 0 where the message cannot be read.
    pub body_bytes: u64,
}

/// A page of a queue as [`Backend::browse_heads`] shows it.
#[derive(Clone, Debug, Default)]
pub struct Heads {
    /// The messages, in the order of their positions.
    pub heads: Vec<Head>,
    /// The position of the newest message that the queue ever had; 0 if there was none. Whatever arrives later is behind it.
    pub newest: u64,
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
    /// `QueueNotFound`, and nothing was sent. A full queue of a `flow` topic refuses the message for all of them. Readers of a `request` topic
    /// are independent: a full queue does not get the message and counts it as dropped; the message is refused only if no queue has room,
    /// or, where queues have exclusive consumers, none of these.
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

    /// Waits until a message is there for `receive`, and takes nothing: the message is not delivered by it (it may be fetched ahead), and
    /// `receive` of any task may get it, also of one that waits already.
    ///
    /// # Errors
    /// As [`Consumer::receive`], except `Lagged`.
    ///
    /// # Cancel safety
    /// No message is lost when the future is dropped.
    async fn readable(&self) -> Result<()>;

    /// Changes how many messages the consumer may hold unsettled; the bound on their bytes stays. What it holds above a smaller window stays
    /// with it.
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

    /// As `create_queue`, and puts the topic's binding right for a queue that is there. A queue without a bound of its own, or with another
    /// refusing one, gets the refusing bound of the specification, durably.
    ///
    /// # Errors
    /// As [`Backend::create_queue`].
    async fn ensure_queue(&self, spec: &QueueSpec) -> Result<()>;

    /// Deletes a queue with all that is in it; its consumers get `QueueNotFound`. It is no error if there is none.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn delete_queue(&self, queue: &Queue) -> Result<()>;

    /// Deletes all of these queues if none of them holds a message, otherwise none, and reports each that does with its count. Messages
    /// that consumers hold unsettled are counted, requests that have expired are not; a queue that does not exist is empty. Consumers of
    /// deleted queues get `QueueNotFound`. It is one step: a message that is published at the same time is either counted or refused.
    ///
    /// # Errors
    /// `Unavailable`: no queue was deleted.
    async fn delete_queues_if_empty(&self, queues: &[Queue]) -> Result<IfEmpty>;

    /// Whether the queue exists; never for `response` and `notify` topics.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn queue_exists(&self, queue: &Queue) -> Result<bool>;

    /// The names of all `flow` and `request` queues, in order of topic and subscription.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn list_queues(&self) -> Result<Vec<Queue>>;

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
    /// broker it is one atomic durable write. It never fails for a queue being full, with one exception: an output to a queue that
    /// refuses messages above a bound of its own ([`Overflow::Refuse`]). It may be repeated when the outcome is unknown:
    /// what is no longer held is left alone ([`Settled::NoLongerHeld`]). On the embedded broker, after one that failed (other than as
    /// `TooLarge` or `QueueFull`) later ones of the same consumer fail with `Unavailable` until it is repeated or its delivery is given
    /// back, so that none takes effect before it.
    ///
    /// # Errors
    /// `QueueNotFound` when an output with [`Routing::Required`] has no queue, `QueueFull` in that one exception, `TooLarge`,
    /// `Unavailable`, `OutcomeUnknown`; the delivery is still held then.
    fn settle(&self, receipt: &Receipt, outputs: Vec<Output>) -> BoxFuture<'static, Result<Settled>>;

    /// Acknowledges several deliveries without outputs, in the order given: each is [`Backend::settle`]d, and a broker that writes may
    /// write all of them at once. One future for each.
    fn acknowledge(&self, receipts: &[Receipt]) -> Vec<BoxFuture<'static, Result<Settled>>> {
        receipts.iter().map(|receipt| self.settle(receipt, Vec::new())).collect()
    }

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

    /// Removes one message from a queue and puts another in its place into one queue, past its topic's other subscriptions, as a message
    /// that was never delivered. `false` if there is no message at that position or it is in work; nothing is sent then.
    ///
    /// On the embedded broker it is one atomic durable write: of several calls for one message exactly one sends. A broker that cannot do
    /// that publishes, waits for the confirm, and then acknowledges: at least once.
    ///
    /// # Errors
    /// `QueueNotFound` when either queue is missing, `QueueFull` when the target is, and as [`Backend::send_to`]; the message is still in
    /// its queue then, except after `OutcomeUnknown`, when it may have been sent.
    async fn redrive(&self, from: &Queue, position: u64, to: &Queue, message: Message) -> Result<bool>;

    /// A copy of what is published on a topic from now on, by settles too, taking nothing from its consumers; what is refused is not
    /// seen. At most `buffer_count` messages, or 16 MiB of bodies, wait for the reader; beyond it the oldest are dropped and the gap is told as `Lagged`. It is
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

    /// As [`Backend::browse`], with at most `body_bytes` of each body: the rest of it is neither read nor kept in memory. A message that
    /// cannot be read is shown with the reason, and the others are shown all the same.
    ///
    /// # Errors
    /// `QueueNotFound`, `Unavailable`.
    async fn browse_heads(&self, queue: &Queue, after: u64, limit_count: u32, body_bytes: usize) -> Result<Heads>;

    /// Removes one message from a queue. `false` if it is not there or is in work.
    ///
    /// # Errors
    /// `QueueNotFound`, `Unavailable`.
    async fn take(&self, queue: &Queue, position: u64) -> Result<bool>;
}
