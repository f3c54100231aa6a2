//! The embedded broker: in process, durable on disk, nothing to install.
//!
//! ```text
//!     mod.rs           EmbeddedBroker, the implementation of `Backend`
//!       |
//!     handles/         what callers hold: consumers and producers; settling and browsing
//!       |
//!     commit/          the commit thread, and what it shares with the handles
//!       |     \
//!     state/   log/    the queues as a state machine without IO; segments on disk, whose documentation is the format
//!       |     /
//!     definition, numbers, options, log_position, damage, refusal
//! ```
//!
//! Each module uses those below it and nothing else of the broker; no two files use each other. `tests/it/tidy/modules.rs` checks both. So `log` and
//! `state` are independent of each other: `commit` turns steps of the state machine into records of the log, and recovered content of the log into
//! queues.
//!
//! # The path of a message
//! 1. A producer (`handles/producer.rs`) waits until the message is admitted and submits an operation to the inbox.
//! 2. The commit thread (`commit/writer.rs`) takes all waiting operations as one group. `state/decide.rs` turns each into steps, under one lock;
//!    nothing is visible yet.
//! 3. The steps are written as records of one frame (`commit/records.rs`, `log/record.rs`), and the frame is flushed.
//! 4. `state/apply.rs` makes the steps visible, or undoes them if the write failed. Consumers are woken, and callers get their results.
//! 5. A consumer (`handles/consumer.rs`) prefetches messages from its queue. Messages that are no longer in memory are read from the log.
//! 6. A settle is an operation like a publish: one frame removes the message and adds its outputs.
//!
//! Topics of the classes `request`, `response` and `notify` live in memory: they skip the log, except for a settle with durable outputs.

mod commit;
mod damage;
mod definition;
mod handles;
mod log;
mod log_position;
mod numbers;
mod options;
mod refusal;
mod state;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

pub use self::log::{BareLog, DiskReserve, DiskUse, damaged_files, lost_mark};
use self::options::OpeningReport;
pub use self::options::{CommitStats, EmbeddedOptions, OpenError, SyncMode};

use self::commit::Shared;
use self::handles::{MailboxConsumer, QueueConsumer, TopicProducer};
use self::log::{Log, Opened};
use self::numbers::FIRST_EPHEMERAL;
use self::state::{Bounded, Operation};
use crate::backend::{
    Backend, BrowseStart, Consumer, ConsumerOptions, Delete, Deletion, Inspect, Lock, LockHolder, LockName, Named, Notice, Output, Page,
    Producer, QueueSpec, QueueStats, Receipt, Settled, Unsettled,
};
use crate::error::{PubsubError, Result};
use crate::limits::Limits;
use crate::lock::lock;
use crate::mailbox::{BUFFERED_BYTES, BUFFERED_COUNT, Mailbox, TAPPED_BYTES};
use crate::message::Message;
use crate::topic::{Queue, Subscription, Topic};

/// A broker inside this process. `flow` queues are durable in one folder; everything else is in memory.
///
/// Every operation on a `flow` queue is confirmed after it is durable. Settles and publishes that arrive together are written together, by a
/// dedicated thread; a settle with its outputs is one atomic write. Dropping the broker closes it; consumers and producers that outlive it get
/// `Unavailable`.
pub struct EmbeddedBroker {
    shared: Arc<Shared>,
    report: OpeningReport,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedBroker {
    fn listen(&self, topic: &Topic, mailbox: Mailbox) -> Result<Box<dyn Consumer>> {
        let mailbox = Arc::new(mailbox);
        lock(&self.shared.state).add_mailbox(topic, mailbox.clone())?;
        Ok(Box::new(MailboxConsumer { shared: self.shared.clone(), topic: topic.clone(), mailbox }))
    }

    /// As [`EmbeddedBroker::open_limited`], with the default limits on messages.
    ///
    /// # Errors
    /// As [`EmbeddedBroker::open_limited`].
    pub fn open(folder: &Path, options: EmbeddedOptions) -> Result<Arc<EmbeddedBroker>, OpenError> {
        Self::open_limited(folder, Limits::default(), options)
    }

    /// Opens the folder, which is created if it does not exist, and locks it until the broker is closed. Messages above the limits are refused.
    ///
    /// # Errors
    /// [`OpenError`]; the folder is then unchanged.
    pub fn open_limited(folder: &Path, limits: Limits, options: EmbeddedOptions) -> Result<Arc<EmbeddedBroker>, OpenError> {
        let Opened { log, queues, report } = Log::open(folder, &options)?;
        let state = commit::restore(options, queues, &log.segments());
        let shared = Arc::new(Shared::new(limits, state, &log));
        let writer = commit::start(shared.clone(), log).map_err(|source| OpenError::Io {
            action: "start the commit thread for",
            path: folder.to_owned(),
            source,
        })?;
        tracing::info!(
            folder = %folder.display(),
            queues_count = report.queues_count,
            messages_count = report.messages_count,
            log_bytes = report.log_bytes,
            "queues opened"
        );
        Ok(Arc::new(EmbeddedBroker { shared, report, writer: Mutex::new(Some(writer)) }))
    }

    /// What was found when the broker was opened.
    pub fn opening_report(&self) -> &OpeningReport {
        &self.report
    }

    /// All `flow` and `request` queues with their figures, in order of topic and subscription.
    pub fn queues(&self) -> Vec<(Queue, QueueStats)> {
        let mut all: Vec<_> = lock(&self.shared.state).queues.values().map(|queue| (queue.name.clone(), queue.stats())).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// What was committed since the broker was opened.
    pub fn commit_stats(&self) -> CommitStats {
        CommitStats {
            groups_count: self.shared.groups_count.load(Ordering::Relaxed),
            operations_count: self.shared.operations_count.load(Ordering::Relaxed),
            bytes_count: self.shared.bytes_count.load(Ordering::Relaxed),
            copied_bytes_count: self.shared.copied_bytes_count.load(Ordering::Relaxed),
        }
    }

    /// Waits until the broker has failed permanently, and returns the reason; never returns for one that is closed. After a failure every call gets
    /// `Unavailable`, and calls that were waiting get `OutcomeUnknown`: open the folder again to continue with what is on disk.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn failed(&self) -> String {
        let mut failed = self.shared.failed.subscribe();
        let reason = failed.wait_for(Option::is_some).await.expect("its sender lives as long as the broker").clone();
        reason.unwrap_or_default()
    }

    /// Makes the commit thread panic at its next commit: for tests of the whole process; not in release builds.
    #[cfg(any(test, debug_assertions))]
    #[doc(hidden)]
    pub fn break_commit_thread(&self) {
        self.shared.panics_next.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// Whether the broker has failed permanently.
    #[cfg(test)]
    pub(crate) fn has_failed(&self) -> bool {
        self.shared.failed.borrow().is_some()
    }

    /// Closes the broker: earlier calls are committed, later ones get `Unavailable`, and the folder is free when this returns.
    ///
    /// # Cancel safety
    /// Closing continues.
    pub async fn close(&self) {
        self.refuse();
        // Does not join the thread: a dropped call must not block a second one.
        let _ = self.shared.ended.subscribe().wait_for(|has_ended| *has_ended).await;
    }

    /// Refuses all calls from now on.
    fn refuse(&self) {
        self.shared.inbox.close();
        self.shared.admission.close();
        lock(&self.shared.state).close();
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.refuse();
        // A panic of the thread was logged.
        if let Some(writer) = lock(&self.writer).take() {
            let _ = writer.join();
        }
    }
}

#[async_trait]
impl Backend for EmbeddedBroker {
    fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn inspect(&self) -> &dyn Inspect {
        self
    }

    async fn create_queue(&self, spec: &QueueSpec) -> Result<()> {
        let class = spec.queue.topic().class();
        if !class.has_queues() {
            return Ok(());
        }
        {
            let mut state = lock(&self.shared.state);
            state.check_open()?;
            if !class.is_durable() {
                return state.create_ephemeral(spec);
            }
            if state.check_spec(spec)? {
                return Ok(());
            }
        }
        self.shared.submit_and_wait(|done| Operation::Create { spec: spec.clone(), done }).await
    }

    async fn ensure_queue(&self, spec: &QueueSpec) -> Result<()> {
        let bounded = lock(&self.shared.state).apply_bound_in_memory(spec)?;
        match bounded {
            Bounded::Done => Ok(()),
            Bounded::InLog => self.shared.submit_and_wait(|done| Operation::Bound { spec: spec.clone(), done }).await,
            Bounded::Not => self.create_queue(spec).await,
        }
    }

    async fn delete_queue(&self, queue: &Queue, when: Delete) -> Result<Deletion> {
        if when == Delete::IfEmpty {
            return self.delete_queues_if_empty(std::slice::from_ref(queue)).await;
        }
        {
            let mut state = lock(&self.shared.state);
            state.check_open()?;
            let Some(number) = state.find(queue) else { return Ok(Deletion::Deleted) };
            if number >= FIRST_EPHEMERAL {
                if let Some(gone) = state.remove_queue(number) {
                    state.discard(gone);
                }
                return Ok(Deletion::Deleted);
            }
        }
        self.shared.submit_and_wait(|done| Operation::Delete { queue: queue.clone(), done }).await?;
        Ok(Deletion::Deleted)
    }

    async fn delete_queues_if_empty(&self, queues: &[Queue]) -> Result<Deletion> {
        // Queues in memory are deleted by the commit thread too: only there is nothing else in progress.
        self.shared.submit_and_wait(|done| Operation::DeleteIfEmpty { queues: queues.to_vec(), done }).await
    }

    async fn queue_exists(&self, queue: &Queue) -> Result<bool> {
        let state = lock(&self.shared.state);
        state.check_open()?;
        Ok(state.find(queue).is_some())
    }

    async fn producer(&self, topic: &Topic) -> Result<Box<dyn Producer>> {
        lock(&self.shared.state).check_open()?;
        Ok(Box::new(TopicProducer { shared: self.shared.clone(), topic: topic.clone() }))
    }

    async fn consumer(&self, topic: &Topic, subscription: &Subscription, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        if !topic.class().has_queues() {
            return self.listen(topic, Mailbox::new(BUFFERED_COUNT, BUFFERED_BYTES));
        }
        let name = Queue::new(topic.clone(), subscription.clone()).map_err(PubsubError::not_a_queue)?;
        let (id, number, slot) = lock(&self.shared.state).add_consumer(&name, options)?;
        Ok(Box::new(QueueConsumer { shared: self.shared.clone(), id, number, name, slot, chunk: Mutex::default() }))
    }

    fn settle(&self, receipt: &Receipt, outputs: Vec<Output>) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        if !receipt.is_some() {
            return ready(Ok(Settled::NoLongerHeld)).boxed();
        }
        let outputs_count = outputs.len();
        match self.shared.outgoing(outputs) {
            Ok(outputs) if receipt.origin >= FIRST_EPHEMERAL => self.shared.settle_ephemeral(*receipt, outputs),
            Ok(outputs) => self.shared.submit_settle(*receipt, outputs),
            Err(error) => ready(Err(Unsettled::whole(error, outputs_count))).boxed(),
        }
    }

    fn acknowledge(&self, receipts: &[Receipt]) -> Vec<BoxFuture<'static, Result<Settled, Unsettled>>> {
        if receipts.iter().all(|receipt| receipt.is_some() && receipt.origin < FIRST_EPHEMERAL) {
            return self.shared.submit_acknowledgements(receipts);
        }
        receipts.iter().map(|receipt| self.settle(receipt, Vec::new())).collect()
    }

    async fn requeue(&self, receipt: &Receipt) -> Result<()> {
        let mut state = lock(&self.shared.state);
        state.check_open()?;
        let wakeups = state.requeue(receipt.origin, receipt.delivery, receipt.consumer);
        drop(state);
        wakeups.send();
        Ok(())
    }

    async fn lock(&self, name: &LockName) -> Result<Box<dyn Lock>> {
        Ok(Box::new(self.shared.take_lock(name)?))
    }

    fn notices(&self) -> Vec<Notice> {
        self.report.notices()
    }

    #[cfg(any(test, debug_assertions))]
    fn break_for_test(&self) {
        self.break_commit_thread();
    }

    async fn failed(&self) -> String {
        EmbeddedBroker::failed(self).await
    }

    async fn close(&self) {
        EmbeddedBroker::close(self).await;
    }
}

#[async_trait]
impl Inspect for EmbeddedBroker {
    async fn list_queues(&self) -> Result<Vec<Queue>> {
        let state = lock(&self.shared.state);
        state.check_open()?;
        let mut names: Vec<_> = state.queues.values().map(|queue| queue.name.clone()).collect();
        names.sort();
        Ok(names)
    }

    async fn stats(&self, queue: &Queue) -> Result<QueueStats> {
        let state = lock(&self.shared.state);
        state.check_open()?;
        Ok(state.get(queue)?.stats())
    }

    async fn lock_holder(&self, lock: &LockName) -> Result<Option<LockHolder>> {
        self.shared.lock_holder(lock)
    }

    async fn tap(&self, topic: &Topic, buffer_count: NonZeroU32) -> Result<Box<dyn Consumer>> {
        self.listen(topic, Mailbox::new(buffer_count, TAPPED_BYTES))
    }

    async fn browse(&self, queue: &Queue, start: BrowseStart, limit_count: u32, body_bytes: usize) -> Result<Page> {
        self.shared.clone().browse(queue, start, limit_count, body_bytes).await
    }

    async fn remove(&self, queue: &Queue, message: &Named) -> Result<bool> {
        // No message has the position 0.
        let position = message.cursor.as_position().unwrap_or(0);
        self.shared.submit_and_wait(|done| Operation::Take { queue: queue.clone(), position, done }).await
    }

    async fn redrive(&self, from: &Queue, message: &Named, to: &Queue, sent: Message) -> Result<bool> {
        self.shared.redrive(from, message.cursor.as_position().unwrap_or(0), to, sent).await
    }
}
