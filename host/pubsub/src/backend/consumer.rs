//! Consumers and deliveries.

use std::num::NonZeroU32;

use async_trait::async_trait;

use crate::error::Result;
use crate::message::Message;

/// How a consumer receives messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerOptions {
    /// The maximum number of unsettled messages, including prefetched ones that wait for a `receive`. A number above the broker's own maximum is
    /// lowered to it.
    pub window: NonZeroU32,
    /// The maximum size of these messages in bytes, bodies and properties together, where the broker can count them. A consumer that holds nothing
    /// receives a message of any size.
    pub window_bytes: u64,
    /// Whether it must be the queue's only consumer. While an exclusive consumer lives, others are refused with `QueueHeld`.
    pub sharing: Sharing,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        ConsumerOptions { window: NonZeroU32::MIN.saturating_add(255), window_bytes: 16 << 20, sharing: Sharing::Competing }
    }
}

/// Whether a queue's consumer allows others beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Any number of consumers share the queue's messages.
    Competing,
    /// It is the only consumer.
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
    /// - `Stalled` while the broker is connected but cannot deliver: the consumer stays subscribed, keeps its unsettled messages and resumes by
    ///   itself; a later call may succeed.
    /// - `Lagged` on a `response` or `notify` topic or a tap: messages were missed, and the next call continues. For a subscriber of `response` or
    ///   `notify` a bounded number of messages, and at most 256 MiB of bodies, are buffered; its options are ignored.
    ///
    /// # Cancel safety
    /// No message is lost when the future is dropped.
    async fn receive(&self) -> Result<Delivery>;

    /// Waits until a message is available for `receive`, without delivering it (the message may be prefetched). `receive` may return it to any task,
    /// including one that is already waiting.
    ///
    /// # Errors
    /// As [`Consumer::receive`], except `Lagged`. A message that the broker cannot deliver may count as available; the `receive` after it then
    /// returns `Stalled`.
    ///
    /// # Cancel safety
    /// No message is lost when the future is dropped.
    async fn readable(&self) -> Result<()>;

    /// Changes the maximum number of unsettled messages; the limit on their bytes is unchanged. The consumer keeps the messages that it holds above a
    /// smaller window. The new window applies soon after the call, which does not wait for it. The consumer ends with `Unavailable` if the broker
    /// cannot change the window, or if an exclusive consumer would have to release its queue for the change.
    fn set_window(&self, window: NonZeroU32);
}

/// A message as delivered to a consumer.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The message. Its id is always set, except on `response` and `notify` topics, where an absent one stays absent. If the sender set no id, it is
    /// derived from subscription, properties and body and is the same in every delivery.
    pub message: Message,
    /// The receipt, with which to settle or requeue the delivery.
    pub receipt: Receipt,
    /// How often the message was delivered, including this time. If the broker only records whether it has delivered a message before, a prefetch may
    /// count as a delivery.
    pub delivery_count: DeliveryCount,
}

/// How often a message was delivered, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryCount {
    /// Exactly this often; for `flow` queues the count is durable.
    Exact(u32),
    /// At least this often: the broker does not count deliveries, or may lose its count.
    AtLeast(u32),
}

impl DeliveryCount {
    /// The lower bound of the count.
    pub fn at_least(self) -> u32 {
        let (DeliveryCount::Exact(count) | DeliveryCount::AtLeast(count)) = self;
        count
    }
}

/// Identifies one delivery of one message to one consumer. Only the backend interprets its numbers. It is valid until the message is settled or
/// requeued or the consumer ends. A later delivery of the same message to the same consumer may have the same receipt, so discard a receipt once you
/// have requeued its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    pub(crate) consumer: u64,
    /// Where the message came from, if the consumer alone does not determine that: a queue, a channel, a partition.
    pub(crate) origin: u64,
    /// Which delivery of that origin it is.
    pub(crate) delivery: u64,
}

impl Receipt {
    /// For backends. `consumer` is unique for the lifetime of the backend and not 0; the backend defines the numbering of `origin` and `delivery`.
    pub(crate) fn new(consumer: u64, origin: u64, delivery: u64) -> Self {
        Receipt { consumer, origin, delivery }
    }

    /// The receipt of a delivery that needs no settling, on a `response` or `notify` topic or a tap; settling it does nothing.
    pub fn none() -> Self {
        Receipt { consumer: 0, origin: 0, delivery: 0 }
    }

    /// Whether the delivery needs settling.
    pub fn is_some(&self) -> bool {
        self.consumer != 0
    }

    /// A receipt that no backend issued, for tests of code that only stores receipts; not in release builds.
    #[cfg(any(test, debug_assertions))]
    #[doc(hidden)]
    pub fn for_test(number: u64) -> Self {
        Receipt::new(1, 1, number)
    }
}
