//! The status of each variant: counters, states and errors.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::time::Instant;
use weir_config::records::{ComponentRef, ProcessorState, ProcessorStatus, Refusal};

/// A rate over a shorter time is not meaningful.
const SHORTEST_RATE: Duration = Duration::from_secs(1);
/// The longest reported error, in bytes.
const MAX_ERROR_BYTES: usize = 2 << 10;

/// Identifies a variant: processor and variant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct VariantKey {
    pub(crate) processor: String,
    pub(crate) variant: String,
}

/// Counters since the host's start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) handled: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) trapped: AtomicU64,
    pub(crate) dead: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) received: AtomicU64,
    /// Received messages that are settled, requeued or dropped.
    pub(crate) no_longer_in_flight: AtomicU64,
    /// Messages meanwhile settled by another consumer.
    pub(crate) no_longer_held: AtomicU64,
    /// Tasks that panicked and were restarted.
    pub(crate) restarts: AtomicU64,
    /// The size of messages that were sent and are not settled yet.
    pub(crate) outputs_bytes: AtomicU64,
    /// Workers that wait for budget for their outputs.
    pub(crate) waiting_for_outputs: AtomicU64,
    /// The number of waits for an instance slot.
    waiting_for_slot: AtomicU64,
}

impl Counters {
    pub(crate) fn in_flight(&self) -> u64 {
        let no_longer_in_flight = self.no_longer_in_flight.load(Ordering::Relaxed);
        self.received.load(Ordering::Relaxed).saturating_sub(no_longer_in_flight)
    }
}

/// Adds one to a counter.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A message in flight, counted until this is dropped, for whatever reason.
pub(crate) struct InFlight(Arc<VariantStatus>);

impl InFlight {
    /// Counts a message that was received.
    pub(crate) fn begin(status: &Arc<VariantStatus>) -> Self {
        count(&status.counters.received);
        InFlight(status.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        count(&self.0.counters.no_longer_in_flight);
    }
}

/// A worker or a setup that waits for an instance slot, counted until this is dropped.
pub(crate) struct WaitingForSlot(Arc<VariantStatus>);

impl WaitingForSlot {
    pub(crate) fn begin(status: &Arc<VariantStatus>) -> Self {
        count(&status.counters.waiting_for_slot);
        WaitingForSlot(status.clone())
    }
}

impl Drop for WaitingForSlot {
    fn drop(&mut self) {
        self.0.counters.waiting_for_slot.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The status of one variant.
pub(crate) struct VariantStatus {
    pub(crate) key: VariantKey,
    pub(crate) counters: Counters,
    shown: Mutex<StatusState>,
    /// Whether some error is unresolved: read for each message.
    has_errors: AtomicBool,
    changed: Arc<Notify>,
}

/// The source of an error: the error is resolved when its source works again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ErrorSource {
    /// The component that the entry names, or its previous one.
    Component,
    /// The consumer of an input, or its settles.
    Input(String),
    /// The setup of an instance, or a change of the configuration.
    Setup,
    /// Instances that are replaced too often.
    Memory,
    /// One message.
    Message,
}

impl ErrorSource {
    /// Whether it lasts, so that finding it again is nothing new.
    fn is_ongoing(&self) -> bool {
        self.stops_work() || *self == ErrorSource::Memory
    }

    /// Whether no message is handled or settled until the error is resolved.
    fn stops_work(&self) -> bool {
        matches!(self, ErrorSource::Component | ErrorSource::Input(_))
    }
}

/// A part of an input that can be blocked. Each is recorded by its own owner, independently of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum InputPart {
    /// Its consumer: whether it exists and receives messages.
    Consumer,
    /// Its settles, in their order.
    Settles,
}

/// The newest error of its kind.
struct NotedError {
    text: String,
    time_ms: u64,
    over_ms: Option<u64>,
}

struct StatusState {
    state: ProcessorState,
    flow: Option<String>,
    component: Option<ComponentRef>,
    wanted: Option<ComponentRef>,
    refused: Option<Refusal>,
    /// Blocked parts of inputs, with the reason if known.
    waiting: BTreeMap<(String, InputPart), Option<String>>,
    errors: BTreeMap<ErrorSource, NotedError>,
    rate: Rate,
}

/// The time and the number of handled messages when the rate was taken, and the rate.
struct Rate {
    taken: Instant,
    handled: u64,
    per_1000_s: u64,
}

impl Rate {
    fn now(&self, handled: u64) -> u64 {
        let elapsed = self.taken.elapsed();
        match elapsed < SHORTEST_RATE {
            true => self.per_1000_s,
            false => (handled.saturating_sub(self.handled) as f64 * 1_000.0 / elapsed.as_secs_f64()) as u64,
        }
    }
}

impl VariantStatus {
    pub(crate) fn new(key: VariantKey, changed: Arc<Notify>) -> Self {
        let shown = StatusState {
            state: ProcessorState::Starting,
            flow: None,
            component: None,
            wanted: None,
            refused: None,
            waiting: BTreeMap::new(),
            errors: BTreeMap::new(),
            rate: Rate { taken: Instant::now(), handled: 0, per_1000_s: 0 },
        };
        VariantStatus { key, counters: Counters::default(), shown: Mutex::new(shown), has_errors: AtomicBool::new(false), changed }
    }

    pub(crate) fn set_state(&self, state: ProcessorState) {
        let mut shown = self.lock();
        if shown.state != state {
            shown.state = state;
            self.changed.notify_one();
        }
    }

    pub(crate) fn set_work(&self, flow: Option<&str>, component: Option<&ComponentRef>) {
        let mut shown = self.lock();
        shown.flow = flow.map(str::to_owned);
        shown.component = component.cloned();
        self.changed.notify_one();
    }

    /// Records that nothing runs.
    pub(crate) fn set_nothing_runs(&self) {
        if self.lock().component.take().is_some() {
            self.changed.notify_one();
        }
    }

    /// Records the component of the entry before anything is done about it: earlier refusals do not apply to it.
    pub(crate) fn set_desired(&self, wanted: Option<&ComponentRef>) {
        let mut shown = self.lock();
        if shown.wanted.as_ref() != wanted {
            shown.wanted = wanted.cloned();
            shown.refused.take_if(|refused| Some(&refused.component) == wanted);
            self.changed.notify_one();
        }
    }

    /// Records a component that the entry names and the host does not run. A temporary failure is retried repeatedly: the same finding
    /// keeps its first time. A permanent one is tried once for each desired state, and its finding is then a new one, on which the flow
    /// service acts.
    pub(crate) fn set_refused(&self, refused: Option<Refusal>) {
        let mut shown = self.lock();
        let is_known = match (&shown.refused, &refused) {
            (Some(old), Some(new)) if !new.permanent => {
                (&old.component, &old.problem, old.permanent) == (&new.component, &new.problem, new.permanent)
            }
            (old, new) => old == new,
        };
        if !is_known {
            shown.refused = refused;
            self.changed.notify_one();
        }
    }

    /// The entry no longer names the refused component; a permanent refusal is still worth showing.
    pub(crate) fn forget_passing_refusal(&self) {
        let mut shown = self.lock();
        if shown.refused.take_if(|refused| !refused.permanent).is_some() {
            self.changed.notify_one();
        }
    }

    /// Records the inputs of a starting processor, which wait for their consumers. Others are no longer waited for.
    pub(crate) fn set_inputs<'n>(&self, inputs: impl Iterator<Item = &'n str>) {
        let waiting: BTreeMap<_, _> = inputs.map(|input| ((input.to_owned(), InputPart::Consumer), None)).collect();
        self.end_errors(|of| matches!(of, ErrorSource::Input(input) if !waiting.contains_key(&(input.clone(), InputPart::Consumer))));
        self.lock().waiting = waiting;
        self.changed.notify_one();
    }

    /// Records why a part of an input is blocked.
    pub(crate) fn input_fails(&self, input: &str, part: InputPart, reason: &str) {
        self.note_error(ErrorSource::Input(input.to_owned()), reason);
        let reason = Some(reason.to_owned());
        if self.lock().waiting.insert((input.to_owned(), part), reason.clone()) != Some(reason) {
            self.changed.notify_one();
        }
    }

    /// Records that a part of an input continues. Problems of another part are still shown.
    pub(crate) fn input_goes_on(&self, input: &str, part: InputPart) {
        let left = {
            let mut shown = self.lock();
            if shown.waiting.remove(&(input.to_owned(), part)).is_none() {
                return;
            }
            shown.waiting.iter().find(|((of, _), _)| of == input).and_then(|(_, reason)| reason.clone())
        };
        match left {
            Some(reason) => self.note_error(ErrorSource::Input(input.to_owned()), &reason),
            None => self.end_errors(|of| matches!(of, ErrorSource::Input(name) if name == input)),
        }
        self.changed.notify_one();
    }

    /// Records that an input has a new consumer, for which nothing is to be settled yet.
    pub(crate) fn input_begins(&self, input: &str) {
        self.input_goes_on(input, InputPart::Settles);
        self.input_goes_on(input, InputPart::Consumer);
    }

    /// Whether this error of its component is known and unresolved.
    pub(crate) fn has_component_error(&self, error: &str) -> bool {
        self.lock().errors.get(&ErrorSource::Component).is_some_and(|noted| noted.over_ms.is_none() && noted.text == cut(error))
    }

    /// Keeps an error as the newest one of its source.
    pub(crate) fn note_error(&self, of: ErrorSource, error: &str) {
        let (error, now) = (cut(error), now_ms());
        let mut shown = self.lock();
        let known = shown.errors.get(&of).filter(|noted| noted.over_ms.is_none() && noted.text == error);
        let time_ms = known.filter(|_| of.is_ongoing()).map_or(now, |noted| noted.time_ms);
        if known.is_none() {
            self.changed.notify_one();
        }
        shown.errors.insert(of, NotedError { text: error, time_ms, over_ms: None });
        self.has_errors.store(true, Ordering::Relaxed);
    }

    /// Marks the errors of a source as resolved. Costs nothing if there are none.
    pub(crate) fn end_errors(&self, of: impl Fn(&ErrorSource) -> bool) {
        if !self.has_errors.load(Ordering::Relaxed) {
            return;
        }
        let mut shown = self.lock();
        for (_, noted) in shown.errors.iter_mut().filter(|(found, noted)| noted.over_ms.is_none() && of(found)) {
            noted.over_ms = Some(now_ms());
            self.changed.notify_one();
        }
        self.has_errors.store(shown.errors.values().any(|noted| noted.over_ms.is_none()), Ordering::Relaxed);
    }

    /// Counts and reports a task of the variant that panicked and is restarted; `input` is the input that it served, if any.
    pub(crate) fn note_panic(&self, input: Option<&str>, panic: &str) {
        let restarts_count = self.counters.restarts.fetch_add(1, Ordering::Relaxed) + 1;
        let VariantKey { processor, variant } = &self.key;
        tracing::error!(processor, variant, input, error = panic, restarts_count, "task of a processor panicked, restarting it");
        match input {
            Some(input) => {
                self.input_fails(input, InputPart::Consumer, &format!("input `{input}`: {panic} (restart {restarts_count})"));
            }
            None => {
                self.note_error(ErrorSource::Component, &format!("{panic} (restart {restarts_count})"));
                self.set_state(ProcessorState::Failing);
            }
        }
    }

    /// The current report.
    pub(crate) fn report(&self) -> ProcessorStatus {
        let shown = self.lock();
        let error = shown.last_error();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        ProcessorStatus {
            processor: self.key.processor.clone(),
            variant: self.key.variant.clone(),
            flow: shown.flow.clone(),
            component: shown.component.clone(),
            wanted: shown.wanted.clone(),
            refused: shown.refused.clone(),
            state: shown.state(),
            handled_count: read(&counters.handled),
            failed_count: read(&counters.failed),
            trapped_count: read(&counters.trapped),
            dead_count: read(&counters.dead),
            sent_count: read(&counters.sent),
            dropped_count: read(&counters.dropped),
            in_hand_count: counters.in_flight(),
            restarts_count: read(&counters.restarts),
            waiting_for_slot_count: read(&counters.waiting_for_slot),
            outputs_bytes: read(&counters.outputs_bytes),
            waiting_for_outputs_count: read(&counters.waiting_for_outputs),
            rate_per_1000_s: shown.rate.now(read(&counters.handled)),
            last_error: error.map(|noted| noted.text.clone()),
            last_error_ms: error.map(|noted| noted.time_ms),
            last_error_over_ms: error.and_then(|noted| noted.over_ms),
        }
    }

    /// Restarts the measurement of the rate.
    pub(crate) fn take_rate(&self) {
        let handled = self.counters.handled.load(Ordering::Relaxed);
        let mut shown = self.lock();
        shown.rate = Rate { taken: Instant::now(), handled, per_1000_s: shown.rate.now(handled) };
    }

    fn lock(&self) -> MutexGuard<'_, StatusState> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StatusState {
    /// The newest unresolved error that stops the component or an input, otherwise the newest unresolved one, otherwise the newest one.
    fn last_error(&self) -> Option<&NotedError> {
        let rank = |(of, noted): &(&ErrorSource, &NotedError)| {
            let is_current = noted.over_ms.is_none();
            (is_current, is_current && of.stops_work(), noted.time_ms)
        };
        self.errors.iter().max_by_key(rank).map(|(_, noted)| noted)
    }

    fn state(&self) -> ProcessorState {
        match self.state {
            ProcessorState::Running if self.waiting.values().any(Option::is_some) => ProcessorState::Failing,
            ProcessorState::Running if !self.waiting.is_empty() => ProcessorState::Starting,
            state => state,
        }
    }
}

/// A variant with messages in flight, for display.
pub(crate) fn busy_text(status: &VariantStatus) -> String {
    let VariantKey { processor, variant } = &status.key;
    format!("{processor} {variant}: {} messages in flight", status.counters.in_flight())
}

/// Truncates an error for a report.
pub(crate) fn cut(error: &str) -> String {
    error[..error.floor_char_boundary(MAX_ERROR_BYTES)].to_owned()
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests;
