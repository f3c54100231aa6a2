//! The messages that a consumer holds, from arrival to acknowledgement.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::envelope::Incoming;
use super::proto::MessageIdData;
use crate::error::{PubsubError, Result};
use crate::lock::lock;
use crate::message::Message;
use crate::network::until;

/// The maximum number and size of requests waiting in this process: without room they are lost, since the broker does not store them.
const WAITING_COUNT: usize = 1024;
const WAITING_BYTES: u64 = 64 << 20;

/// The phase of a message.
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

impl Phase {
    fn is_taken(self) -> bool {
        matches!(self, Phase::Received | Phase::Settling | Phase::Leaving)
    }
}

/// Messages that the broker stores and sends as one entry: nearly always a single one.
#[derive(Debug)]
pub(super) struct HeldEntry {
    pub(super) id: MessageIdData,
    count: usize,
    left_count: AtomicUsize,
}

impl HeldEntry {
    pub(super) fn new(id: MessageIdData, count: usize) -> Arc<Self> {
        Arc::new(HeldEntry { id, count, left_count: AtomicUsize::new(count) })
    }

    /// Counts one of its messages as done; returns whether all are.
    pub(super) fn done(&self) -> bool {
        self.left_count.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether all of its messages are done.
    pub(super) fn is_done(&self) -> bool {
        self.left_count.load(Ordering::Acquire) == 0
    }
}

struct HeldMessage {
    phase: Phase,
    entry: Arc<HeldEntry>,
    incoming: Incoming,
    delivered_count: u32,
}

/// Where a requeued message goes.
#[derive(Debug, PartialEq)]
pub(super) enum RequeueTarget {
    /// To the broker.
    Broker(MessageIdData),
    /// It waits here again.
    Here,
    /// It was not held.
    Nowhere,
}

/// The messages of one consumer.
pub(super) struct HeldMessages {
    state: Mutex<HeldState>,
    changed: Notify,
    freed: Notify,
    /// Whether the broker forgets what it has sent, as for requests.
    is_local: bool,
}

struct HeldState {
    messages: BTreeMap<u64, HeldMessage>,
    waiting: VecDeque<u64>,
    waiting_bytes: u64,
    /// The number of messages that are neither waiting nor gone.
    taken_count: usize,
    gone_count: usize,
    last_tag: u64,
    window: usize,
    end: Option<PubsubError>,
}

impl HeldState {
    fn set(&mut self, tag: u64, to: Phase) {
        let Some(one) = self.messages.get_mut(&tag) else { return };
        let from = std::mem::replace(&mut one.phase, to);
        self.taken_count = self.taken_count + usize::from(to.is_taken()) - usize::from(from.is_taken());
        self.gone_count = self.gone_count + usize::from(to == Phase::Gone) - usize::from(from == Phase::Gone);
    }

    fn remove(&mut self, tag: u64) {
        if let Some(one) = self.messages.remove(&tag) {
            self.taken_count -= usize::from(one.phase.is_taken());
            self.gone_count -= usize::from(one.phase == Phase::Gone);
        }
    }

    fn stop_waiting(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
    }

    /// The next waiting message, if the window has room for it.
    fn next(&mut self, is_local: bool) -> Option<u64> {
        if is_local && self.taken_count >= self.window {
            return None;
        }
        while let Some(tag) = self.waiting.pop_front() {
            let Some(one) = self.messages.get(&tag) else { continue };
            self.waiting_bytes = self.waiting_bytes.saturating_sub(one.incoming.message.memory_bytes());
            if !one.incoming.has_expired() {
                return Some(tag);
            }
            self.remove(tag);
        }
        None
    }
}

impl HeldMessages {
    pub(super) fn new(window: u32, is_local: bool) -> Self {
        let state = HeldState {
            messages: BTreeMap::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            taken_count: 0,
            gone_count: 0,
            last_tag: 0,
            window: window as usize,
            end: None,
        };
        HeldMessages { state: Mutex::new(state), changed: Notify::new(), freed: Notify::new(), is_local }
    }

    /// Adds a message that has arrived.
    pub(super) fn arrived(&self, entry: &Arc<HeldEntry>, incoming: Incoming, delivered_count: u32) {
        let mut state = lock(&self.state);
        if state.end.is_some() {
            return;
        }
        state.last_tag += 1;
        let tag = state.last_tag;
        state.waiting_bytes += incoming.message.memory_bytes();
        state.messages.insert(tag, HeldMessage { phase: Phase::Waiting, entry: entry.clone(), incoming, delivered_count });
        state.waiting.push_back(tag);
        drop(state);
        self.changed.notify_waiters();
    }

    pub(super) fn set_window(&self, window: u32) {
        lock(&self.state).window = window as usize;
        self.changed.notify_waiters();
        self.freed.notify_one();
    }

    /// How many more messages the broker may send.
    pub(super) fn room(&self) -> usize {
        let state = lock(&self.state);
        if state.end.is_some() {
            return 0;
        }
        if !self.is_local {
            return state.window.saturating_sub(state.messages.len() - state.gone_count);
        }
        if state.waiting_bytes > WAITING_BYTES { 0 } else { WAITING_COUNT.saturating_sub(state.waiting.len()) }
    }

    pub(super) fn window(&self) -> usize {
        lock(&self.state).window
    }

    /// Waits until there may be more room than before.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Ends the messages. Those not yet received are abandoned: the broker redelivers them.
    pub(super) fn end(&self, error: PubsubError) {
        let mut state = lock(&self.state);
        state.end.get_or_insert(error);
        state.stop_waiting();
        drop(state);
        self.changed.notify_waiters();
    }

    /// The consumer is lost: none of its messages can be settled any more.
    pub(super) fn mark_lost(&self) {
        let mut state = lock(&self.state);
        state.messages.clear();
        state.stop_waiting();
        (state.taken_count, state.gone_count) = (0, 0);
        drop(state);
        self.changed.notify_waiters();
    }

    /// The queue is gone: messages that are not being settled can no longer be settled.
    pub(super) fn mark_received_lost(&self) {
        let mut state = lock(&self.state);
        state.stop_waiting();
        let tags: Vec<u64> =
            state.messages.iter().filter(|(_, one)| matches!(one.phase, Phase::Waiting | Phase::Received)).map(|(tag, _)| *tag).collect();
        tags.into_iter().for_each(|tag| state.set(tag, Phase::Gone));
    }

    /// Waits for a message and takes it; returns its number, the message, and its delivery count.
    pub(super) async fn receive(&self) -> Result<(u64, Message, u32)> {
        let received = self.when(|state, is_local| {
            let tag = state.next(is_local)?;
            state.set(tag, Phase::Received);
            let one = state.messages.get(&tag)?;
            Some((tag, one.incoming.shown(), one.delivered_count))
        });
        let received = received.await;
        if self.is_local {
            self.freed.notify_one();
        }
        received
    }

    /// Waits until a message is available.
    pub(super) async fn readable(&self) -> Result<()> {
        self.when(|state, is_local| {
            let has_room = !is_local || state.taken_count < state.window;
            let is_fresh = |tag: &u64| state.messages.get(tag).is_some_and(|one| !one.incoming.has_expired());
            (has_room && state.waiting.iter().any(is_fresh)).then_some(())
        })
        .await
    }

    /// Waits until `found` returns a value, or no more messages will arrive.
    async fn when<T>(&self, mut found: impl FnMut(&mut HeldState, bool) -> Option<T>) -> Result<T> {
        self.until(|state| found(state, self.is_local).map(Ok).or_else(|| state.end.clone().map(Err))).await
    }

    /// Waits until `found` returns a value; it is called after each change.
    async fn until<T>(&self, found: impl FnMut(&mut HeldState) -> Option<T>) -> T {
        until(&self.state, &self.changed, found).await
    }

    /// Waits until nothing is being settled.
    pub(super) async fn quiet(&self) {
        let is_busy = |one: &HeldMessage| matches!(one.phase, Phase::Settling | Phase::Leaving);
        self.until(|state| (!state.messages.values().any(is_busy)).then_some(())).await;
    }

    /// Begins a settle; `false` if the message is not held.
    pub(super) fn begin_settle(&self, tag: u64) -> bool {
        self.step(tag, Phase::Received, Phase::Settling)
    }

    /// A settle failed: the message is held as before.
    pub(super) fn settle_failed(&self, tag: u64) {
        self.step(tag, Phase::Settling, Phase::Received);
        self.changed.notify_waiters();
    }

    /// The entry of a message that is being settled; `None` if it was lost.
    pub(super) fn settling(&self, tag: u64) -> Option<Arc<HeldEntry>> {
        let state = lock(&self.state);
        state.messages.get(&tag).filter(|one| one.phase == Phase::Settling).map(|one| one.entry.clone())
    }

    /// Begins to requeue a message. One of a batch waits here again, since the broker can only redeliver the whole batch.
    pub(super) fn begin_requeue(&self, tag: u64) -> RequeueTarget {
        let mut state = lock(&self.state);
        let Some(one) = state.messages.get_mut(&tag).filter(|one| one.phase == Phase::Received) else { return RequeueTarget::Nowhere };
        if !self.is_local && one.entry.count == 1 {
            let id = one.entry.id.clone();
            state.set(tag, Phase::Leaving);
            return RequeueTarget::Broker(id);
        }
        one.delivered_count = one.delivered_count.saturating_add(1);
        let bytes = one.incoming.message.memory_bytes();
        state.waiting_bytes += bytes;
        state.set(tag, Phase::Waiting);
        let at = state.waiting.partition_point(|other| *other < tag);
        state.waiting.insert(at, tag);
        drop(state);
        self.changed.notify_waiters();
        RequeueTarget::Here
    }

    /// Releases all messages that are not being settled, when the consumer leaves.
    pub(super) fn release_all(&self) {
        let mut state = lock(&self.state);
        state.stop_waiting();
        let tags: Vec<u64> =
            state.messages.iter().filter(|(_, one)| !matches!(one.phase, Phase::Settling | Phase::Leaving)).map(|(tag, _)| *tag).collect();
        tags.into_iter().for_each(|tag| state.remove(tag));
    }

    fn step(&self, tag: u64, from: Phase, to: Phase) -> bool {
        let mut state = lock(&self.state);
        let is_there = state.messages.get(&tag).is_some_and(|one| one.phase == from);
        if is_there {
            state.set(tag, to);
        }
        is_there
    }

    /// The number of messages held, including waiting ones.
    pub(super) fn count(&self) -> usize {
        let state = lock(&self.state);
        state.messages.len() - state.gone_count
    }

    /// Whether a message of this entry is held.
    pub(super) fn holds(&self, ledger: u64, entry: u64) -> bool {
        lock(&self.state)
            .messages
            .values()
            .any(|one| (one.entry.id.ledger, one.entry.id.entry) == (ledger, entry) && one.phase != Phase::Gone)
    }

    /// Removes messages that were acknowledged or requeued.
    pub(super) fn left(&self, tags: impl IntoIterator<Item = u64>) {
        let mut state = lock(&self.state);
        for tag in tags {
            state.remove(tag);
        }
        drop(state);
        self.changed.notify_waiters();
        self.freed.notify_one();
    }
}
