//! Connects interfaces to the broker.

use std::sync::Arc;

use weir_pubsub::{Backend, Requester, Subscription, Topic};

use super::tracked::{SharedProducer, SharedRequester, Tracked};
use crate::error::{GatewayError, Result};
use crate::metrics::open::{OpenCounts, What};

/// Creates producers and requesters, and counts the open ones.
pub(crate) struct Connector {
    backend: Arc<dyn Backend>,
    /// The subscription for answers.
    subscription: Subscription,
    open: Arc<OpenCounts>,
}

impl Connector {
    pub(crate) fn new(backend: Arc<dyn Backend>, subscription: Subscription, open: Arc<OpenCounts>) -> Self {
        Connector { backend, subscription, open }
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// A producer for a topic.
    pub(super) async fn producer(&self, topic: &Topic) -> Result<SharedProducer> {
        let made = self.backend.producer(topic).await.map_err(GatewayError::broker("the broker cannot be reached"))?;
        Ok(Arc::new(Tracked::new(made, self.open.begin(What::Producer))))
    }

    /// A requester for the requests on a topic.
    pub(super) async fn requester(&self, request: &Topic, response: &Topic) -> Result<SharedRequester> {
        let made = Requester::connect(self.backend.clone(), request, response, &self.subscription).await;
        let made = made.map_err(GatewayError::broker("the broker cannot be reached"))?;
        Ok(Arc::new(Tracked::new(made, self.open.begin(What::Requester))))
    }
}
