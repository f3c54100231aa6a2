//! Reading: consumers, and what they deliver.

use std::num::NonZeroU32;

use async_trait::async_trait;

use crate::error::Result;
use crate::message::Message;

/// How a consumer takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerOptions {
    /// How many messages it may hold unsettled, those included that were fetched ahead and wait for a `receive`. A broker takes a larger number
    /// than it can count to as the largest.
    pub window: NonZeroU32,
    /// How many bytes these messages may have, bodies and properties together, where the broker can count them. A consumer that holds nothing
    /// gets a message of any size.
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

/// Reads one queue, or everything that is published on a `response` or `notify` topic.
///
/// Dropping it requeues its unsettled messages. It does not interrupt a pending settle, which either takes effect or fails; in that case its message
/// is redelivered. Messages arrive in the order of the queue. Requeued messages are redelivered: where the broker supports it, at their old position,
/// before later messages that were not prefetched. Use a window of 1 if you need strict order.
#[async_trait]
pub trait Consumer: Send + Sync {
    /// Waits for the next message. Several tasks may wait on one consumer; each message goes to one of them.
    ///
    /// # Errors
    /// - `QueueNotFound` when the queue was deleted: the consumer has ended.
    /// - `Unavailable` if the connection was lost or the backend is closed: the consumer has ended, and every later call returns the same error.
    ///   Callers subscribe again with backoff; the owner of the queue ensures it before that, and a follower fetches what it follows after that. No
    ///   message is lost: messages that the consumer held are redelivered to any consumer unless they were settled, and settling one with its old
    ///   receipt returns `NoLongerHeld`.
    /// - `Stalled` while the broker cannot deliver for a reason of its own: the consumer stays subscribed and continues by itself, and a later
    ///   call may succeed. What it holds stays with it.
    /// - `Lagged` on a `response` or `notify` topic or a tap: messages were missed, and the next call continues. For a subscriber of `response` or
    ///   `notify` a bounded number of messages, and at most 256 MiB of bodies, are buffered; its options are ignored.
    ///
    /// # Cancel safety
    /// No message is lost when the future is dropped.
    async fn receive(&self) -> Result<Delivery>;

    /// Waits until a message is there for `receive`, and takes nothing: the message is not delivered by it (it may be fetched ahead), and
    /// `receive` of any task may get it, also of one that waits already.
    ///
    /// # Errors
    /// As [`Consumer::receive`], except `Lagged`. A message that the broker cannot deliver may count as there: then the `receive` after it is
    /// `Stalled`.
    ///
    /// # Cancel safety
    /// No message is lost when the future is dropped.
    async fn readable(&self) -> Result<()>;

    /// Changes how many unsettled messages the consumer may hold; the limit on their bytes stays. Messages that it holds above a smaller window stay
    /// with it. The new window applies soon after the call, which does not wait for it. If the broker cannot change it, or an exclusive consumer
    /// would have to release its queue for that, the consumer ends with `Unavailable`.
    fn set_window(&self, window: NonZeroU32);
}

/// A message as a consumer gets it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The message; its id is always set, except on `response` and `notify` topics, where an absent one stays absent. A message of a program
    /// that sets none gets one that is derived from subscription, properties and body: the same in every delivery.
    pub message: Message,
    /// To settle it or give it back by.
    pub receipt: Receipt,
    /// How often it was delivered, this time included. Where the broker only marks what it has delivered before, a message that was merely fetched ahead may
    /// count as delivered.
    pub delivery_count: DeliveryCount,
}

/// How often a message was delivered, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryCount {
    /// Exactly this often; the broker counts durably for `flow` queues.
    Exact(u32),
    /// At least this often: the broker does not count, or forgets its count.
    AtLeast(u32),
}

impl DeliveryCount {
    /// At least this often.
    pub fn at_least(self) -> u32 {
        let (DeliveryCount::Exact(count) | DeliveryCount::AtLeast(count)) = self;
        count
    }
}

/// Names one delivery of one message to one consumer. Only the backend interprets its numbers. It is valid until the message is settled or requeued
/// or the consumer ends. A later delivery of the same message to the same consumer may have the same receipt, so discard a receipt once you have
/// requeued its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    pub(crate) consumer: u64,
    /// Where it came from, if the consumer alone does not determine that: a queue, a channel, a partition.
    pub(crate) origin: u64,
    /// Which delivery of that origin it is.
    pub(crate) delivery: u64,
}

impl Receipt {
    /// For backends. `consumer` is unique in the life of the backend and not 0; `origin` and `delivery` are in its own numbering.
    pub(crate) fn new(consumer: u64, origin: u64, delivery: u64) -> Self {
        Receipt { consumer, origin, delivery }
    }

    /// Of a delivery that needs no settling, on a `response` or `notify` topic or a tap: settling it does nothing.
    pub fn none() -> Self {
        Receipt { consumer: 0, origin: 0, delivery: 0 }
    }

    /// Whether the delivery needs settling.
    pub fn is_some(&self) -> bool {
        self.consumer != 0
    }

    /// One that no backend made, for tests of code that only keeps receipts; not in release builds.
    #[cfg(any(test, debug_assertions))]
    #[doc(hidden)]
    pub fn for_test(number: u64) -> Self {
        Receipt::new(1, 1, number)
    }
}
