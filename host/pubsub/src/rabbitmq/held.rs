//! The deliveries that a consumer holds on one channel, from arrival to acknowledgement.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;

use tokio::sync::Notify;

use super::acks::{Ack, acks};
use super::envelope::Incoming;
use crate::error::{PubsubError, Result};
use crate::lock::lock;
use crate::network::until;

/// The phase of a delivery. In all phases it is unacknowledged at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Prefetched, waiting for a `receive`.
    Waiting,
    /// Received.
    Received,
    /// Its outputs are being published.
    Settling,
    /// Being acknowledged or requeued.
    Leaving,
    /// Its queue was deleted.
    Gone,
}

/// Deliveries of one channel.
#[derive(Default)]
pub(super) struct HeldMessages {
    state: Mutex<HeldState>,
    changed: Notify,
}

#[derive(Default)]
struct HeldState {
    phases: BTreeMap<u64, Phase>,
    waiting: VecDeque<(u64, Incoming)>,
    end: Option<PubsubError>,
    /// Whether the broker has the consumer, as far as known: false until it is confirmed, and as soon as its end is requested.
    is_consuming: bool,
}

impl HeldState {
    fn count_up_to(&self, tag: u64) -> usize {
        self.phases.range(..=tag).filter(|(_, phase)| **phase != Phase::Gone).count()
    }
}

impl HeldMessages {
    /// Adds a delivery that has arrived.
    pub(super) fn arrived(&self, tag: u64, incoming: Incoming) {
        let mut state = lock(&self.state);
        state.phases.insert(tag, Phase::Waiting);
        state.waiting.push_back((tag, incoming));
        drop(state);
        self.changed.notify_waiters();
    }

    /// Records that the broker has a consumer that delivers here.
    pub(super) fn begun(&self) {
        lock(&self.state).is_consuming = true;
    }

    /// Records that the broker has no such consumer any more, or soon will not.
    pub(super) fn stopped(&self) {
        lock(&self.state).is_consuming = false;
    }

    /// Whether the broker has a consumer that delivers here.
    pub(super) fn is_consuming(&self) -> bool {
        lock(&self.state).is_consuming
    }

    /// Ends the deliveries. Those not yet received are abandoned: the broker redelivers them.
    pub(super) fn end(&self, error: PubsubError) {
        let mut state = lock(&self.state);
        state.end.get_or_insert(error);
        state.is_consuming = false;
        state.waiting.clear();
        drop(state);
        self.changed.notify_waiters();
    }

    /// The channel is lost: none of its deliveries can be settled any more.
    pub(super) fn mark_lost(&self) {
        lock(&self.state).phases.clear();
        self.changed.notify_waiters();
    }

    /// The queue is gone: deliveries that are not being settled can no longer be settled.
    pub(super) fn mark_received_lost(&self) {
        let mut state = lock(&self.state);
        state.waiting.clear();
        state.phases.values_mut().filter(|phase| matches!(phase, Phase::Waiting | Phase::Received)).for_each(|phase| *phase = Phase::Gone);
    }

    /// The number of unacknowledged deliveries up to a tag.
    pub(super) fn count_up_to(&self, tag: u64) -> usize {
        lock(&self.state).count_up_to(tag)
    }

    /// The tag of the newest delivery; 0 if there is none.
    pub(super) fn last_tag(&self) -> u64 {
        lock(&self.state).phases.last_key_value().map_or(0, |(tag, _)| *tag)
    }

    /// Waits until fewer than `count` of the deliveries up to a tag are unacknowledged.
    pub(super) async fn fewer_up_to(&self, tag: u64, count: usize) {
        self.until(|state| (state.count_up_to(tag) < count).then_some(())).await;
    }

    /// Waits for a delivery and takes it.
    pub(super) async fn receive(&self) -> Result<(u64, Incoming)> {
        self.when(|state| {
            let (tag, incoming) = state.waiting.pop_front()?;
            state.phases.insert(tag, Phase::Received);
            Some((tag, incoming))
        })
        .await
    }

    /// Waits until a delivery is available.
    pub(super) async fn readable(&self) -> Result<()> {
        self.when(|state| (!state.waiting.is_empty()).then_some(())).await
    }

    /// Waits until `found` returns a value, or no more deliveries will arrive.
    async fn when<T>(&self, mut found: impl FnMut(&mut HeldState) -> Option<T>) -> Result<T> {
        self.until(|state| found(state).map(Ok).or_else(|| state.end.clone().map(Err))).await
    }

    /// Waits until `found` returns a value; it is called after each change.
    async fn until<T>(&self, found: impl FnMut(&mut HeldState) -> Option<T>) -> T {
        until(&self.state, &self.changed, found).await
    }

    /// Waits until nothing is being settled.
    pub(super) async fn quiet(&self) {
        let is_busy = |phase: &Phase| matches!(phase, Phase::Settling | Phase::Leaving);
        self.until(|state| (!state.phases.values().any(is_busy)).then_some(())).await;
    }

    /// Begins a settle; `false` if the delivery is not held.
    pub(super) fn begin_settle(&self, tag: u64) -> bool {
        self.step(tag, Phase::Received, Phase::Settling)
    }

    /// A settle failed: the delivery is held as before.
    pub(super) fn settle_failed(&self, tag: u64) {
        self.step(tag, Phase::Settling, Phase::Received);
        self.changed.notify_waiters();
    }

    /// Whether a delivery is being settled, which implies that its channel is open.
    pub(super) fn is_settling(&self, tag: u64) -> bool {
        lock(&self.state).phases.get(&tag) == Some(&Phase::Settling)
    }

    /// Begins to requeue a delivery; `false` if it is not held.
    pub(super) fn begin_release(&self, tag: u64) -> bool {
        self.step(tag, Phase::Received, Phase::Leaving)
    }

    /// Begins to requeue all deliveries that are not being settled.
    pub(super) fn release_all(&self) -> Vec<u64> {
        let mut state = lock(&self.state);
        state.waiting.clear();
        let leaving = state.phases.iter_mut().filter(|(_, phase)| matches!(phase, Phase::Waiting | Phase::Received));
        leaving
            .map(|(tag, phase)| {
                *phase = Phase::Leaving;
                *tag
            })
            .collect()
    }

    fn step(&self, tag: u64, from: Phase, to: Phase) -> bool {
        match lock(&self.state).phases.get_mut(&tag) {
            Some(phase) if *phase == from => {
                *phase = to;
                true
            }
            _ => false,
        }
    }

    /// The acknowledgements for deliveries that are done, all of which are held.
    pub(super) fn acks(&self, done: &BTreeSet<u64>) -> Vec<Ack> {
        acks(lock(&self.state).phases.keys().copied(), done)
    }

    /// The number that the broker counts as unacknowledged.
    pub(super) fn count(&self) -> usize {
        self.count_up_to(u64::MAX)
    }

    /// Removes deliveries that were acknowledged or requeued, after the broker was notified.
    pub(super) fn left(&self, tags: impl IntoIterator<Item = u64>) {
        let mut state = lock(&self.state);
        for tag in tags {
            state.phases.remove(&tag);
        }
        drop(state);
        self.changed.notify_waiters();
    }
}
