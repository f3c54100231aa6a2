//! What the hosts say of themselves: the newest report of each, kept by a task that listens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OnceCell};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use weir_config::records::{HostStatus, StatusPart, StatusParts, StatusRequest};
use weir_pubsub::{Backend, Backoff, Consumer, ConsumerOptions, Message, Producer, PubsubError, Subscription, Topic, restarting};

use crate::protocol::HostReport;

/// A host that said nothing for so long is gone: it speaks every 5 s.
const GONE_AFTER: Duration = Duration::from_secs(20);
/// Hosts that are remembered; beyond it the one that was silent longest is forgotten.
const MAX_HOSTS_COUNT: usize = 1000;
/// Waits before a subscription that was lost is made again.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long hosts that are asked for a report may take. What they said before is shown then, with its age.
const ANSWER_TIME: Duration = Duration::from_millis(500);
/// How long to wait for a first host where none is known.
const FIRST_ANSWER_TIME: Duration = Duration::from_millis(100);
/// A host that said nothing for so long is not waited for: it has missed its turn.
const SILENT_AFTER: Duration = Duration::from_secs(7);
/// Answered requests that are remembered of a host.
const ANSWERS_COUNT: usize = 256;

/// The newest report of each host.
#[derive(Default)]
pub(crate) struct Hosts {
    reports: Mutex<BTreeMap<String, Report>>,
    /// Of reports that come in several messages.
    parts: Mutex<StatusParts>,
    heard: Notify,
}

struct Report {
    at: Instant,
    status: HostStatus,
    /// The newest requests that it has answered.
    answered: VecDeque<u64>,
}

/// Asks hosts for their reports.
pub(crate) struct Asking {
    backend: Arc<dyn Backend>,
    topic: Topic,
    producer: OnceCell<Box<dyn Producer>>,
}

impl Asking {
    pub(crate) fn new(backend: Arc<dyn Backend>, topic: Topic) -> Self {
        Asking { backend, topic, producer: OnceCell::new() }
    }

    async fn ask(&self, id: u64) -> Result<(), PubsubError> {
        let body = serde_json::to_vec(&StatusRequest { id }).expect("plain fields always become JSON");
        let producer = self.producer.get_or_try_init(|| self.backend.producer(&self.topic)).await?;
        producer.publish_confirmed(Message::new(body)).await
    }
}

/// The reports of hosts.
pub(crate) struct Reports {
    source: Source,
    /// The subscription that is there already.
    first: Box<dyn Consumer>,
}

/// Where reports come from.
struct Source {
    backend: Arc<dyn Backend>,
    topic: Topic,
    subscription: Subscription,
}

impl Reports {
    /// Subscribes: what is reported from now on is heard.
    pub(crate) async fn subscribe(backend: Arc<dyn Backend>, topic: Topic, subscription: Subscription) -> Result<Self, PubsubError> {
        let source = Source { backend, topic, subscription };
        let first = source.consumer().await?;
        Ok(Reports { source, first })
    }
}

impl Source {
    async fn consumer(&self) -> Result<Box<dyn Consumer>, PubsubError> {
        self.backend.consumer(&self.topic, &self.subscription, ConsumerOptions::default()).await
    }
}

impl Hosts {
    /// The hosts that are there.
    pub(crate) fn current(&self) -> Vec<HostReport> {
        let now = Instant::now();
        let mut reports = self.lock();
        reports.retain(|_, report| now.duration_since(report.at) < GONE_AFTER);
        let shown = |report: &Report| HostReport {
            age_ms: now.duration_since(report.at).as_millis() as u64,
            status: HostStatus { answers: Vec::new(), ..report.status.clone() },
        };
        reports.values().map(shown).collect()
    }

    /// The hosts that are there, as they are now: each is asked, and its answer waited for, for half a second at most.
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn fresh(&self, asking: &Asking) -> Vec<HostReport> {
        let id = rand::random();
        let time = if self.lock().is_empty() { FIRST_ANSWER_TIME } else { ANSWER_TIME };
        let answered = async {
            asking.ask(id).await?;
            loop {
                let heard = self.heard.notified();
                tokio::pin!(heard);
                heard.as_mut().enable();
                if self.have_answered(id) {
                    return Ok(());
                }
                heard.await;
            }
        };
        if let Ok(Err(error)) = timeout(time, answered).await {
            let error: PubsubError = error;
            tracing::debug!(error = %weir_pubsub::chain(&error), "hosts could not be asked for their status");
        }
        self.current()
    }

    /// Whether all hosts that are not silent have answered a request, and one at least has.
    fn have_answered(&self, id: u64) -> bool {
        let now = Instant::now();
        let reports = self.lock();
        let has = |report: &Report| report.answered.contains(&id);
        reports.values().any(has) && reports.values().all(|report| has(report) || now.duration_since(report.at) > SILENT_AFTER)
    }

    /// Listens until the token is cancelled. A subscription that is lost is made again, also after a panic.
    pub(crate) async fn listen(&self, reports: Reports, token: CancellationToken) {
        let first = Mutex::new(Some(reports.first));
        let listen = || async {
            let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
            let mut next = first.lock().unwrap_or_else(PoisonError::into_inner).take();
            loop {
                let lost = match next.take() {
                    Some(consumer) => self.hear(&*consumer).await,
                    None => match reports.source.consumer().await {
                        Ok(consumer) => {
                            tracing::info!("reports of hosts are received again");
                            backoff.reset();
                            next = Some(consumer);
                            continue;
                        }
                        Err(error) => error,
                    },
                };
                tracing::warn!(error = %weir_pubsub::chain(&lost), "subscription to the reports of hosts lost");
                let wait = backoff.next_wait(&mut rand::rng());
                tokio::time::sleep(wait).await;
            }
        };
        let panicked = |panic: &str| tracing::error!(error = panic, "listener to the reports of hosts panicked, restarting it");
        token.run_until_cancelled(restarting::<_, _>(&token, listen, panicked)).await;
    }

    /// Takes reports until the subscription is lost.
    async fn hear(&self, reports: &dyn Consumer) -> PubsubError {
        loop {
            match reports.receive().await {
                Ok(delivery) => self.take(&delivery.message.body),
                Err(PubsubError::Lagged { .. }) => {}
                Err(error) => return error,
            }
        }
    }

    fn take(&self, body: &[u8]) {
        let part = match StatusPart::read(body) {
            Ok(part) => part,
            Err(error) => {
                tracing::debug!(error = %weir_pubsub::chain(&error), "unreadable host report ignored");
                return;
            }
        };
        let whole = self.parts.lock().unwrap_or_else(PoisonError::into_inner).take(part);
        let Some(status) = whole else { return };
        let mut reports = self.lock();
        let mut answered = reports.remove(&status.host).map(|report| report.answered).unwrap_or_default();
        answered.extend(&status.answers);
        answered.drain(..answered.len().saturating_sub(ANSWERS_COUNT));
        reports.insert(status.host.clone(), Report { at: Instant::now(), status, answered });
        if reports.len() > MAX_HOSTS_COUNT {
            let oldest = reports.iter().min_by_key(|(_, report)| report.at).map(|(host, _)| host.clone());
            oldest.and_then(|host| reports.remove(&host));
        }
        drop(reports);
        self.heard.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Report>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn report(host: &str, config_version: u64) -> Vec<u8> {
        let status = HostStatus { host: host.into(), version: "0".into(), config_version, ..HostStatus::default() };
        serde_json::to_vec(&status).unwrap()
    }

    #[test]
    fn a_report_in_parts_is_shown_whole() {
        let hosts = Hosts::default();
        let part = |part: u32, time_ms: u64| {
            let status = HostStatus { host: "a".into(), time_ms, ..HostStatus::default() };
            serde_json::to_vec(&StatusPart { part, parts_count: 2, status }).unwrap()
        };
        hosts.take(&part(0, 1));
        assert!(hosts.current().is_empty());
        hosts.take(&part(1, 1));
        hosts.take(&part(0, 2));
        assert_eq!(hosts.current().iter().map(|host| host.status.time_ms).collect::<Vec<_>>(), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_report_of_each_host_counts_until_it_is_silent() {
        let hosts = Hosts::default();
        hosts.take(&report("a", 1));
        hosts.take(&report("b", 1));
        hosts.take(b"nonsense");
        tokio::time::advance(Duration::from_secs(15)).await;
        hosts.take(&report("a", 2));
        let versions = |hosts: &Hosts| hosts.current().iter().map(|h| (h.status.host.clone(), h.status.config_version)).collect::<Vec<_>>();
        assert_eq!(versions(&hosts), [("a".into(), 2), ("b".into(), 1)]);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(versions(&hosts), [("a".into(), 2)]);
    }
}
