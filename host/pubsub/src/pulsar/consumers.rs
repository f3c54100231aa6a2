//! The consumers of queues in this process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::mpsc;

use super::held::HeldMessages;
use super::publisher::Publishers;
use super::settling::requeue;
use super::subscription::Acknowledger;
use crate::backend::{Output, Receipt, Settled, Unsettled};
use crate::error::PubsubError;
use crate::lock::lock;
use crate::network::Settling;
use crate::topic::Queue;

/// The part of a consumer that settling needs.
pub(super) struct ConsumerEntry {
    queue: Queue,
    pub(super) held: Arc<HeldMessages>,
    /// `None` for requests, which the broker forgets as it sends them.
    acknowledger: Option<Acknowledger>,
    /// Whether its queue was deleted in this process.
    is_deleted: Arc<AtomicBool>,
    /// Taken when the consumer leaves. The lock keeps its order the same as that of the publishers.
    settles: Mutex<Option<mpsc::Sender<Settling>>>,
}

/// All consumers, by number.
#[derive(Default)]
pub(super) struct Consumers {
    entries: Mutex<HashMap<u64, Arc<ConsumerEntry>>>,
    last_number: AtomicU64,
}

impl Consumers {
    /// Adds a consumer; returns its number, and the flag that is set when its queue is deleted.
    pub(super) fn add(
        &self,
        queue: Queue,
        held: Arc<HeldMessages>,
        acknowledger: Option<Acknowledger>,
        settles: mpsc::Sender<Settling>,
    ) -> (u64, Arc<AtomicBool>) {
        let number = self.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        let is_deleted = Arc::new(AtomicBool::new(false));
        let entry = ConsumerEntry { queue, held, acknowledger, is_deleted: is_deleted.clone(), settles: Mutex::new(Some(settles)) };
        lock(&self.entries).insert(number, Arc::new(entry));
        (number, is_deleted)
    }

    /// Removes a consumer: its messages can no longer be settled.
    pub(super) fn remove(&self, number: u64) {
        let entry = lock(&self.entries).remove(&number);
        if let Some(entry) = entry {
            lock(&entry.settles).take();
        }
    }

    fn get(&self, receipt: &Receipt) -> Option<Arc<ConsumerEntry>> {
        lock(&self.entries).get(&receipt.consumer).cloned()
    }

    /// All current consumers.
    pub(super) fn all(&self) -> Vec<Arc<ConsumerEntry>> {
        lock(&self.entries).values().cloned().collect()
    }

    fn of(&self, queue: &Queue) -> Vec<Arc<ConsumerEntry>> {
        lock(&self.entries).values().filter(|entry| entry.queue == *queue).cloned().collect()
    }

    /// How many messages of a queue this process holds.
    pub(super) fn held_count(&self, queue: &Queue) -> u64 {
        self.of(queue).iter().map(|entry| entry.held.count() as u64).sum()
    }

    /// Whether this process holds a message.
    pub(super) fn holds(&self, queue: &Queue, ledger: u64, entry: u64) -> bool {
        self.of(queue).iter().any(|consumer| consumer.held.holds(ledger, entry))
    }

    /// Marks the messages of a deleted queue, which can no longer be settled; its consumers end.
    pub(super) fn queue_is_gone(&self, queue: &Queue) {
        for entry in self.of(queue) {
            entry.is_deleted.store(true, Ordering::Release);
            entry.held.mark_received_lost();
            entry.held.end(PubsubError::no_queue(queue));
        }
    }

    /// Settles a delivery. Its outputs are passed to the publishers at once, so that messages are in the order of the calls.
    pub(super) fn settle(
        &self,
        receipt: &Receipt,
        outputs: Vec<Output>,
        publishers: &Arc<Publishers>,
    ) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        let none = async { Ok(Settled::NoLongerHeld) }.boxed();
        let tag = receipt.delivery;
        let Some(entry) = self.get(receipt) else { return none };
        let settles = lock(&entry.settles);
        let Some(settles) = settles.as_ref() else { return none };
        let is_lost = entry.acknowledger.as_ref().is_some_and(|acknowledger| !acknowledger.is_up());
        if is_lost || !entry.held.begin_settle(tag) {
            return none;
        }
        Settling::begin(settles, tag, outputs, |topic, message| publishers.publish(topic, message, None, None))
    }

    /// Requeues a delivery.
    pub(super) async fn requeue(&self, receipt: &Receipt) {
        if let Some(entry) = self.get(receipt) {
            requeue(entry.acknowledger.as_ref(), &entry.held, receipt.delivery).await;
        }
    }
}
