//! What a consumer holds: deliveries on one channel, from their arrival to their acknowledgement.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;

use tokio::sync::Notify;

use super::acks::{Ack, acks};
use super::envelope::Incoming;
use crate::error::{PubsubError, Result};
use crate::lock::lock;
use crate::network::until;

/// How far a delivery is. All of these are unacknowledged for the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It was fetched ahead and waits for a `receive`.
    Waiting,
    /// It was received.
    Received,
    /// Its outputs are being published.
    Settling,
    /// It is being acknowledged or given back.
    Leaving,
    /// Its queue is gone.
    Gone,
}

/// Deliveries of one channel.
#[derive(Default)]
pub(super) struct HeldMessages {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    phases: BTreeMap<u64, Phase>,
    waiting: VecDeque<(u64, Incoming)>,
    end: Option<PubsubError>,
    /// Whether the broker has its consumer, as far as is known: never before it has it, and no longer once it is asked to end it.
    is_consuming: bool,
}

impl State {
    fn count_up_to(&self, tag: u64) -> usize {
        self.phases.range(..=tag).filter(|(_, phase)| **phase != Phase::Gone).count()
    }
}

impl HeldMessages {
    /// A delivery has come.
    pub(super) fn arrived(&self, tag: u64, incoming: Incoming) {
        let mut state = lock(&self.state);
        state.phases.insert(tag, Phase::Waiting);
        state.waiting.push_back((tag, incoming));
        drop(state);
        self.changed.notify_waiters();
    }

    /// The broker has a consumer that delivers here.
    pub(super) fn begun(&self) {
        lock(&self.state).is_consuming = true;
    }

    /// The broker has no such consumer any more, or soon will not.
    pub(super) fn stopped(&self) {
        lock(&self.state).is_consuming = false;
    }

    /// Whether the broker has a consumer that delivers here.
    pub(super) fn is_consuming(&self) -> bool {
        lock(&self.state).is_consuming
    }

    /// No more will come. What waits is given up: the broker delivers it again.
    pub(super) fn end(&self, error: PubsubError) {
        let mut state = lock(&self.state);
        state.end.get_or_insert(error);
        state.is_consuming = false;
        state.waiting.clear();
        drop(state);
        self.changed.notify_waiters();
    }

    /// The channel is lost: nothing of it can be settled any more.
    pub(super) fn mark_lost(&self) {
        lock(&self.state).phases.clear();
        self.changed.notify_waiters();
    }

    /// The queue is gone: what is not being settled cannot be settled any more.
    pub(super) fn mark_received_lost(&self) {
        let mut state = lock(&self.state);
        state.waiting.clear();
        state.phases.values_mut().filter(|phase| matches!(phase, Phase::Waiting | Phase::Received)).for_each(|phase| *phase = Phase::Gone);
    }

    /// How many deliveries up to a tag are unacknowledged.
    pub(super) fn count_up_to(&self, tag: u64) -> usize {
        lock(&self.state).count_up_to(tag)
    }

    /// The newest delivery.
    pub(super) fn last_tag(&self) -> u64 {
        lock(&self.state).phases.last_key_value().map_or(0, |(tag, _)| *tag)
    }

    /// Waits until fewer than so many of the deliveries up to a tag are unacknowledged.
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

    /// Waits until a delivery is there.
    pub(super) async fn readable(&self) -> Result<()> {
        self.when(|state| (!state.waiting.is_empty()).then_some(())).await
    }

    /// Waits until something is found, or no more will come.
    async fn when<T>(&self, mut found: impl FnMut(&mut State) -> Option<T>) -> Result<T> {
        self.until(|state| found(state).map(Ok).or_else(|| state.end.clone().map(Err))).await
    }

    /// Waits until something is found, which is looked for at each change.
    async fn until<T>(&self, found: impl FnMut(&mut State) -> Option<T>) -> T {
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

    /// Whether a delivery is being settled: its channel is there.
    pub(super) fn is_settling(&self, tag: u64) -> bool {
        lock(&self.state).phases.get(&tag) == Some(&Phase::Settling)
    }

    /// Begins to give a delivery back; `false` if it is not held.
    pub(super) fn begin_release(&self, tag: u64) -> bool {
        self.step(tag, Phase::Received, Phase::Leaving)
    }

    /// All deliveries that are not being settled begin to leave.
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

    /// How many the broker counts as unacknowledged.
    pub(super) fn count(&self) -> usize {
        self.count_up_to(u64::MAX)
    }

    /// These were acknowledged or given back, and the broker has been told.
    pub(super) fn left(&self, tags: impl IntoIterator<Item = u64>) {
        let mut state = lock(&self.state);
        for tag in tags {
            state.phases.remove(&tag);
        }
        drop(state);
        self.changed.notify_waiters();
    }
}
