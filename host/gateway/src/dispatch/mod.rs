//! The gateway's view of the flows, so that a message is sent without a request to the config service, and the users of a flow end when it is
//! stopped.
//!
//! A follower of config type `flow` keeps it up to date. It may lag behind: a request for a flow that is not known to run is checked with the config
//! service, and waits until the follower has that version.

mod answer;
mod connector;
mod flow;
mod known;
mod tracked;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weir_config::protocol::Key;
use weir_config::{Change, ConfigClient, FollowerHandle, FollowerStatus};
use weir_flow::protocol::FLOW_TYPE;
use weir_pubsub::Backend;

use self::flow::Flow;
use self::known::{FlowState, KnownFlows, read};
use self::tracked::SharedRequester;
use crate::caller::Caller;
use crate::error::{GatewayError, Result};

pub(crate) use self::answer::{PendingAnswer, ask, not_sent, send};
pub(crate) use self::connector::Connector;
pub(crate) use self::flow::{Endpoint, Interface};
pub(crate) use self::tracked::SharedProducer;

/// How long the follower may lag behind. In one process it takes a few milliseconds; after this time it cannot fetch.
const BEHIND_TIME: Duration = Duration::from_secs(5);

/// The running flows, with producers and requesters for their interfaces.
pub(crate) struct FlowDirectory {
    config: ConfigClient,
    link: Connector,
    /// Cancelled on shutdown.
    stopping: CancellationToken,
    known: RwLock<KnownFlows>,
    /// The applied version of the configuration.
    version: watch::Receiver<u64>,
    follower: watch::Receiver<FollowerStatus>,
}

impl FlowDirectory {
    /// No flows are known before the first [change](FlowDirectory::apply) from the follower of this handle.
    pub(crate) fn new(config: ConfigClient, link: Connector, follower: &FollowerHandle, stopping: CancellationToken) -> Self {
        let (version, follower) = (follower.version(), follower.status());
        FlowDirectory { config, link, stopping, known: RwLock::default(), version, follower }
    }

    /// Applies the current records of all flows.
    pub(crate) fn apply(&self, change: &Change) {
        let Some(records) = change.types.get(FLOW_TYPE) else { return };
        self.known.write().unwrap_or_else(PoisonError::into_inner).apply(records);
    }

    /// Why the known flows may be out of date, if they are. The cause is only for callers with the token.
    pub(crate) fn problem(&self, caller: Caller) -> Option<String> {
        let status = self.follower.borrow();
        let problem = match (&status.fetch_error, status.version) {
            (None, version) if version > 0 => return None,
            (_, 0) => "the flows have not been read yet",
            _ => "the current flows cannot be read",
        };
        let cause = status.fetch_error.as_ref().filter(|_| matches!(caller, Caller::Trusted(_)));
        Some(cause.map_or_else(|| problem.to_owned(), |error| format!("{problem}: {error}")))
    }

    /// Finds an interface of a running flow; the errors list the existing ones.
    pub(crate) async fn find(&self, flow: &str, interface: &str) -> Result<Arc<Interface>> {
        if let Some(FlowState::Running(flow)) = self.known(flow) {
            return flow.interface(interface);
        }
        self.find_flow(flow).await?.interface(interface)
    }

    /// Whether the flow of an interface was stopped, according to the current configuration. Waits for the outcome of a stop that may still be
    /// refused.
    pub(crate) async fn is_stopped(&self, interface: &Interface) -> bool {
        if !interface.stopped.is_cancelled()
            && let Ok(version) = self.config.version().await
        {
            // If the follower stays behind, the known state is used.
            let _ = self.wait_for_version(version).await;
            let _ = tokio::time::timeout(BEHIND_TIME, interface.decided()).await;
        }
        interface.stopped.is_cancelled()
    }

    /// The broker that the flows are on.
    pub(crate) fn backend(&self) -> &dyn Backend {
        self.link.backend()
    }

    /// The producer for a `flow` interface.
    pub(crate) async fn producer(&self, interface: &Interface) -> Result<SharedProducer> {
        interface.producer(&self.link).await
    }

    /// The requester for a `request` interface.
    pub(crate) async fn requester(&self, interface: &Interface) -> Result<SharedRequester> {
        interface.requester(&self.link).await
    }

    /// Waits until the flow is stopped or the gateway shuts down, and returns why users of the interface must end.
    pub(crate) async fn over(&self, interface: &Interface) -> GatewayError {
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => GatewayError::ShuttingDown,
            () = interface.stopped.cancelled() => interface.gone(),
        }
    }

    /// Finds a flow that was not known to run a moment ago.
    async fn find_flow(&self, id: &str) -> Result<Arc<Flow>> {
        let key = Key { config_type: FLOW_TYPE.to_owned(), key: id.to_owned() };
        let found = self.config.get(&[key]).await.map_err(GatewayError::Config)?;
        let Some(record) = found.value.into_iter().next().and_then(|value| value.value) else {
            return Err(self.missing_flow_error(id).await?);
        };
        self.wait_for_version(found.version).await?;
        match self.known(id) {
            Some(FlowState::Running(flow)) => Ok(flow),
            Some(FlowState::Undecided(_)) => Err(GatewayError::FlowStopping { flow: id.to_owned() }),
            Some(FlowState::Starting) => Err(GatewayError::FlowStarting { flow: id.to_owned() }),
            Some(FlowState::Stopping) => Err(GatewayError::FlowStopped { flow: id.to_owned() }),
            None => {
                read(&record).map_err(|source| GatewayError::NotJson { what: format!("the record of flow `{id}`"), source })?;
                Err(GatewayError::FlowStopped { flow: id.to_owned() })
            }
        }
    }

    async fn missing_flow_error(&self, id: &str) -> Result<GatewayError> {
        if self.known.read().unwrap_or_else(PoisonError::into_inner).was_stopped(id) {
            return Ok(GatewayError::FlowStopped { flow: id.to_owned() });
        }
        let known = self.config.list(FLOW_TYPE).await.map_err(GatewayError::Config)?.value;
        Ok(GatewayError::UnknownFlow { flow: id.to_owned(), known })
    }

    /// Waits until at least this version is applied.
    async fn wait_for_version(&self, version: u64) -> Result<()> {
        let mut applied = self.version.clone();
        let reached = tokio::time::timeout(BEHIND_TIME, applied.wait_for(|applied| *applied >= version)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            // The follower only ends on shutdown.
            Ok(Err(_)) => Err(GatewayError::ShuttingDown),
            Err(_) => Err(GatewayError::Behind { version }),
        }
    }

    fn known(&self, id: &str) -> Option<FlowState> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.records.get(id).map(|(_, known)| known.clone())
    }
}
