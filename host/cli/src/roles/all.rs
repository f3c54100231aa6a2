//! All roles in one process, started in the order of their dependencies and stopped in the reverse order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio::time::Instant;
use weir_config::{ComponentFolder, ConfigService};
use weir_flow::FlowService;
use weir_pubsub::{Backend, Notice};
use weir_runtime::EngineStart;

use super::gateway::GatewayRole;
use super::host::HostRole;
use super::standby::Role;
use super::{Access, Context, broker, components, config, flow, gateway, host};
use crate::folder::DataFolder;
use crate::settings::Settings;
use crate::supervisor::{EndedRole, Watched, first_to_end};

/// Time limit for closing the connection to the broker: a broker that does not answer must not keep the process alive.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// Everything that `weir up` runs.
pub(crate) struct Roles {
    /// The gateway's address.
    pub(crate) address: SocketAddr,
    backend: Arc<dyn Backend>,
    config: Role<ConfigService>,
    flow: Role<FlowService>,
    host: HostRole,
    gateway: GatewayRole,
}

/// Prerequisites for starting anything.
pub(crate) struct Prerequisites {
    listener: TcpListener,
    engine: EngineStart,
    backend: Arc<dyn Backend>,
}

impl Prerequisites {
    /// Binds the gateway's address and connects to the broker, waiting for it if necessary. Creates the engine of the host meanwhile.
    ///
    /// # Cancel safety
    /// Yes, except with the embedded broker.
    pub(crate) async fn take(folder: &DataFolder, settings: &Settings) -> anyhow::Result<Self> {
        let listener = gateway::bind(settings.listen).await?;
        let engine = host::engine(folder, settings);
        let backend = broker::open(folder, settings).await?;
        Ok(Prerequisites { listener, engine, backend })
    }
}

impl Roles {
    /// Starts everything. The returned roles answer requests.
    pub(crate) async fn start(
        prerequisites: Prerequisites,
        folder: &DataFolder,
        settings: &Settings,
        access: &Access,
    ) -> anyhow::Result<Self> {
        Self::begin(prerequisites, folder, settings, access).await.map_err(|error| broker::explained(settings, error))
    }

    async fn begin(prerequisites: Prerequisites, folder: &DataFolder, settings: &Settings, access: &Access) -> anyhow::Result<Self> {
        let Prerequisites { listener, engine, backend } = prerequisites;
        let address = listener.local_addr().context("the gateway's address is not known")?;
        let context = Context { folder, settings, backend: backend.clone(), components: ComponentFolder::new(folder.components()) };
        let client = context.config_client().await?;
        let config = config::start(&context, &client).await?;
        let flow = flow::start(&context, client.clone(), config.is_answered()).await?;
        // On a shared broker, queues without a flow may belong to other programs.
        if config.is_running() && !backend.is_shared() {
            weir_gateway::warn_of_unowned_queues(&*backend, &client, context.topicspace()).await;
        }
        let store = components::store_elsewhere(settings)?;
        let provided = match &store {
            None => components::of_store(&context, &client).await?,
            Some(store) => components::of_gateway(&context, store.clone(), &settings.processor_files).await?,
        };
        let host = host::start(&context, engine, client.clone(), provided, None).await?;
        let gateway = GatewayRole::start(&context, client, listener, access, store);
        Ok(Roles { address, backend, config, flow, host, gateway })
    }

    /// Notices for people about what was found on start-up.
    pub(crate) fn notices(&self) -> Vec<Notice> {
        let of_services = [self.config.notice(), self.flow.notice()].into_iter().flatten();
        let of_services = of_services.map(|text| Notice { count: None, text });
        self.backend.notices().into_iter().chain(of_services).collect()
    }

    /// Waits until a role ends unexpectedly.
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn failed(&mut self) -> EndedRole {
        let Roles { backend, config, flow, host, gateway, .. } = self;
        first_to_end(vec![
            Watched::new("the broker", backend.failed()),
            Watched::new("the config service", config.failed()),
            Watched::new("the flow service", flow.failed()),
            Watched::new("the host of processors", host.failed()),
            Watched::new("the gateway", gateway.failed()),
        ])
        .await
    }

    /// Stops everything: first the intake, then messages in flight, then the services, then the queues.
    pub(crate) async fn stop(self, grace: Duration) {
        // Without the broker nothing can be settled, so there is nothing to wait for.
        let grace = if is_broken(&*self.backend) { Duration::ZERO } else { grace };
        let deadline = Instant::now() + grace;
        let left = || deadline.saturating_duration_since(Instant::now());
        self.gateway.stop(left() / 2).await;
        // The host itself reports processors that exceeded the grace period.
        self.host.stop(left()).await;
        let services = async {
            self.flow.stop().await;
            self.config.stop().await;
        };
        // An operation of the flow service that is aborted here is completed or undone on the next start.
        if tokio::time::timeout(left().max(Duration::from_secs(1)), services).await.is_err() {
            tracing::warn!("services aborted");
        }
        close(&*self.backend).await;
    }
}

/// Whether the broker itself has failed.
pub(super) fn is_broken(backend: &dyn Backend) -> bool {
    backend.failed().now_or_never().is_some()
}

/// Closes the broker or the connection to it.
pub(super) async fn close(backend: &dyn Backend) {
    close_within(CLOSE_LIMIT, backend.close()).await;
}

/// Waits for the end of the broker or of its connection, with a time limit.
async fn close_within(limit: Duration, closing: impl Future<Output = ()>) {
    if tokio::time::timeout(limit, closing).await.is_err() {
        tracing::warn!(limit_s = limit.as_secs(), "broker not closed within its time limit; confirmed messages are stored");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_broker_that_never_closes_does_not_block_the_exit() {
        let stopped = close_within(Duration::from_millis(10), std::future::pending());
        tokio::time::timeout(Duration::from_secs(60), stopped).await.unwrap();
        let mut is_closed = false;
        close_within(CLOSE_LIMIT, async {
            tokio::task::yield_now().await;
            is_closed = true;
        })
        .await;
        assert!(is_closed, "one that closes in time is waited for");
    }
}
