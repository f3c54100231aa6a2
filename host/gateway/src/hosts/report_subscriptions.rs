//! Subscriptions to hosts' reports. A lost one is recreated, also after a panic.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use weir_pubsub::{Backend, Consumer, ConsumerOptions, PubsubError, Subscription, SubscriptionEvent, Topic, listen, restart_on_panic};

use super::Hosts;

/// The subscriptions to summaries and to details.
pub(crate) struct Reports {
    summaries: Source,
    details: Source,
}

impl Reports {
    /// Subscribes: receives all reports from now on.
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

/// Processes a message.
type Take = fn(&Hosts, &[u8]);

/// One of the subscriptions.
struct Source {
    backend: Arc<dyn Backend>,
    topic: Topic,
    subscription: Subscription,
    take: Take,
    /// The existing subscription.
    first: Mutex<Option<Box<dyn Consumer>>>,
}

impl Source {
    async fn subscribe(backend: Arc<dyn Backend>, topic: Topic, subscription: Subscription, take: Take) -> Result<Self, PubsubError> {
        let first = backend.consumer(&topic, &subscription, ConsumerOptions::default()).await?;
        Ok(Source { backend, topic, subscription, take, first: Mutex::new(Some(first)) })
    }

    async fn listen(&self, hosts: &Hosts, token: &CancellationToken) {
        let topic = &self.topic;
        let panicked = |panic: &str| tracing::error!(%topic, error = panic, "listener for reports of hosts panicked, restarting it");
        token.run_until_cancelled(restart_on_panic::<_, _>(token, || self.listen_on(hosts), panicked)).await;
    }

    async fn listen_on(&self, hosts: &Hosts) -> Infallible {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let event = |event| {
            if let SubscriptionEvent::Message(delivery) = event {
                (self.take)(hosts, &delivery.message.body);
            }
        };
        let subject = format!("subscription to the reports of hosts on {}", self.topic);
        listen(&*self.backend, (&self.topic, &self.subscription), first, &subject, event).await
    }
}
