//! The contract between Weir and a broker. Each guarantee has its own test in the conformance suite, which lists the exceptions of each broker with
//! their reasons. "Where the broker supports it" marks the guarantees that may have such an exception.
//!
//! To add a broker: implement [`Backend`], with its [`Producer`] and [`Consumer`], in a folder next to this one; as much of [`Inspect`] as the broker
//! supports; an entry in `broker_kind.rs`; and its settings, if any, in `broker_settings.rs` and the list of `cli`. Concepts of client libraries map as
//! follows:
//!
//! | here | on a broker |
//! |---|---|
//! | [`Topic`], [`Queue`] | the names of `docs/wire.md`, to the letter; a name that is too long for a queue is `Refused`, one that is too long for the broker alone `TooLarge` |
//! | a `flow` or `request` queue | shared and named; bound to its topic; `flow` durable, `request` not, or durable too where the broker denies others, which [`Backend::notices`] reports |
//! | a `response` or `notify` subscription, a tap | a queue for the subscriber alone, named by the broker, not durable, deleted with the subscriber |
//! | [`Message`](crate::Message) | persistent on `flow` topics only; `expires_in` is the broker's own expiry, for requests only; [`Limits::check`] and the broker's limits on names are checked before the client library sees it |
//! | [`Producer::publish`] | the write to the connection, in the order in which `publish` returns, with a bound on what is in flight; `mandatory` on `flow` and `request` topics only |
//! | [`Confirm`] | its publisher confirm; a returned message is `QueueNotFound`, a lost connection `OutcomeUnknown`; a nack without a reason is `QueueFull` if this backend has a refusing queue of the topic, otherwise `Unavailable`, and not an error on `response` and `notify` |
//! | errors of the broker | no permission, a wrong password: `Refused`; nothing of that name: `QueueNotFound`; something else of that name: `QueueMismatch`; another exclusive consumer: `QueueHeld`; no response, a lost connection, an unavailable node: `Unavailable` |
//! | [`Consumer`] | a subscription whose acknowledgements are counted separately: on AMQP a channel for each consumer; the window is its prefetch |
//! | [`Receipt`] | consumer; queue, channel or partition; delivery tag or position |
//! | [`Backend::settle`] | publish the outputs, wait for their confirmations, acknowledge; or one transaction |
//! | [`Backend::requeue`] | a nack with requeue |
//! | [`Backend::create_queue`], [`Backend::delete_queue`] | declare, bind, delete; operations on one queue are serialised within the backend, and each call to the broker has a time-out |
//! | [`Backend::lock`] | an exclusive consumer of a durable queue named [`LockName::wire_name`], without a binding, of a type that keeps exclusivity; [`Inspect`] does not list it |
//!
//! # Lost connections
//! A backend reconnects automatically, with backoff. Meanwhile each operation fails with `Unavailable` within a bounded time: about ten seconds, here
//! and wherever this contract mentions a bounded time. Producers survive. Consumers end (see [`Consumer::receive`]). A restarted broker has lost its
//! `request` queues: their owners ensure them. Publishing may use a separate connection: each of the two can then be lost alone, and losing one does
//! not affect consumers on the other.
//!
//! # Blocked publishers
//! A broker may block its publishers for a while (a memory alarm). Publishes and settles with outputs then wait, and fail within a bounded time: with
//! `Unavailable`, or with `OutcomeUnknown` if the broker may still store what was sent. The delivery of such a settle is still held. Consuming and
//! acknowledging continue.
//!
//! # Missing permissions
//! `Refused`, which the log and the status report because an operator must act. Readers and settles are retried with long waits, so granting the
//! permission later is sufficient.
//!
//! # Errors
//! In addition to the errors that it lists, every operation of [`Backend`] and [`Inspect`] may fail with `Refused` (a missing permission), with
//! `Unavailable` (the backend is closed or not connected), and with `TooLarge` (a name above a limit of the broker).

mod consumer;
mod cursor;
mod inspect;
mod lock;
mod policy;
mod producer;
mod queue;
mod settle;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::error::Result;
use crate::limits::Limits;
use crate::message::Message;
use crate::topic::{Queue, Subscription, Topic};

pub use self::consumer::{Consumer, ConsumerOptions, Delivery, DeliveryCount, Receipt, Sharing};
pub use self::cursor::{Cursor, NotACursor};
pub use self::inspect::{BrowseStart, Browsed, Inspect, Named, Page, QueueStats};
pub use self::lock::{Lock, LockHolder};
pub use self::policy::{Policy, PolicyState, Provision};
pub use self::producer::{Confirm, Producer};
pub use self::queue::{Backlog, Delete, Deletion, Overflow, QueueSpec};
pub use self::settle::{Settled, Unsettled};
pub use crate::lock_name::LockName;
pub use crate::output::{Output, Routing};

/// A notice for operators about a broker that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The number of items that the text describes, displayed in front of it; `None` if nothing is counted.
    pub count: Option<u64>,
    /// For display.
    pub text: String,
}

/// A broker.
///
/// Operations on one queue are visible to all users of this object as soon as they return. All methods, including those of [`Inspect`], are
/// cancel-safe: an operation whose future is dropped is never left half done. It completes in the background or has no effect; [`Backend::consumer`]
/// and [`Backend::lock`] are undone instead. [`Backend::settle`] and [`Backend::acknowledge`] take effect when they are called, whether polled or
/// not.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The limits that the backend enforces.
    fn limits(&self) -> &Limits;

    /// Checks a message against [`Backend::limits`], and against the sizes that the broker has refused so far: its own limit may be lower, and some
    /// brokers only report that when a message exceeds it.
    ///
    /// # Errors
    /// `TooLarge`.
    fn check(&self, topic: &Topic, message: &Message) -> Result<()> {
        self.limits().check(topic, message)
    }

    /// Whether other processes can use the same broker. If so, the holder of a lock may have lost it without noticing: its writes must then be
    /// refused by other means.
    fn is_shared(&self) -> bool {
        true
    }

    /// Inspection of the broker's queues.
    fn inspect(&self) -> &dyn Inspect;

    /// Creates a queue, which receives what is published from then on. Succeeds if the queue exists with the same properties. Does nothing for
    /// `response` and `notify` topics.
    ///
    /// # Errors
    /// `QueueMismatch` if it exists with other properties, as far as the broker reports them; `Unsupported` if the broker has no such bound;
    /// `QueueFull`, `Refused`, `Unavailable`.
    async fn create_queue(&self, spec: &QueueSpec) -> Result<()>;

    /// As `create_queue`; also restores an existing queue's binding to its topic. An existing queue that has no bound of its own, or another refusing
    /// one, gets the refusing bound of the specification, durably; if the broker cannot change it, the queue keeps its old bound and a warning is
    /// logged. Any other difference is a `QueueMismatch`.
    ///
    /// # Errors
    /// As [`Backend::create_queue`].
    async fn ensure_queue(&self, spec: &QueueSpec) -> Result<()>;

    /// Deletes a queue; its consumers receive `QueueNotFound`. Succeeds if the queue does not exist.
    ///
    /// [`Delete::IfEmpty`] is atomic where the broker supports it: a message that is published at the same time is either counted or refused.
    /// Elsewhere the queue receives no new messages during the check, so a publish may be refused with `QueueNotFound` although the queue stays; a
    /// confirmed message is never deleted. Messages held by consumers of any process count. A queue whose messages the broker cannot count is not
    /// empty.
    ///
    /// # Errors
    /// `Refused`, `Unavailable`.
    async fn delete_queue(&self, queue: &Queue, when: Delete) -> Result<Deletion>;

    /// Deletes all of these queues if none of them holds a message, otherwise none, and reports each that does. A missing queue counts as empty.
    ///
    /// Atomic where the broker supports it. The default implementation deletes the queues one by one, stops at the first that is not empty, and
    /// reports that one: the caller creates the earlier ones again.
    ///
    /// # Errors
    /// As [`Backend::delete_queue`]; if the deletion is not atomic, some of the queues may then be deleted.
    async fn delete_queues_if_empty(&self, queues: &[Queue]) -> Result<Deletion> {
        for queue in queues {
            if let kept @ Deletion::NotEmpty(_) = self.delete_queue(queue, Delete::IfEmpty).await? {
                return Ok(kept);
            }
        }
        Ok(Deletion::Deleted)
    }

    /// Whether the queue exists; always `false` for `response` and `notify` topics.
    ///
    /// # Errors
    /// `Refused`, `Unavailable`.
    async fn queue_exists(&self, queue: &Queue) -> Result<bool>;

    /// Creates a producer. No queue needs to exist yet; whatever the topicspace itself requires on the broker is created.
    ///
    /// # Errors
    /// `Refused`, also if the user may not create that. `Unavailable`.
    async fn producer(&self, topic: &Topic) -> Result<Box<dyn Producer>>;

    /// Reads a topic under a subscription. `flow` and `request`: the queue must exist. `response` and `notify`: the subscription is bound when this
    /// returns, receives what is published from then on, and leaves nothing behind when it is dropped; its name is only a label, and its deliveries
    /// need no settling.
    ///
    /// # Errors
    /// `QueueNotFound`: a consumer never creates a queue. `QueueHeld`: another consumer, in any process, is exclusive; or this one is, and the queue
    /// has a consumer. `Refused`, also if the name is not valid for a queue. `Unavailable`.
    ///
    /// # Cancel safety
    /// A partially created consumer ends: it holds no message, and leaves nothing behind.
    async fn consumer(&self, topic: &Topic, subscription: &Subscription, options: ConsumerOptions) -> Result<Box<dyn Consumer>>;

    /// Acknowledges a delivery and sends its outputs: the delivery is acknowledged only after all outputs are confirmed.
    ///
    /// Settles of one consumer take effect in the order of the calls. The future only waits for the outcome: dropping it does not change what is sent
    /// and acknowledged, but the delivery of a settle that fails unawaited may be requeued. A settle is one atomic durable write where the broker
    /// supports it. It never fails because a queue is full, with one exception: an output to a queue that refuses messages above its own bound
    /// ([`Overflow::Refuse`]). It may be repeated, with the outputs listed in [`Unsettled::unsent`]: confirmed outputs are not resent, and deliveries
    /// that are no longer held are skipped ([`Settled::NoLongerHeld`]). If settles are atomic, later ones of the same consumer fail with
    /// `Unavailable` after a failed one (other than `TooLarge` or `QueueFull`), until it is repeated or its delivery is requeued, so that none
    /// overtakes it. Elsewhere, later settles that were called before the failure may take effect: if you need the order, wait for each outcome
    /// before the next call.
    ///
    /// # Errors
    /// `QueueNotFound` if an output with [`Routing::Required`] has no queue, `QueueFull` in the exception above, `TooLarge`, `Refused`,
    /// `Unavailable`, `OutcomeUnknown`.
    fn settle(&self, receipt: &Receipt, outputs: Vec<Output>) -> BoxFuture<'static, Result<Settled, Unsettled>>;

    /// Acknowledges several deliveries without outputs, in the order given, like successive calls of [`Backend::settle`]. Returns one future for
    /// each.
    fn acknowledge(&self, receipts: &[Receipt]) -> Vec<BoxFuture<'static, Result<Settled, Unsettled>>> {
        receipts.iter().map(|receipt| self.settle(receipt, Vec::new())).collect()
    }

    /// Requeues a delivery: it is redelivered to any consumer, at its old position where the broker supports that. Does nothing while it is being
    /// settled, or if it is no longer held, which without a connection may be `Unavailable` instead.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn requeue(&self, receipt: &Receipt) -> Result<()>;

    /// Takes a lock, which has one holder at a time. Does not wait for it to become free. Locks of different names are independent.
    ///
    /// The lock becomes free when its holder drops it, or as soon as the broker notices that the holder's process or connection is gone.
    ///
    /// # Errors
    /// `LockHeld` while another holder has it, in this process or elsewhere. `Unavailable`, also while the part of the broker that stores the lock is
    /// unreachable; until that returns no process gets the lock. `Refused` without permission, or if something else uses the lock's name on the
    /// broker.
    ///
    /// # Cancel safety
    /// A lock that was taken already is released.
    async fn lock(&self, name: &LockName) -> Result<Box<dyn Lock>>;

    /// Notices for operators about the state in which the broker was found when it was opened.
    fn notices(&self) -> Vec<Notice> {
        Vec::new()
    }

    /// Why the broker does not work at present, for display: it is unreachable, or accepts no messages. `None` if it works.
    fn outage(&self) -> Option<String> {
        None
    }

    /// The rules that the broker's operator sets for the queues of a topicspace, and whether they are set; empty for a broker that needs none.
    /// [`Provision::Set`] first sets the missing ones; this may be repeated.
    ///
    /// # Errors
    /// `Refused` if the user may not set or read them; `Unavailable`.
    async fn policies(&self, _topicspace: &str, _provision: Provision) -> Result<Vec<Policy>> {
        Ok(Vec::new())
    }

    /// Makes the backend fail as if by an internal fault: for tests of the whole process, not in release builds.
    #[cfg(any(test, debug_assertions))]
    #[doc(hidden)]
    fn break_for_test(&self) {}

    /// Waits until the backend itself has failed and must be opened again, and returns the reason; never returns for a backend that is closed or that
    /// reconnects. From then on every call fails with `Unavailable`, and calls that were waiting for a response fail with `OutcomeUnknown`.
    ///
    /// # Cancel safety
    /// Yes.
    async fn failed(&self) -> String {
        std::future::pending().await
    }

    /// Closes the backend: completes publishes, settles and operations that were called before, as far as the broker responds within a bounded time.
    /// Later calls fail with `Unavailable`. All its resources are released when this returns.
    ///
    /// # Cancel safety
    /// Closing continues.
    async fn close(&self);
}
