//! What a host tells of itself: counters and states by variant, reported on `notify:TOPICSPACE:weir-status`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_config::FollowerStatus;
use weir_config::records::{ComponentRef, HostStatus, ProcessorState, ProcessorStatus, Refusal, STATUS_TOPIC_NAME, status_messages};
use weir_pubsub::{Backend, Class, Message, PubsubError, Topic};

use crate::reconcile::Served;

/// How often a host reports without being asked.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long the first report takes: who starts together with the host hears of it soon.
const FIRST_INTERVAL: Duration = Duration::from_millis(500);
/// How long a change waits for others, to be reported with them: at least this, and longer where a report takes long, so that a host with
/// thousands of variants is not busy with reports.
const DEBOUNCE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The wait is so many times what the last report took: whoever reads reports takes as long, each.
const PAUSE_FACTOR: u32 = 30;
/// The longest error that is reported.
const MAX_ERROR_BYTES: usize = 2 << 10;

/// Names a variant: processor and variant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
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
    pub(crate) let_go: AtomicU64,
    /// Settled by somebody else meanwhile.
    pub(crate) no_longer_held: AtomicU64,
    /// Tasks that panicked and were started again.
    pub(crate) restarts: AtomicU64,
    /// What waits for an instance slot now.
    waiting_for_slot: AtomicU64,
}

impl Counters {
    pub(crate) fn in_hand(&self) -> u64 {
        let let_go = self.let_go.load(Ordering::Relaxed);
        self.received.load(Ordering::Relaxed).saturating_sub(let_go)
    }
}

/// Adds one to a counter.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A message in hand. It counts as such until this is dropped, whatever drops it.
pub(crate) struct InHand(Arc<VariantStatus>);

impl InHand {
    /// Counts a message that was received.
    pub(crate) fn begin(status: &Arc<VariantStatus>) -> Self {
        count(&status.counters.received);
        InHand(status.clone())
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        count(&self.0.counters.let_go);
    }
}

/// A worker or a setup that waits for an instance slot. It counts as such until this is dropped.
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

/// What is known of one variant.
pub(crate) struct VariantStatus {
    pub(crate) key: Key,
    pub(crate) counters: Counters,
    shown: Mutex<Shown>,
    changed: Arc<Notify>,
}

struct Shown {
    state: ProcessorState,
    flow: Option<String>,
    component: Option<ComponentRef>,
    refused: Option<Refusal>,
    /// Inputs that have no consumer, with the reason where one is known.
    waiting: BTreeMap<String, Option<String>>,
    last_error: Option<(String, u64)>,
    /// Messages handled when the rate was last taken, and that rate.
    rate: (u64, u64),
}

impl VariantStatus {
    pub(crate) fn new(key: Key, changed: Arc<Notify>) -> Self {
        let shown = Shown {
            state: ProcessorState::Starting,
            flow: None,
            component: None,
            refused: None,
            waiting: BTreeMap::new(),
            last_error: None,
            rate: (0, 0),
        };
        VariantStatus { key, counters: Counters::default(), shown: Mutex::new(shown), changed }
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

    /// Notes what the entry names and the host does not run.
    pub(crate) fn set_refused(&self, refused: Option<Refusal>) {
        let mut shown = self.lock();
        if shown.refused != refused {
            shown.refused = refused;
            self.changed.notify_one();
        }
    }

    /// The entry does not name any more what was refused; what can never work is still worth seeing.
    pub(crate) fn forget_passing_refusal(&self) {
        let mut shown = self.lock();
        if shown.refused.take_if(|refused| !refused.permanent).is_some() {
            self.changed.notify_one();
        }
    }

    /// Notes whether an input has a consumer: with an error why not.
    pub(crate) fn set_input(&self, input: &str, waits: Option<Option<String>>) {
        if let Some(Some(error)) = &waits {
            self.note_error(error);
        }
        let mut shown = self.lock();
        let old = match waits {
            Some(reason) => shown.waiting.insert(input.to_owned(), reason.clone()) != Some(reason),
            None => shown.waiting.remove(input).is_some(),
        };
        if old {
            self.changed.notify_one();
        }
    }

    /// Whether this is its newest error.
    pub(crate) fn says(&self, error: &str) -> bool {
        self.lock().last_error.as_ref().is_some_and(|(newest, _)| *newest == cut(error))
    }

    /// Keeps an error as the newest one.
    pub(crate) fn note_error(&self, error: &str) {
        let error = cut(error);
        let mut shown = self.lock();
        let is_new = shown.last_error.as_ref().is_none_or(|(old, _)| *old != error);
        shown.last_error = Some((error, now_ms()));
        if is_new {
            self.changed.notify_one();
        }
    }

    /// Counts and reports a task of the variant that panicked and is started again; `input` is the one that it served, if it was one.
    pub(crate) fn note_panic(&self, input: Option<&str>, panic: &str) {
        let restarts_count = self.counters.restarts.fetch_add(1, Ordering::Relaxed) + 1;
        let Key { processor, variant } = &self.key;
        tracing::error!(processor, variant, input, error = panic, restarts_count, "task of a processor panicked, restarting it");
        match input {
            Some(input) => self.set_input(input, Some(Some(format!("input `{input}`: {panic} (restart {restarts_count})")))),
            None => {
                self.note_error(&format!("{panic} (restart {restarts_count})"));
                self.set_state(ProcessorState::Failing);
            }
        }
    }

    fn report(&self) -> ProcessorStatus {
        let shown = self.lock();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        ProcessorStatus {
            processor: self.key.processor.clone(),
            variant: self.key.variant.clone(),
            flow: shown.flow.clone(),
            component: shown.component.clone(),
            refused: shown.refused.clone(),
            state: shown.state(),
            handled_count: read(&counters.handled),
            failed_count: read(&counters.failed),
            trapped_count: read(&counters.trapped),
            dead_count: read(&counters.dead),
            sent_count: read(&counters.sent),
            dropped_count: read(&counters.dropped),
            in_hand_count: counters.in_hand(),
            restarts_count: read(&counters.restarts),
            waiting_for_slot_count: read(&counters.waiting_for_slot),
            rate_per_1000_s: shown.rate.1,
            last_error: shown.last_error.as_ref().map(|(error, _)| error.clone()),
            last_error_ms: shown.last_error.as_ref().map(|(_, ms)| *ms),
        }
    }

    fn take_rate(&self, elapsed: Duration) {
        let handled = self.counters.handled.load(Ordering::Relaxed);
        let mut shown = self.lock();
        let rate = (handled - shown.rate.0) as f64 * 1_000.0 / elapsed.as_secs_f64();
        shown.rate = (handled, rate as u64);
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown {
    fn state(&self) -> ProcessorState {
        match self.state {
            ProcessorState::Running if self.waiting.values().any(Option::is_some) => ProcessorState::Failing,
            ProcessorState::Running if !self.waiting.is_empty() => ProcessorState::Starting,
            state => state,
        }
    }
}

/// All variants of a host, and who it is.
pub(crate) struct Board {
    pub(crate) host: String,
    serves: Option<Vec<String>>,
    pub(crate) started_ms: u64,
    pub(crate) changed: Arc<Notify>,
    /// The largest message of a report.
    max_message_bytes: usize,
    variants: Mutex<BTreeMap<Key, Arc<VariantStatus>>>,
}

impl Board {
    pub(crate) fn new(host: String, served: &Served, max_message_bytes: usize) -> Self {
        let serves = match served {
            Served::All => None,
            Served::Names(names) => Some(names.iter().cloned().collect()),
        };
        Board { host, serves, started_ms: now_ms(), changed: Arc::default(), max_message_bytes, variants: Mutex::default() }
    }

    /// The status of a variant; a new one if there is none.
    pub(crate) fn variant(&self, key: &Key) -> Arc<VariantStatus> {
        let mut variants = self.lock();
        variants.entry(key.clone()).or_insert_with(|| Arc::new(VariantStatus::new(key.clone(), self.changed.clone()))).clone()
    }

    /// Forgets a variant.
    pub(crate) fn remove(&self, key: &Key) {
        self.lock().remove(key);
        self.changed.notify_one();
    }

    /// Variants with messages in hand, for people.
    pub(crate) fn busy(&self) -> Vec<String> {
        let busy = |status: &Arc<VariantStatus>| (status.counters.in_hand() > 0).then(|| busy_text(status));
        self.lock().values().filter_map(busy).collect()
    }

    pub(crate) fn report(&self, config: &FollowerStatus) -> HostStatus {
        HostStatus {
            host: self.host.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: self.started_ms,
            time_ms: now_ms(),
            config_version: config.version,
            config_problem: config.fetch_error.as_deref().map(cut),
            serves: self.serves.clone(),
            processors: self.lock().values().map(|status| status.report()).collect(),
        }
    }

    /// Reports every 5 s, and soon after a change of a variant or of the configuration, until the token is cancelled; then once more.
    pub(crate) async fn publish(
        &self,
        backend: Arc<dyn Backend>,
        topicspace: String,
        mut config: watch::Receiver<FollowerStatus>,
        stop: CancellationToken,
    ) {
        let Ok(topic) = Topic::new(Class::Notify, &topicspace, STATUS_TOPIC_NAME) else { return };
        let mut next_tick = Instant::now() + FIRST_INTERVAL;
        let mut last_tick = Instant::now();
        let mut is_published = true;
        let mut pause = DEBOUNCE;
        loop {
            let stopped = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep_until(next_tick) => {
                    let elapsed = last_tick.elapsed();
                    self.lock().values().for_each(|status| status.take_rate(elapsed));
                    last_tick = Instant::now();
                    next_tick = last_tick + INTERVAL;
                    false
                }
                () = self.changed.notified() => {
                    stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                    false
                }
                Ok(()) = config.changed() => {
                    stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                    false
                }
            };
            let began = Instant::now();
            let report = self.report(&config.borrow_and_update());
            is_published =
                note_published(publish_once(&*backend, &topic, status_messages(report, self.max_message_bytes)).await, is_published);
            pause = (began.elapsed() * PAUSE_FACTOR).clamp(DEBOUNCE, LONGEST_PAUSE);
            if stopped {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<VariantStatus>>> {
        self.variants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn publish_once(backend: &dyn Backend, topic: &Topic, messages: Vec<Vec<u8>>) -> Result<(), PubsubError> {
    let producer = backend.producer(topic).await?;
    for message in messages {
        producer.publish(Message::new(message)).await?;
    }
    Ok(())
}

/// Logs the first of several failures, and their end; whether it was published.
fn note_published(published: Result<(), PubsubError>, was_published: bool) -> bool {
    match (&published, was_published) {
        (Err(error), true) => tracing::warn!(error = %weir_pubsub::chain(error), "host status not published"),
        (Ok(()), false) => tracing::info!("host status published again"),
        _ => {}
    }
    published.is_ok()
}

fn busy_text(status: &VariantStatus) -> String {
    let Key { processor, variant } = &status.key;
    format!("{processor} {variant}: {} messages in hand", status.counters.in_hand())
}

/// An error as it is reported.
pub(crate) fn cut(error: &str) -> String {
    error[..error.floor_char_boundary(MAX_ERROR_BYTES)].to_owned()
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_runs_when_all_its_inputs_do() {
        let key = Key { processor: "p".into(), variant: "v".into() };
        let status = VariantStatus::new(key, Arc::default());
        status.set_input("a", Some(None));
        status.set_state(ProcessorState::Running);
        assert_eq!(status.report().state, ProcessorState::Starting);
        status.set_input("a", Some(Some("no queue".to_owned())));
        assert_eq!(status.report().state, ProcessorState::Failing);
        assert_eq!(status.report().last_error.as_deref(), Some("no queue"));
        status.set_input("a", None);
        assert_eq!(status.report().state, ProcessorState::Running);
    }
}
