//! The contract between Weir and a broker. Each promise has its own test in the conformance suite; exceptions of a broker are listed there by name
//! and with the reason. "Where the broker supports it" marks what such an exception may concern.
//!
//! To add a broker: implement [`Backend`], with its [`Producer`] and [`Consumer`], in a folder next to this one; as much of [`Inspect`] as the broker
//! supports; an entry in `kind.rs`; and its settings, if any, in `broker_settings.rs` and the list of `cli`. Concepts of client libraries map as
//! follows:
//!
//! | here | on a broker |
//! |---|---|
//! | [`Topic`], [`Queue`] | the names of `docs/wire.md`, to the letter; a name that is too long for a queue is `Refused`, one that is too long for the broker alone `TooLarge` |
//! | a `flow` or `request` queue | shared and named; bound to its topic; `flow` durable, `request` not, or durable too where the broker denies others, which [`Backend::notices`] reports |
//! | a `response` or `notify` subscription, a tap | a queue of the subscriber alone, named by the broker, not durable, deleted with the subscriber |
//! | [`Message`](crate::Message) | persistent on `flow` topics only; `expires_in` is the broker's own expiry, for requests only; [`Limits::check`] and the broker's limits on names are checked before the client library sees it |
//! | [`Producer::publish`] | the write to the connection, in the order in which `publish` returns, within a bound of what is under way; `mandatory` on `flow` and `request` topics only |
//! | [`Confirm`] | its publisher confirmation; of its errors a return is `QueueNotFound`, a lost connection `OutcomeUnknown`; a negative one without a reason is `QueueFull` if this backend knows a refusing queue of the topic, else `Unavailable`, and on `response` and `notify` no error |
//! | errors of the broker | no right, a wrong password: `Refused`; nothing of that name: `QueueNotFound`; something else of that name: `QueueMismatch`; another consumer has it alone: `QueueHeld`; no answer, a lost connection, a node that is away: `Unavailable` |
//! | [`Consumer`] | a subscription whose acknowledgements are counted for it alone: on AMQP a channel for each consumer; the window is its prefetch |
//! | [`Receipt`] | consumer; queue, channel or partition; delivery tag or position |
//! | [`Backend::settle`] | publish the outputs, wait for their confirmations, acknowledge; or one transaction |
//! | [`Backend::requeue`] | a negative acknowledgement with requeue |
//! | [`Backend::create_queue`], [`Backend::delete_queue`] | declare, bind, delete; operations on one queue are serialised within the backend, and each call to the broker has a time-out |
//! | [`Backend::lock`] | an exclusive consumer of a durable queue named [`LockName::wire_name`], without a binding, of a type that keeps exclusivity; [`Inspect`] does not list it |
//!
//! # Lost connections
//! A backend reconnects automatically, with backoff. Meanwhile each operation fails with `Unavailable` within a bounded time: about ten seconds, here
//! and wherever this contract mentions one. Producers survive. Consumers end (see [`Consumer::receive`]). A restarted broker has lost its `request`
//! queues: their owners ensure them. Publishing may use a separate connection: then each of the two can be lost alone, and consumers do not notice
//! the loss of the other.
//!
//! # Blocked publishers
//! A broker may block its publishers for a while (a memory alarm). Publishes and settles with outputs wait then, and fail within a bounded time: with
//! `Unavailable`, or with `OutcomeUnknown` if the broker may still store what it was sent. The delivery of such a settle is still held. Consuming and
//! acknowledging continue.
//!
//! # Missing rights
//! `Refused`, which the log and the status show because an operator must act. Readers and settles are retried with long waits, so permissions that
//! are granted later are sufficient.
//!
//! # Errors
//! Beside the errors that it lists, every operation of [`Backend`] and [`Inspect`] may fail with `Refused` (a missing right), with `Unavailable` (the
//! backend is closed or not connected), and with `TooLarge` (a name above a limit of the broker).

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
pub use self::inspect::{Browsed, Inspect, Named, Page, QueueStats, Start};
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
    /// The number of items that the text describes, shown in front of it; `None` if nothing is counted.
    pub count: Option<u64>,
    /// For people.
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
    /// The limits that it enforces.
    fn limits(&self) -> &Limits;

    /// Checks a message against [`Backend::limits`], and against what the broker has refused for its size so far: its own limit may be lower, and
    /// some brokers only report that when a message exceeds it.
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

    /// The inspection of its queues.
    fn inspect(&self) -> &dyn Inspect;

    /// Creates a queue, which receives what is published from then on. Succeeds if the queue exists with the same properties. Does nothing for
    /// `response` and `notify` topics.
    ///
    /// # Errors
    /// `QueueMismatch` when it exists with other properties, as far as the broker shows them; `Unsupported` where the broker has no such bound;
    /// `QueueFull`, `Refused`, `Unavailable`.
    async fn create_queue(&self, spec: &QueueSpec) -> Result<()>;

    /// As `create_queue`, and restores the topic's binding of a queue that is there. A queue without a bound of its own, or with another refusing one,
    /// gets the refusing bound of the specification, durably; where the broker cannot change it, the queue is kept with its old bound, which is logged.
    /// Any other difference is a `QueueMismatch`.
    ///
    /// # Errors
    /// As [`Backend::create_queue`].
    async fn ensure_queue(&self, spec: &QueueSpec) -> Result<()>;

    /// Deletes a queue; its consumers receive `QueueNotFound`. Succeeds if the queue does not exist.
    ///
    /// [`Delete::IfEmpty`] is atomic where the broker supports it: a message that is published at the same time is either counted or refused.
    /// Elsewhere the queue receives no new messages while it is checked, so a publish may be refused with `QueueNotFound` although the queue stays; a
    /// confirmed message is never deleted. Messages held by consumers count, in whichever process. A queue whose messages the broker cannot count is
    /// not empty.
    ///
    /// # Errors
    /// `Refused`, `Unavailable`.
    async fn delete_queue(&self, queue: &Queue, when: Delete) -> Result<Deletion>;

    /// Deletes all of these queues if none of them holds a message, otherwise none, and reports each that does. A queue that does not exist is
    /// empty.
    ///
    /// Atomic where the broker supports it. The default implementation deletes one queue after the other, stops at the first that is not empty, and
    /// reports that one: the caller creates the earlier ones again.
    ///
    /// # Errors
    /// As [`Backend::delete_queue`]; on a broker without that step, some of the queues may be deleted then.
    async fn delete_queues_if_empty(&self, queues: &[Queue]) -> Result<Deletion> {
        for queue in queues {
            if let kept @ Deletion::NotEmpty(_) = self.delete_queue(queue, Delete::IfEmpty).await? {
                return Ok(kept);
            }
        }
        Ok(Deletion::Deleted)
    }

    /// Whether the queue exists; never for `response` and `notify` topics.
    ///
    /// # Errors
    /// `Refused`, `Unavailable`.
    async fn queue_exists(&self, queue: &Queue) -> Result<bool>;

    /// Creates a producer. No queue needs to exist yet; whatever the topicspace itself requires on the broker is created.
    ///
    /// # Errors
    /// `Refused`, also where that may not be made. `Unavailable`.
    async fn producer(&self, topic: &Topic) -> Result<Box<dyn Producer>>;

    /// Reads a topic under a subscription. `flow` and `request`: the queue must exist. `response` and `notify`: the subscription is bound
    /// when this returns, gets what is published from then on, and leaves nothing behind when it is dropped; its name only
    /// identifies the reader to people, and its deliveries need no settling.
    ///
    /// # Errors
    /// `QueueNotFound`: a consumer never makes a queue. `QueueHeld`: another consumer, in any process, is exclusive; or this one is, and the queue has a
    /// consumer. `Refused`, also where no queue can have that name. `Unavailable`.
    ///
    /// # Cancel safety
    /// A consumer that was begun ends: it holds no message, and leaves nothing behind.
    async fn consumer(&self, topic: &Topic, subscription: &Subscription, options: ConsumerOptions) -> Result<Box<dyn Consumer>>;

    /// Acknowledges a delivery together with sending its outputs: the delivery is acknowledged only after all outputs are confirmed.
    ///
    /// Settles of one consumer take effect in the order of the calls. The future only waits for the outcome: dropping it does not change what is sent
    /// and acknowledged, but the delivery of a settle that fails unawaited may be requeued. A settle is one atomic durable write where the broker
    /// supports it. It never fails because a queue is full, with one exception: an output to a queue that refuses messages above its own bound
    /// ([`Overflow::Refuse`]). It may be repeated, with the outputs that [`Unsettled::unsent`] names: confirmed outputs are not sent again, and
    /// deliveries that are no longer held are skipped ([`Settled::NoLongerHeld`]). If settles are atomic, later ones of the same consumer fail with
    /// `Unavailable` after a failed one (other than `TooLarge` or `QueueFull`), until it is repeated or its delivery is requeued, so that none
    /// overtakes it. Elsewhere, later settles that were called before the failure may take effect: if you need the order, wait for each outcome
    /// before the next call.
    ///
    /// # Errors
    /// `QueueNotFound` when an output with [`Routing::Required`] has no queue, `QueueFull` in that one exception, `TooLarge`, `Refused`,
    /// `Unavailable`, `OutcomeUnknown`.
    fn settle(&self, receipt: &Receipt, outputs: Vec<Output>) -> BoxFuture<'static, Result<Settled, Unsettled>>;

    /// Acknowledges several deliveries without outputs, in the order given, as [`Backend::settle`] would one after the other. One future for
    /// each.
    fn acknowledge(&self, receipts: &[Receipt]) -> Vec<BoxFuture<'static, Result<Settled, Unsettled>>> {
        receipts.iter().map(|receipt| self.settle(receipt, Vec::new())).collect()
    }

    /// Requeues a delivery: it is redelivered to any consumer, at its old position where the broker supports that. Nothing happens while it is being
    /// settled, or if it is no longer held, which without a connection may be `Unavailable` instead.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn requeue(&self, receipt: &Receipt) -> Result<()>;

    /// Takes a lock, which one holder at a time has. It does not wait for it. Locks of other names are independent.
    ///
    /// It is free again when its holder drops it, or as soon as the broker notices that the holder's process or connection is gone.
    ///
    /// # Errors
    /// `LockHeld` while another holder has it, in this process or elsewhere. `Unavailable`, also while the part of the broker that stores the lock is
    /// unreachable: until it returns no process gets the lock. `Refused` without permission, or if something else uses the lock's name on the broker.
    ///
    /// # Cancel safety
    /// A lock that was taken is released.
    async fn lock(&self, name: &LockName) -> Result<Box<dyn Lock>>;

    /// Notices for operators about the broker as it was found when opened.
    fn notices(&self) -> Vec<Notice> {
        Vec::new()
    }

    /// Why the broker does not work now, for people: it is unreachable, or accepts no messages. `None` if it works.
    fn outage(&self) -> Option<String> {
        None
    }

    /// The rules that the broker's operator sets for the queues of a topicspace, and whether they are there; none on a broker that needs none.
    /// With [`Provision::Set`] those that are missing are set first, which may be repeated.
    ///
    /// # Errors
    /// `Refused` where the user may not set or see them; `Unavailable`.
    async fn policies(&self, _topicspace: &str, _provision: Provision) -> Result<Vec<Policy>> {
        Ok(Vec::new())
    }

    /// Makes the backend fail as by a fault of its own: for tests of the whole process, and not in release builds.
    #[cfg(any(test, debug_assertions))]
    #[doc(hidden)]
    fn break_for_test(&self) {}

    /// Waits until the backend itself has failed, so that only a new one can work again, and returns the reason; never returns for one that is closed
    /// or that reconnects. From then on every call fails with `Unavailable`, and calls that were waiting for an answer fail with `OutcomeUnknown`.
    ///
    /// # Cancel safety
    /// Yes.
    async fn failed(&self) -> String {
        std::future::pending().await
    }

    /// Closes it: publishes, settles and operations that were called before are completed, as far as the broker answers within a bounded time; every
    /// later call fails with `Unavailable`; and everything it holds is released when this returns.
    ///
    /// # Cancel safety
    /// Closing continues.
    async fn close(&self);
}
