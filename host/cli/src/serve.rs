//! All roles in one process, started in the order in which they need each other and ended in the reverse one.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_config::records::{ComponentDefaults, ComponentLimits, ComponentRecord};
use weir_config::{ComponentFolder, ConfigClient, ConfigService, Store};
use weir_flow::FlowService;
use weir_gateway::{GatewayError, GatewayParts, GatewaySettings, Inspect, Token, UnusedCode};
use weir_pubsub::embedded::{EmbeddedBroker, OpeningReport};
use weir_pubsub::{Backend, broken_off, chain};
use weir_runtime::{Checker, Host, HostSettings, RuntimeError, Served};

use crate::folder::DataFolder;
use crate::logging;
use crate::problem::{Exit, Problem};
use crate::settings::Settings;
use crate::supervisor::{Fallen, Watched, first_to_end};

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
        let opened = tokio::task::spawn_blocking(move || EmbeddedBroker::open(&queues, options)).await;
        let opened = opened.map_err(|error| unusable(folder, std::io::Error::other(broken_off(error))))?;
        let broker = opened.map_err(|error| unusable(folder, error))?;
        let backend: Arc<dyn Backend> = broker.clone();
        let store = Store::open(&folder.config()).await.map_err(|error| unusable(folder, error))?;
        let config = ConfigService::start(backend.clone(), TOPICSPACE, store).await.context("the config service did not start")?;
        let client = ConfigClient::connect(backend.clone(), TOPICSPACE).await.context("the config service cannot be reached")?;
        let flow = FlowService::start(backend.clone(), client.clone(), TOPICSPACE, settings.flow.clone());
        let flow = flow.await.context("the flow service did not start")?;
        weir_gateway::warn_of_unowned_queues(&*backend, &client, TOPICSPACE).await;
        let components = ComponentFolder::new(folder.components());
        let host = start_host(folder, backend.clone(), client.clone(), components.clone(), settings).await?;
        let checker = LazyChecker::new(instances_count(settings));
        let gateway_token = CancellationToken::new();
        let parts = GatewayParts {
            backend,
            config: client,
            components,
            inspect: inspect_with(settings, checker.clone()),
            defaults: defaults(settings),
            unused_code: unused_code_of(folder, checker),
            topicspace: TOPICSPACE.to_owned(),
            dropped_log_lines: logging::dropped_count,
            settings: GatewaySettings { token, drain_time: drain_time(settings.grace), ..settings.gateway.clone() },
        };
        let mut gateway = JoinSet::new();
        gateway.spawn(weir_gateway::serve(listener, parts, gateway_token.clone()));
        #[cfg(debug_assertions)]
        break_on_signal(&broker)?;
        let opened = broker.opening_report().clone();
        Ok(Roles { address, opened, broker, config, flow, host, gateway, gateway_token })
    }

    /// Waits until a role ends by itself, which none should.
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn failed(&mut self) -> Fallen {
        let Roles { broker, config, flow, host, gateway, .. } = self;
        first_to_end(vec![
            Watched::new("the broker", broker.failed()),
            Watched::new("the config service", config.failed()),
            Watched::new("the flow service", flow.failed()),
            Watched::new("the host of processors", host.failed()),
            Watched::new("the gateway", gateway_failed(gateway)),
        ])
        .await
    }

    /// Ends everything: first no more intake, then the messages in work, then the services, then the queues.
    pub(crate) async fn stop(mut self, grace: Duration) {
        // Without the broker nothing can be settled, so there is nothing to wait for.
        let grace = if self.broker.has_failed() { Duration::ZERO } else { grace };
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

/// How long requests under way may take at the stop: the gateway has half of the grace time, and its last answers need some of it.
fn drain_time(grace: Duration) -> Duration {
    GatewaySettings::default().drain_time.min(grace / 4)
}

/// Waits until the gateway has ended, and returns the reason.
async fn gateway_failed(gateway: &mut JoinSet<Result<(), GatewayError>>) -> String {
    match gateway.join_next().await {
        Some(Ok(Err(error))) => chain(&error),
        Some(Err(error)) => broken_off(error),
        Some(Ok(Ok(()))) | None => "it ended by itself".to_owned(),
    }
}

/// SIGUSR2 makes the commit thread panic, so that a test sees how the process ends then. Debug builds alone have it.
#[cfg(debug_assertions)]
fn break_on_signal(broker: &Arc<EmbeddedBroker>) -> std::io::Result<()> {
    let mut signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::user_defined2())?;
    let broker = Arc::downgrade(broker);
    tokio::spawn(async move {
        signal.recv().await;
        if let Some(broker) = broker.upgrade() {
            broker.break_commit_thread();
        }
    });
    Ok(())
}

async fn bind(listen: SocketAddr) -> Result<TcpListener, Problem> {
    TcpListener::bind(listen).await.map_err(|error| {
        Problem::new(Exit::Unavailable, format!("the gateway cannot listen on {listen}"))
            .because(error)
            .next("stop what uses this port, or take another: --listen 127.0.0.1:0 takes a free one")
    })
}

type MakeChecker = Box<dyn FnOnce() -> Result<Checker, RuntimeError> + Send>;

/// The check of components, made when it is first needed: most starts need none.
#[derive(Clone)]
struct LazyChecker(Arc<LazyLock<Result<Checker, RuntimeError>, MakeChecker>>);

impl LazyChecker {
    fn new(instances_count: u32) -> Self {
        LazyChecker(Arc::new(LazyLock::new(Box::new(move || Checker::new(instances_count)))))
    }

    fn get(&self) -> Result<&Checker, String> {
        LazyLock::force(&self.0).as_ref().map_err(|error| chain(error))
    }
}

/// Checks components under the limits that hold for them. Their records hold no limits: where a deployment gives none, the settings count.
fn inspect_with(settings: &Settings, checker: LazyChecker) -> Inspect {
    let limits = settings.limits.clone();
    Arc::new(move |bytes, memory_bytes| {
        let given = ComponentLimits { memory_bytes: memory_bytes.unwrap_or(limits.memory_bytes), ..limits.clone() };
        let checked = checker.get()?.check(bytes, &given).map_err(|fault| chain(&fault))?;
        Ok(ComponentRecord::from(checked))
    })
}

fn defaults(settings: &Settings) -> ComponentDefaults {
    ComponentDefaults { limits: settings.limits.clone(), retry: settings.retry.clone() }
}

/// Finds compiled code that nothing needs in the host's folder.
fn unused_code_of(folder: &DataFolder, checker: LazyChecker) -> UnusedCode {
    let cache = folder.cache();
    Arc::new(move |named| checker.get().map_err(std::io::Error::other)?.unused_code(&cache, named))
}

/// The instance slots of the host.
fn instances_count(settings: &Settings) -> u32 {
    match settings.instances_count {
        0 => HostSettings::instances_for_this_machine(),
        count => count,
    }
}

async fn start_host(
    folder: &DataFolder,
    backend: Arc<dyn Backend>,
    config: ConfigClient,
    components: ComponentFolder,
    settings: &Settings,
) -> anyhow::Result<Host> {
    let settings = HostSettings {
        id: host_id(),
        topicspace: TOPICSPACE.to_owned(),
        components,
        code_cache: folder.cache(),
        served: if settings.processors.is_empty() { Served::All } else { Served::Names(settings.processors.clone()) },
        instances_count: instances_count(settings),
        outputs_bytes: settings.outputs_bytes,
        defaults: defaults(settings),
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
