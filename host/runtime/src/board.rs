//! All variants of a host, and its reports of them: on `notify:TOPICSPACE:weir-status` every 5 s, soon after a change, and at once when they
//! are asked for on `notify:TOPICSPACE:weir-status-request`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_config::FollowerStatus;
use weir_config::names;
use weir_config::records::{HostStatus, StatusRequest, status_messages};
use weir_pubsub::{Backend, Backoff, ConsumerOptions, Message, PubsubError, Topic, chain};

use crate::reconcile::Served;
use crate::status::{Key, VariantStatus, busy_text, cut, now_ms};

/// How often a host reports without being asked.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long the first report takes: who starts together with the host hears of it soon.
const FIRST_INTERVAL: Duration = Duration::from_millis(500);
/// How long a change waits for others, to be reported with them.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Between two reports that are asked for.
const SHORTEST_GAP: Duration = Duration::from_millis(5);
/// Reports that are asked for take at most one part in so many of a processor, however many variants there are.
const SHARE: u32 = 5;
/// Reports of changes take less: their readers take as long for each, and all of them come with every start and stop of a flow.
const SHARE_OF_CHANGES: u32 = 30;
/// The longest that a change waits.
const LONGEST_DEBOUNCE: Duration = Duration::from_secs(1);
/// Requests that one report answers, at most.
const MAX_ANSWERS_COUNT: usize = 256;
/// Waits before a lost subscription is made again.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// All variants of a host, and who it is.
pub(crate) struct Board {
    pub(crate) host: String,
    serves: Option<Vec<String>>,
    started_ms: u64,
    changed: Arc<Notify>,
    /// The largest message of a report.
    max_message_bytes: usize,
    variants: Mutex<BTreeMap<Key, Arc<VariantStatus>>>,
    /// Ids of requests that no report has answered.
    asked: Mutex<Vec<u64>>,
    asked_anew: Notify,
}

impl Board {
    pub(crate) fn new(host: String, served: &Served, max_message_bytes: usize) -> Self {
        let serves = match served {
            Served::All => None,
            Served::Names(names) => Some(names.iter().cloned().collect()),
        };
        Board {
            host,
            serves,
            started_ms: now_ms(),
            changed: Arc::default(),
            max_message_bytes,
            variants: Mutex::default(),
            asked: Mutex::default(),
            asked_anew: Notify::new(),
        }
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

    /// All of it, as of now.
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
            answers: Vec::new(),
        }
    }

    /// All of it, as an answer to what was asked so far: a later request gets another report.
    fn answer(&self, config: &FollowerStatus) -> HostStatus {
        let answers = std::mem::take(&mut *self.asked());
        HostStatus { answers, ..self.report(config) }
    }

    /// Reports until the token is cancelled; then once more.
    pub(crate) async fn publish(
        &self,
        backend: Arc<dyn Backend>,
        topicspace: String,
        config: watch::Receiver<FollowerStatus>,
        stop: CancellationToken,
    ) {
        let (Ok(reports), Ok(requests)) = (names::status_reports(&topicspace), names::status_requests(&topicspace)) else { return };
        tokio::select! {
            () = self.report_on(&*backend, &reports, config, stop) => {}
            () = self.hear_requests(&*backend, &requests) => {}
        }
    }

    async fn report_on(&self, backend: &dyn Backend, topic: &Topic, mut config: watch::Receiver<FollowerStatus>, stop: CancellationToken) {
        let mut next_tick = Instant::now() + FIRST_INTERVAL;
        let (mut cost, mut ended, mut is_failing) = (Duration::ZERO, Instant::now(), false);
        let mut due: Option<Instant> = None;
        loop {
            let stopped = tokio::select! {
                () = stop.cancelled() => true,
                () = self.asked_anew.notified() => {
                    let soon = ended + SHORTEST_GAP.max(cost * SHARE);
                    due = Some(due.map_or(soon, |due| due.min(soon)));
                    continue;
                }
                () = self.changed.notified(), if due.is_none() => {
                    due = Some(Instant::now() + debounce(cost));
                    continue;
                }
                Ok(()) = config.changed(), if due.is_none() => {
                    due = Some(Instant::now() + debounce(cost));
                    continue;
                }
                () = tokio::time::sleep_until(due.map_or(next_tick, |due| due.min(next_tick))) => false,
            };
            let began = Instant::now();
            if began >= next_tick {
                self.lock().values().for_each(|status| status.take_rate());
                next_tick = began + INTERVAL;
            }
            let answer = self.answer(&config.borrow_and_update());
            let published = publish_once(backend, topic, status_messages(answer, self.max_message_bytes)).await;
            is_failing = told(published, is_failing);
            (due, ended) = (None, Instant::now());
            cost = ended - began;
            if stopped {
                return;
            }
        }
    }

    /// Notes the requests that come, for ever. A subscription that is lost is made again.
    async fn hear_requests(&self, backend: &dyn Backend, topic: &Topic) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let lost = match self.hear(backend, topic, &mut backoff).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            tracing::debug!(error = %chain(&lost), "subscription to status requests lost");
            let wait = backoff.next_wait(&mut rand::rng());
            tokio::time::sleep(wait).await;
        }
    }

    async fn hear(&self, backend: &dyn Backend, topic: &Topic, backoff: &mut Backoff) -> Result<std::convert::Infallible, PubsubError> {
        let subscription = "host".parse().expect("a plain word is a subscription");
        let consumer = backend.consumer(topic, &subscription, ConsumerOptions::default()).await?;
        backoff.reset();
        loop {
            match consumer.receive().await {
                Ok(delivery) => {
                    let Ok(StatusRequest { id }) = serde_json::from_slice(&delivery.message.body) else { continue };
                    let mut asked = self.asked();
                    if asked.len() < MAX_ANSWERS_COUNT {
                        asked.push(id);
                    }
                    self.asked_anew.notify_one();
                }
                Err(PubsubError::Lagged { .. }) => self.asked_anew.notify_one(),
                Err(error) => return Err(error),
            }
        }
    }

    fn asked(&self) -> MutexGuard<'_, Vec<u64>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<VariantStatus>>> {
        self.variants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a change waits, by what a report takes.
fn debounce(cost: Duration) -> Duration {
    DEBOUNCE.max(cost * SHARE).max((cost * SHARE_OF_CHANGES).min(LONGEST_DEBOUNCE))
}

/// Logs when reports begin to fail, and when they go on.
fn told(published: Result<(), PubsubError>, was_failing: bool) -> bool {
    match published {
        Ok(()) if was_failing => tracing::info!("status is reported again"),
        Err(error) if !was_failing => tracing::warn!(error = %chain(&error), "status cannot be reported"),
        Ok(()) | Err(_) => return was_failing,
    }
    !was_failing
}

async fn publish_once(backend: &dyn Backend, topic: &Topic, messages: Vec<Vec<u8>>) -> Result<(), PubsubError> {
    let producer = backend.producer(topic).await?;
    for message in messages {
        producer.publish_confirmed(Message::new(message)).await?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    #[test]
    fn a_report_answers_what_was_asked_before_it() {
        let board = Board::new("host".to_owned(), &Served::All, 1 << 20);
        board.asked().push(5);
        let answers = || board.answer(&FollowerStatus::default()).answers;
        assert_eq!((answers(), answers()), (vec![5], vec![]));
    }
}
