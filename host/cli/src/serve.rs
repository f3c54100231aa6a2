//! All roles in one process, started in the order in which they need each other and ended in the reverse one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_config::records::ComponentRecord;
use weir_config::{ComponentFolder, ConfigClient, ConfigService, Store};
use weir_flow::FlowService;
use weir_gateway::{GatewayError, GatewayParts, GatewaySettings, Inspect, Token};
use weir_pubsub::Backend;
use weir_pubsub::chain;
use weir_pubsub::embedded::{EmbeddedBroker, OpeningReport};
use weir_runtime::{Host, HostSettings, Inspected, Served};

use crate::folder::DataFolder;
use crate::problem::{Exit, Problem};
use crate::settings::Settings;

/// The topicspace of everything here: that of the wire's other side, so that its programs find us.
const TOPICSPACE: &str = "tg";

/// Everything that `weir up` runs.
pub(crate) struct Roles {
    /// The gateway's address.
    pub(crate) address: SocketAddr,
    /// What was found in the queues at the start.
    pub(crate) opened: OpeningReport,
    broker: Arc<EmbeddedBroker>,
    config: ConfigService,
    flow: FlowService,
    host: Host,
    gateway: JoinSet<Result<(), GatewayError>>,
    gateway_token: CancellationToken,
}

impl Roles {
    /// Starts everything; what is returned answers requests.
    pub(crate) async fn start(folder: &DataFolder, settings: &Settings, token: Option<Token>) -> anyhow::Result<Self> {
        let listener = bind(settings.listen).await?;
        let address = listener.local_addr().context("the gateway's address is not known")?;
        let (queues, options) = (folder.queues(), settings.broker.clone());
        let opened = tokio::task::spawn_blocking(move || EmbeddedBroker::open(&queues, options)).await?;
        let broker = opened.map_err(|error| unusable(folder, error))?;
        let backend: Arc<dyn Backend> = broker.clone();
        let store = Store::open(&folder.config()).await.map_err(|error| unusable(folder, error))?;
        let config = ConfigService::start(backend.clone(), TOPICSPACE, store).await.context("the config service did not start")?;
        let client = ConfigClient::connect(backend.clone(), TOPICSPACE).await.context("the config service cannot be reached")?;
        let flow = FlowService::start(backend.clone(), client.clone(), TOPICSPACE, settings.flow.clone());
        let flow = flow.await.context("the flow service did not start")?;
        let components = ComponentFolder::new(folder.components());
        let host = start_host(folder, backend.clone(), client.clone(), components.clone(), settings.instances_count).await?;
        let gateway_token = CancellationToken::new();
        let parts = GatewayParts {
            backend,
            config: client,
            components,
            inspect: inspect_with(settings),
            topicspace: TOPICSPACE.to_owned(),
            settings: GatewaySettings { token, ..settings.gateway.clone() },
        };
        let mut gateway = JoinSet::new();
        gateway.spawn(weir_gateway::serve(listener, parts, gateway_token.clone()));
        let opened = broker.opening_report().clone();
        Ok(Roles { address, opened, broker, config, flow, host, gateway, gateway_token })
    }

    /// Waits until a role ends by itself, which none should.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        match self.gateway.join_next().await {
            Some(Ok(Err(error))) => anyhow::Error::new(error).context("the gateway failed"),
            Some(Err(error)) => anyhow::Error::new(error).context("the gateway failed"),
            Some(Ok(Ok(()))) | None => Problem::new(Exit::Failed, "the gateway ended by itself").into(),
        }
    }

    /// Ends everything: first no more intake, then the messages in work, then the services, then the queues.
    pub(crate) async fn stop(mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        let left = || deadline.saturating_duration_since(Instant::now());
        self.gateway_token.cancel();
        if tokio::time::timeout(left() / 2, self.gateway.join_next()).await.is_err() {
            tracing::warn!("requests under way are cut off");
        }
        self.gateway.shutdown().await;
        // The host says itself whom the grace time did not suffice for.
        let _ = self.host.stop(left()).await;
        let services = async {
            self.flow.stop().await;
            self.config.stop().await;
        };
        // An operation of the flow service that is cut off here is finished or undone at the next start.
        if tokio::time::timeout(left().max(Duration::from_secs(1)), services).await.is_err() {
            tracing::warn!("services are cut off");
        }
        self.broker.close().await;
    }
}

async fn bind(listen: SocketAddr) -> Result<TcpListener, Problem> {
    TcpListener::bind(listen).await.map_err(|error| {
        Problem::new(Exit::Unavailable, format!("the gateway cannot listen on {listen}"))
            .because(error)
            .next("stop what uses this port, or take another: --listen 127.0.0.1:0 takes a free one")
    })
}

/// Checks components, and gives their records the limits that are set.
fn inspect_with(settings: &Settings) -> Inspect {
    let (limits, retry) = (settings.limits.clone(), settings.retry.clone());
    Arc::new(move |bytes| {
        let checked = weir_runtime::inspect(bytes).and_then(Inspected::check).map_err(|fault| chain(&fault))?;
        Ok(ComponentRecord { limits: limits.clone(), retry: retry.clone(), ..ComponentRecord::from(checked) })
    })
}

async fn start_host(
    folder: &DataFolder,
    backend: Arc<dyn Backend>,
    config: ConfigClient,
    components: ComponentFolder,
    instances_count: u32,
) -> anyhow::Result<Host> {
    let settings = HostSettings {
        id: host_id(),
        topicspace: TOPICSPACE.to_owned(),
        components,
        code_cache: folder.cache(),
        served: Served::All,
        instances_count: if instances_count == 0 { HostSettings::instances_for_this_machine() } else { instances_count },
    };
    Host::start(backend, config, settings).await.context("the host of processors did not start")
}

/// Different for each process: its number, and when it started.
fn host_id() -> String {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}-{:x}", std::process::id(), since_1970.as_millis())
}

fn unusable(folder: &DataFolder, error: impl std::error::Error + Send + Sync + 'static) -> Problem {
    Problem::new(Exit::NoFolder, format!("the data in {} cannot be opened", folder.path().display()))
        .because(error)
        .next("nothing was changed; see docs/operating.md, or start on another folder: weir up --data DIR")
}
