//! The consumers of shared queues in this process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, FutureExt};
use lapin::Channel;
use tokio::sync::mpsc;

use super::held::HeldMessages;
use super::lifecycle::LocalUse;
use super::publisher::Publisher;
use super::settling::requeue;
use crate::backend::{Output, Receipt, Settled, Unsettled};
use crate::error::Result;
use crate::lock::lock;
use crate::network::Settling;
use crate::topic::Queue;

/// The part of a consumer that settling needs.
pub(super) struct ConsumerEntry {
    pub(super) queue: Queue,
    pub(super) channel: Channel,
    pub(super) held: Arc<HeldMessages>,
    /// Taken when the consumer leaves. The lock keeps its order the same as that of the publisher.
    settles: Mutex<Option<mpsc::Sender<Settling>>>,
}

/// All consumers, by number.
#[derive(Default)]
pub(super) struct Consumers {
    entries: Mutex<HashMap<u64, Arc<ConsumerEntry>>>,
    last_number: AtomicU64,
}

impl Consumers {
    /// Adds a consumer; returns its number.
    pub(super) fn add(&self, queue: Queue, channel: Channel, held: Arc<HeldMessages>, settles: mpsc::Sender<Settling>) -> u64 {
        let number = self.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = ConsumerEntry { queue, channel, held, settles: Mutex::new(Some(settles)) };
        lock(&self.entries).insert(number, Arc::new(entry));
        number
    }

    /// Removes a consumer: its deliveries can no longer be settled.
    pub(super) fn remove(&self, number: u64) {
        let entry = lock(&self.entries).remove(&number);
        if let Some(entry) = entry {
            lock(&entry.settles).take();
        }
    }

    fn get(&self, receipt: &Receipt) -> Option<Arc<ConsumerEntry>> {
        let number = receipt.consumer;
        lock(&self.entries).get(&number).cloned()
    }

    /// How many consumers of a queue this process has at the broker, and how many deliveries it holds, including those of consumers that the broker
    /// has ended or that are changing their window.
    pub(super) fn of(&self, queue: &Queue) -> LocalUse {
        let entries = lock(&self.entries);
        let mut own = LocalUse::default();
        for entry in entries.values().filter(|entry| entry.queue == *queue) {
            own.consumer_count += u64::from(entry.held.is_consuming() && entry.channel.status().connected());
            own.held_count += entry.held.count() as u64;
        }
        own
    }

    /// Marks the deliveries of a deleted queue: they can no longer be settled.
    pub(super) fn queue_is_gone(&self, queue: &Queue) {
        let entries = lock(&self.entries);
        entries.values().filter(|entry| entry.queue == *queue).for_each(|entry| entry.held.mark_received_lost());
    }

    /// All current consumers.
    pub(super) fn all(&self) -> Vec<Arc<ConsumerEntry>> {
        lock(&self.entries).values().cloned().collect()
    }

    /// Settles a delivery. Its outputs are passed to the publisher at once, so that messages are in the order of the calls.
    pub(super) fn settle(
        &self,
        receipt: &Receipt,
        outputs: Vec<Output>,
        publisher: &Publisher,
    ) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        let none = async { Ok(Settled::NoLongerHeld) }.boxed();
        let tag = receipt.delivery;
        let Some(entry) = self.get(receipt) else { return none };
        let settles = lock(&entry.settles);
        let Some(settles) = settles.as_ref() else { return none };
        if !entry.channel.status().connected() || !entry.held.begin_settle(tag) {
            return none;
        }
        Settling::begin(settles, tag, outputs, |topic, message| publisher.publish(topic, message, None))
    }

    /// Requeues a delivery.
    pub(super) async fn requeue(&self, receipt: &Receipt) {
        let tag = receipt.delivery;
        let Some(entry) = self.get(receipt) else { return };
        if entry.held.begin_release(tag) {
            requeue(&entry.channel, &entry.held, vec![tag]).await;
        }
    }
}
