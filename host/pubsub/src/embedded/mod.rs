//! The embedded broker: in process, durable on disk, nothing to install.
//!
//! - `queue`, `queues`, `seats`, `window`: what is in the queues and who holds it; `group`, `decide`, `apply`: what operations do to it. No files,
//!   no waiting.
//! - `log`: segments on disk; its documentation is the format.
//! - `inbox`, `writer`: operations that change durable state wait in one line; one thread commits them in groups.
//! - `browse`: looking at queues without consuming from them.
//! - `live`, `moving`, `upkeep`: how that thread keeps the log small.
//! - `consumer`, `producer`, `broadcast`: the ends that callers hold.

mod apply;
mod bare;
mod broadcast;
mod browse;
mod consumer;
mod decide;
mod failure;
mod group;
mod inbox;
mod live;
mod log;
mod moving;
mod numbers;
mod options;
mod parked;
mod producer;
mod queue;
mod queues;
mod room;
mod seats;
mod trouble;
mod upkeep;
mod window;
mod writer;

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use futures_util::future::{BoxFuture, ready};
use futures_util::{FutureExt, TryFutureExt};
use tokio::sync::oneshot;

pub use self::bare::BareLog;
pub use self::log::{DiskReserve, DiskUse, damaged_files, lost_mark};
pub use self::options::{CommitStats, EmbeddedOptions, OpenError, OpeningReport, SyncMode, TornTail};

use self::broadcast::{BUFFERED_BYTES, BUFFERED_COUNT, Mailbox, TAPPED_BYTES};
use self::consumer::{MailboxConsumer, QueueConsumer};
use self::failure::Failed;
use self::group::{Operation, Outgoing};
use self::inbox::Inbox;
use self::log::{Chunk, Damage, Log, Opened, ReadFault, Reader};
use self::producer::{TopicProducer, lost};
use self::queue::Place;
use self::queues::{Bounded, FIRST_EPHEMERAL, State, closed};
use self::room::Room;
use self::seats::Seat;
use crate::backend::{
    Backend, Consumer, ConsumerOptions, Delete, Deletion, Inspect, Named, Output, Page, Producer, QueueSpec, QueueStats, Receipt, Settled,
    Start, Unsettled,
};
use crate::error::{PubsubError, Result};
use crate::limits::Limits;
use crate::message::Message;
use crate::topic::{Queue, Subscription, Topic};

/// A broker inside this process. `flow` queues are durable in one folder; everything else lives in memory.
///
/// Every operation on a `flow` queue is answered after it is durable. Settles and publishes that arrive together are written together, by a
/// thread of its own; a settle with its outputs is one atomic write. Dropping the broker closes it; consumers and producers that
/// outlive it get `Unavailable`.
pub struct EmbeddedBroker {
    shared: Arc<Shared>,
    report: OpeningReport,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What the broker, its ends and its thread share.
struct Shared {
    options: EmbeddedOptions,
    /// Never held while waiting or reading files.
    state: Mutex<State>,
    inbox: Inbox,
    room: Room,
    reader: Arc<Reader>,
    /// Consumers (of queues with these numbers) that received messages since the last commit. A leaf: no other lock is taken under it.
    received: Mutex<Vec<(u64, Arc<Seat>)>>,
    groups_count: AtomicU64,
    operations_count: AtomicU64,
    bytes_count: AtomicU64,
    copied_bytes_count: AtomicU64,
    failed: Failed,
    /// Set by tests: the commit thread panics.
    #[cfg(any(test, debug_assertions))]
    panics_next: std::sync::atomic::AtomicBool,
    /// Set by tests: so many of the next writes of the log fail.
    #[cfg(test)]
    failing_writes_count: Arc<std::sync::atomic::AtomicU32>,
}

impl EmbeddedBroker {
    fn listen(&self, topic: &Topic, mailbox: Mailbox) -> Result<Box<dyn Consumer>> {
        let mailbox = Arc::new(mailbox);
        lock(&self.shared.state).add_mailbox(topic, mailbox.clone())?;
        Ok(Box::new(MailboxConsumer { shared: self.shared.clone(), topic: topic.clone(), mailbox }))
    }

    /// Opens the folder, which is made if it is not there, and locks it until the broker is closed.
    ///
    /// # Errors
    /// [`OpenError`]; nothing in the folder was changed then.
    pub fn open(folder: &Path, options: EmbeddedOptions) -> Result<Arc<EmbeddedBroker>, OpenError> {
        let Opened { log, queues, report } = Log::open(folder, &options)?;
        let mut state = State::new(options.clone());
        state.restore(queues, &log.segments());
        let shared = Arc::new(Shared {
            options,
            state: Mutex::new(state),
            inbox: Inbox::default(),
            room: Room::new(),
            reader: log.reader(),
            received: Mutex::default(),
            groups_count: AtomicU64::new(0),
            operations_count: AtomicU64::new(0),
            bytes_count: AtomicU64::new(0),
            copied_bytes_count: AtomicU64::new(0),
            failed: Failed::default(),
            #[cfg(any(test, debug_assertions))]
            panics_next: false.into(),
            #[cfg(test)]
            failing_writes_count: log.failing_writes_count(),
        });
        let writer = failure::start(shared.clone(), log).map_err(|source| OpenError::Io {
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

    /// What was found when it was opened.
    pub fn opening_report(&self) -> &OpeningReport {
        &self.report
    }

    /// All `flow` and `request` queues with what they hold, in order of topic and subscription.
    pub fn queues(&self) -> Vec<(Queue, QueueStats)> {
        let mut all: Vec<_> = lock(&self.shared.state).queues.values().map(|queue| (queue.name.clone(), queue.stats())).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// What was committed since it was opened.
    pub fn commit_stats(&self) -> CommitStats {
        CommitStats {
            groups_count: self.shared.groups_count.load(Ordering::Relaxed),
            operations_count: self.shared.operations_count.load(Ordering::Relaxed),
            bytes_count: self.shared.bytes_count.load(Ordering::Relaxed),
            copied_bytes_count: self.shared.copied_bytes_count.load(Ordering::Relaxed),
        }
    }

    /// Closes it: what was asked for before is committed, later calls get `Unavailable`, and the folder is free when this returns.
    ///
    /// # Cancel safety
    /// It goes on closing.
    pub async fn close(&self) {
        let Some(writer) = self.stop() else { return };
        // A panic of the thread has been told by its own message.
        let _ = tokio::task::spawn_blocking(move || writer.join()).await;
    }

    /// Refuses everything from now on; the thread, if it is still to be waited for.
    fn stop(&self) -> Option<JoinHandle<()>> {
        self.shared.inbox.close();
        self.shared.room.close();
        lock(&self.shared.state).close();
        lock(&self.writer).take()
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        if let Some(writer) = self.stop() {
            let _ = writer.join();
        }
    }
}

impl Shared {
    /// Reads a message of a queue, which may be moved meanwhile.
    fn read(&self, queue: u64, sequence: u64, place: Place, chunk: &mut Chunk) -> Result<Message, ReadFault> {
        self.read_at(queue, sequence, place, |place| self.reader.message(place, chunk))
    }

    /// Reads something of a message at its place, and at its new place if it was moved meanwhile.
    fn read_at<T>(
        &self,
        queue: u64,
        sequence: u64,
        mut place: Place,
        mut read: impl FnMut(Place) -> Result<T, ReadFault>,
    ) -> Result<T, ReadFault> {
        loop {
            let fault = match read(place) {
                Ok(found) => return Ok(found),
                Err(fault) => fault,
            };
            match lock(&self.state).place_of(queue, sequence) {
                Some(moved) if moved != place => place = moved,
                _ => return Err(fault),
            }
        }
    }

    /// Waits for the answer to an operation.
    async fn ask<T>(&self, operation: impl FnOnce(oneshot::Sender<Result<T>>) -> Operation) -> Result<T> {
        let (done, outcome) = oneshot::channel();
        self.submit(operation(done))?;
        outcome.await.unwrap_or_else(|_| Err(lost()))
    }

    fn submit_settle(&self, receipt: Receipt, outputs: Vec<Outgoing>) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        let (done, outcome) = oneshot::channel();
        let outputs_count = outputs.len();
        match self.submit(Operation::Settle { receipt, outputs, done }) {
            Ok(()) => settled(outcome, outputs_count),
            Err(error) => ready(Err(Unsettled::whole(error, outputs_count))).boxed(),
        }
    }

    /// Submits acknowledgements together, so that the commit thread finds all of them: woken by the first, it would write that one alone.
    fn submit_acknowledgements(&self, receipts: &[Receipt]) -> Vec<BoxFuture<'static, Result<Settled, Unsettled>>> {
        let (operations, outcomes): (Vec<_>, Vec<_>) = receipts
            .iter()
            .map(|receipt| {
                let (done, outcome) = oneshot::channel();
                (Operation::Settle { receipt: *receipt, outputs: Vec::new(), done }, outcome)
            })
            .unzip();
        match self.inbox.submit_all(operations) {
            Ok(()) => outcomes.into_iter().map(|outcome| settled(outcome, 0)).collect(),
            Err(_) => receipts.iter().map(|_| ready(Err(Unsettled::whole(closed(), 0))).boxed()).collect(),
        }
    }

    /// Has a message removed that cannot be read; `holder` is the consumer that met it.
    fn set_aside(&self, queue: u64, sequence: u64, holder: Option<u64>, damage: Box<Damage>) {
        // Refused only when the broker closes: then it is met again after the next start.
        let _ = self.inbox.submit(Operation::SetAside { queue, sequence, holder, damage });
    }

    /// Settles a delivery from memory: at once, unless something of it has to be durable or must wait its turn behind such a one.
    fn settle_ephemeral(&self, receipt: Receipt, outputs: Vec<Outgoing>) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        let outputs_count = outputs.len();
        let mut state = lock(&self.state);
        if let Err(error) = state.check_open() {
            return ready(Err(Unsettled::whole(error, outputs_count))).boxed();
        }
        let Some(consumer) = state.consumers.get_mut(&receipt.consumer) else { return ready(Ok(Settled::NoLongerHeld)).boxed() };
        if consumer.settling_count > 0 || outputs.iter().any(|output| output.topic.class().is_durable()) {
            consumer.settling_count += 1;
            return self.submit_settle(receipt, outputs);
        }
        let mut steps = Vec::new();
        let outcome = state.decide_settle(&receipt, outputs, &mut steps).map_err(|error| Unsettled::whole(error, outputs_count));
        let wakes = state.apply(steps);
        drop(state);
        wakes.ring();
        ready(outcome).boxed()
    }
}

/// How a settle ended, of so many outputs: all of them were sent or none.
fn settled(outcome: oneshot::Receiver<Result<Settled>>, outputs_count: usize) -> BoxFuture<'static, Result<Settled, Unsettled>> {
    let outcome = outcome.map(|answer| answer.unwrap_or_else(|_| Err(lost())));
    outcome.map_err(move |error| Unsettled::whole(error, outputs_count)).boxed()
}

#[async_trait]
impl Backend for EmbeddedBroker {
    fn limits(&self) -> &Limits {
        &self.shared.options.limits
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
        self.shared.ask(|done| Operation::Create { spec: spec.clone(), done }).await
    }

    async fn ensure_queue(&self, spec: &QueueSpec) -> Result<()> {
        let bounded = lock(&self.shared.state).bound_at_once(spec)?;
        match bounded {
            Bounded::Done => Ok(()),
            Bounded::InLog => self.shared.ask(|done| Operation::Bound { spec: spec.clone(), done }).await,
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
                    state.bury(gone);
                }
                return Ok(Deletion::Deleted);
            }
        }
        self.shared.ask(|done| Operation::Delete { queue: queue.clone(), done }).await?;
        Ok(Deletion::Deleted)
    }

    async fn delete_queues_if_empty(&self, queues: &[Queue]) -> Result<Deletion> {
        // Through the commit thread for queues of memory, too: it is the only place where nothing else is under way.
        self.shared.ask(|done| Operation::DeleteIfEmpty { queues: queues.to_vec(), done }).await
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
        // No queue has a name that is too long for one.
        let name = Queue::new(topic.clone(), subscription.clone()).map_err(|_| PubsubError::no_queue_of(topic))?;
        let (id, number, seat) = lock(&self.shared.state).add_consumer(&name, options)?;
        Ok(Box::new(QueueConsumer { shared: self.shared.clone(), id, number, name, seat, chunk: Mutex::default() }))
    }

    fn settle(&self, receipt: &Receipt, outputs: Vec<Output>) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        if !receipt.is_some() {
            return ready(Ok(Settled::NoLongerHeld)).boxed();
        }
        let outputs_count = outputs.len();
        match self.shared.outgoing(outputs) {
            Ok(outputs) if receipt.queue >= FIRST_EPHEMERAL => self.shared.settle_ephemeral(*receipt, outputs),
            Ok(outputs) => self.shared.submit_settle(*receipt, outputs),
            Err(error) => ready(Err(Unsettled::whole(error, outputs_count))).boxed(),
        }
    }

    fn acknowledge(&self, receipts: &[Receipt]) -> Vec<BoxFuture<'static, Result<Settled, Unsettled>>> {
        if receipts.iter().all(|receipt| receipt.is_some() && receipt.queue < FIRST_EPHEMERAL) {
            return self.shared.submit_acknowledgements(receipts);
        }
        receipts.iter().map(|receipt| self.settle(receipt, Vec::new())).collect()
    }

    async fn give_back(&self, receipt: &Receipt) -> Result<()> {
        let mut state = lock(&self.shared.state);
        state.check_open()?;
        let wakes = state.give_back(receipt.queue, receipt.sequence, receipt.consumer);
        drop(state);
        wakes.ring();
        Ok(())
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

    async fn tap(&self, topic: &Topic, buffer_count: NonZeroU32) -> Result<Box<dyn Consumer>> {
        self.listen(topic, Mailbox::new(buffer_count, TAPPED_BYTES))
    }

    async fn browse(&self, queue: &Queue, start: Start, limit_count: u32, body_bytes: usize) -> Result<Page> {
        self.shared.clone().browse(queue, start, limit_count, body_bytes).await
    }

    async fn remove(&self, queue: &Queue, message: &Named) -> Result<bool> {
        self.shared.ask(|done| Operation::Take { queue: queue.clone(), position: message.cursor.0, done }).await
    }

    async fn redrive(&self, from: &Queue, message: &Named, to: &Queue, sent: Message) -> Result<bool> {
        self.shared.redrive(from, message.cursor.0, to, sent).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod crash;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod faults;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod full;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod looking;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod losses;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod model;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod space;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod stress;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;

/// Locks; a panic elsewhere does not make the content wrong, since every change is whole before anything can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
