//! Subscriptions to what hosts report. One that is lost is made again, also after a panic.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_pubsub::{Backend, Backoff, Consumer, ConsumerOptions, PubsubError, Subscription, Topic, chain, restarting};

use super::Hosts;

/// Waits before a subscription that was lost is made again.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The subscriptions to summaries and to details.
pub(crate) struct Reports {
    summaries: Source,
    details: Source,
}

impl Reports {
    /// Subscribes: what is reported from now on is heard.
    ///
    /// # Errors
    /// As [`Backend::consumer`].
    pub(crate) async fn subscribe(
        backend: &Arc<dyn Backend>,
        summaries: Topic,
        details: Topic,
        subscription: &Subscription,
    ) -> Result<Self, PubsubError> {
        let subscribe = |topic: Topic, take| Source::subscribe(backend.clone(), topic, subscription.clone(), take);
        Ok(Reports { summaries: subscribe(summaries, Hosts::take_summary).await?, details: subscribe(details, Hosts::take_details).await? })
    }

    /// Listens until the token is cancelled.
    pub(crate) async fn listen(self, hosts: &Hosts, token: CancellationToken) {
        tokio::join!(self.summaries.listen(hosts, &token), self.details.listen(hosts, &token));
    }
}

/// What becomes of a message.
type Take = fn(&Hosts, &[u8]);

/// One of the subscriptions.
struct Source {
    backend: Arc<dyn Backend>,
    topic: Topic,
    subscription: Subscription,
    take: Take,
    /// The subscription that is there already.
    first: Mutex<Option<Box<dyn Consumer>>>,
}

impl Source {
    async fn subscribe(backend: Arc<dyn Backend>, topic: Topic, subscription: Subscription, take: Take) -> Result<Self, PubsubError> {
        let source = Source { backend, topic, subscription, take, first: Mutex::default() };
        let first = source.consumer().await?;
        *source.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(first);
        Ok(source)
    }

    async fn consumer(&self) -> Result<Box<dyn Consumer>, PubsubError> {
        self.backend.consumer(&self.topic, &self.subscription, ConsumerOptions::default()).await
    }

    async fn listen(&self, hosts: &Hosts, token: &CancellationToken) {
        let topic = &self.topic;
        let panicked = |panic: &str| tracing::error!(%topic, error = panic, "listener to the reports of hosts panicked, restarting it");
        token.run_until_cancelled(restarting::<_, _>(token, || self.listen_on(hosts), panicked)).await;
    }

    async fn listen_on(&self, hosts: &Hosts) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut next = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        loop {
            let lost = match next.take() {
                Some(consumer) => self.hear(hosts, &*consumer).await,
                None => match self.consumer().await {
                    Ok(consumer) => {
                        tracing::info!(topic = %self.topic, "reports of hosts are received again");
                        backoff.reset();
                        next = Some(consumer);
                        continue;
                    }
                    Err(error) => error,
                },
            };
            tracing::warn!(topic = %self.topic, error = %chain(&lost), "subscription to the reports of hosts lost");
            let wait = backoff.next_wait(&mut rand::rng());
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes reports until the subscription is lost.
    async fn hear(&self, hosts: &Hosts, reports: &dyn Consumer) -> PubsubError {
        loop {
            match reports.receive().await {
                Ok(delivery) => (self.take)(hosts, &delivery.message.body),
                Err(PubsubError::Lagged { missed_count }) => tracing::warn!(topic = %self.topic, missed_count, "reports of hosts missed"),
                Err(error) => return error,
            }
        }
    }
}
