//! The consumers of queues that this process has.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::mpsc;

use super::held::Held;
use super::lane::Lanes;
use super::settling::give_back;
use super::subscription::Voice;
use crate::backend::{Output, Receipt, Settled, Unsettled};
use crate::error::PubsubError;
use crate::lock::lock;
use crate::network::Settling;
use crate::topic::Queue;

/// A consumer, for those who settle.
pub(super) struct Entry {
    queue: Queue,
    pub(super) held: Arc<Held>,
    /// None of requests, which the broker forgets as it sends them.
    voice: Option<Voice>,
    /// Whether its queue was deleted in this process.
    is_deleted: Arc<AtomicBool>,
    /// Taken when the consumer leaves. Settles are given to it and to the lanes in one order.
    settles: Mutex<Option<mpsc::Sender<Settling>>>,
}

/// All consumers, by number.
#[derive(Default)]
pub(super) struct Consumers {
    entries: Mutex<HashMap<u64, Arc<Entry>>>,
    last_number: AtomicU64,
}

impl Consumers {
    /// Adds a consumer; returns its number, and what says whether its queue was deleted.
    pub(super) fn add(
        &self,
        queue: Queue,
        held: Arc<Held>,
        voice: Option<Voice>,
        settles: mpsc::Sender<Settling>,
    ) -> (u64, Arc<AtomicBool>) {
        let number = self.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        let is_deleted = Arc::new(AtomicBool::new(false));
        let entry = Entry { queue, held, voice, is_deleted: is_deleted.clone(), settles: Mutex::new(Some(settles)) };
        lock(&self.entries).insert(number, Arc::new(entry));
        (number, is_deleted)
    }

    /// Removes a consumer: what it holds can no longer be settled.
    pub(super) fn remove(&self, number: u64) {
        let entry = lock(&self.entries).remove(&number);
        if let Some(entry) = entry {
            lock(&entry.settles).take();
        }
    }

    fn get(&self, receipt: &Receipt) -> Option<Arc<Entry>> {
        lock(&self.entries).get(&receipt.consumer).cloned()
    }

    /// All consumers there are.
    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        lock(&self.entries).values().cloned().collect()
    }

    fn of(&self, queue: &Queue) -> Vec<Arc<Entry>> {
        lock(&self.entries).values().filter(|entry| entry.queue == *queue).cloned().collect()
    }

    /// How many messages of a queue are held here.
    pub(super) fn held_count(&self, queue: &Queue) -> u64 {
        self.of(queue).iter().map(|entry| entry.held.count() as u64).sum()
    }

    /// Whether a message is held here.
    pub(super) fn holds(&self, queue: &Queue, ledger: u64, entry: u64) -> bool {
        self.of(queue).iter().any(|consumer| consumer.held.holds(ledger, entry))
    }

    /// What is held of a queue that was deleted can no longer be settled, and its consumers end.
    pub(super) fn queue_is_gone(&self, queue: &Queue) {
        for entry in self.of(queue) {
            entry.is_deleted.store(true, Ordering::Release);
            entry.held.lose_received();
            entry.held.end(PubsubError::no_queue(queue));
        }
    }

    /// Settles a delivery. Its outputs are given to the lanes at once, so that the order of the calls is that of the messages.
    pub(super) fn settle(
        &self,
        receipt: &Receipt,
        outputs: Vec<Output>,
        lanes: &Arc<Lanes>,
    ) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        let none = async { Ok(Settled::NoLongerHeld) }.boxed();
        let tag = receipt.delivery;
        let Some(entry) = self.get(receipt) else { return none };
        let settles = lock(&entry.settles);
        let Some(settles) = settles.as_ref() else { return none };
        let is_lost = entry.voice.as_ref().is_some_and(|voice| !voice.is_up());
        if is_lost || !entry.held.begin_settle(tag) {
            return none;
        }
        Settling::begin(settles, tag, outputs, |topic, message| lanes.publish(topic, message, None, None))
    }

    /// Gives a delivery back.
    pub(super) async fn give_back(&self, receipt: &Receipt) {
        if let Some(entry) = self.get(receipt) {
            give_back(entry.voice.as_ref(), &entry.held, receipt.delivery).await;
        }
    }
}
