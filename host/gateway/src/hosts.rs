//! What the hosts say of themselves: the newest report of each, kept by a task that listens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_config::records::{HostStatus, StatusPart, StatusParts};
use weir_pubsub::{Backend, Backoff, Consumer, ConsumerOptions, PubsubError, Subscription, Topic, restarting};

use crate::protocol::HostReport;

/// A host that said nothing for so long is gone: it speaks every 5 s.
const GONE_AFTER: Duration = Duration::from_secs(20);
/// Hosts that are remembered; beyond it the one that was silent longest is forgotten.
const MAX_HOSTS_COUNT: usize = 1000;
/// Waits before a subscription that was lost is made again.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The newest report of each host.
#[derive(Default)]
pub(crate) struct Hosts {
    reports: Mutex<BTreeMap<String, (Instant, HostStatus)>>,
    /// Of reports that come in several messages.
    parts: Mutex<StatusParts>,
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
        reports.retain(|_, (at, _)| now.duration_since(*at) < GONE_AFTER);
        let report = |(at, status): &(Instant, HostStatus)| HostReport {
            age_ms: now.duration_since(*at).as_millis() as u64,
            status: status.clone(),
        };
        reports.values().map(report).collect()
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
        let part: StatusPart = match serde_json::from_slice(body) {
            Ok(part) => part,
            Err(error) => {
                tracing::debug!(error = %weir_pubsub::chain(&error), "unreadable host report ignored");
                return;
            }
        };
        let whole = self.parts.lock().unwrap_or_else(PoisonError::into_inner).take(part);
        let Some(status) = whole else { return };
        let mut reports = self.lock();
        reports.insert(status.host.clone(), (Instant::now(), status));
        if reports.len() > MAX_HOSTS_COUNT {
            let oldest = reports.iter().min_by_key(|(_, (at, _))| *at).map(|(host, _)| host.clone());
            oldest.and_then(|host| reports.remove(&host));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Instant, HostStatus)>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn report(host: &str, config_version: u64) -> Vec<u8> {
        let status = serde_json::json!({
            "host": host, "version": "0", "started-ms": 0, "time-ms": 0, "config-version": config_version, "processors": [],
        });
        serde_json::to_vec(&status).unwrap()
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
