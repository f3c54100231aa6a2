//! All roles in one process on a real broker, through a connection that can inject faults.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use weir_config::records::{COMPONENT_TYPE, ComponentRecord};
use weir_config::{Batch, ComponentFolder, ConfigClient, ConfigService, Store};
use weir_flow::{FlowClient, FlowError, FlowService, FlowSettings, StartFlow};
use weir_runtime::{Host, HostSettings, inspect};
use weir_tests::guest;
use weir_tests::tally::rounds;
use weir_tests::wait::{before, eventually, pass, seed, within};

use super::load::{DEADLINE, Load, Pace};
use super::space::{Client, ProxiedLine, TestBroker};
use crate::guests::ECHO;
use crate::host_fixture::host_settings;

/// The parts of a Weir with one flow, `one`, whose only processor is echo.
pub(crate) struct WeirFixture {
    pub(crate) line: Arc<ProxiedLine>,
    load: Load,
    flows: FlowClient,
    host: Host,
    _services: (ConfigService, FlowService),
    /// The client of the roles.
    pub(crate) client: Arc<Client>,
    pub(crate) space: TestBroker,
    _folder: TempDir,
}

/// How a broker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Terminated, as by a service manager.
    Asked,
    /// Killed, as by `kill -9`.
    Killed,
}

impl WeirFixture {
    pub(crate) async fn on(space: TestBroker) -> Self {
        let line = Arc::new(space.line().await);
        let client = Arc::new(space.client(Some(&*line)).await);
        let backend = client.backend();
        let load = Load::on(&space, Pace::FULL).await;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("config.sqlite")).await.unwrap();
        let config_service = ConfigService::start(backend.clone(), space.name(), store).await.unwrap();
        let config = ConfigClient::connect(backend.clone(), space.name()).await.unwrap();
        let flow_service = FlowService::start(backend.clone(), config.clone(), space.name(), FlowSettings::default()).await.unwrap();
        let flows = FlowClient::connect(backend.clone(), space.name()).await.unwrap();
        let components = ComponentFolder::new(folder.path().join("components"));
        let settings =
            HostSettings { instances_count: 8, topicspace: space.name().to_owned(), ..host_settings(folder.path(), &components) };
        let host = Host::start(backend.clone(), config.clone(), settings).await.unwrap();
        let bytes = guest(ECHO);
        components.put(&bytes).await.unwrap();
        let record = serde_json::to_string(&ComponentRecord::from(inspect(&bytes).unwrap())).unwrap();
        config.apply(Batch::new().put(COMPONENT_TYPE, "echo@1.0.0", record)).await.unwrap();
        flows.put_blueprint("b", &space.blueprint(ECHO).to_string()).await.unwrap();
        flows.start_flow(StartFlow { id: "one".to_owned(), blueprint: "b".to_owned(), ..StartFlow::default() }).await.unwrap();
        WeirFixture { line, load, flows, host, _services: (config_service, flow_service), client, space, _folder: folder }
    }

    /// Sends numbers through the flow while these faults strike, prints the outcome, and stops everything: nothing may be lost.
    pub(crate) async fn outlives(self, test: &str, faults: impl Future<Output = ()>) {
        self.load.send_during(faults).await;
        self.load.arrived().await.show(&format!("{test}, {}", self.space.broker()));
        self.end().await;
    }

    /// Connections are cut, also in the middle of a transfer.
    pub(crate) async fn outlives_cuts(self) {
        let (line, mut random) = (self.line.clone(), StdRng::seed_from_u64(seed()));
        let faults = async {
            for _ in 0..rounds(6) {
                pass(Duration::from_millis(random.random_range(200..1_200))).await;
                line.cut_at_random(random.random(), 200_000);
                pass(Duration::from_millis(random.random_range(50..400))).await;
                line.cut();
            }
        };
        self.outlives("connections cut", faults).await;
    }

    /// Nothing is forwarded while connections stay open.
    pub(crate) async fn outlives_half_open_connections(self) {
        let (line, client) = (self.line.clone(), self.client.clone());
        let faults = async {
            for _ in 0..rounds(1) {
                pass(Duration::from_millis(500)).await;
                line.hold();
                // Heartbeats detect it: the held connections are dropped.
                eventually(DEADLINE, "the end of the connections", || async { client.is_lost().then_some(()) }).await;
                line.cut();
                line.release();
                pass(Duration::from_millis(500)).await;
            }
        };
        self.outlives("connections half open", faults).await;
    }

    /// The broker ends and is restarted.
    pub(crate) async fn outlives_restarts(self, restart: impl AsyncFn(End)) {
        let faults = async {
            for round in 0..rounds(2) {
                pass(Duration::from_millis(1_500)).await;
                restart(if round % 2 == 0 { End::Asked } else { End::Killed }).await;
            }
            pass(Duration::from_millis(1_000)).await;
        };
        self.outlives("broker ended and killed", faults).await;
    }

    /// Stops the flow and all roles; its queues are gone then.
    async fn end(self) {
        let stopped = async {
            loop {
                match self.flows.stop_flow("one").await {
                    Ok(_) => return,
                    // An operation whose answer was lost was done.
                    Err(FlowError::Answered { message, .. }) if message.contains("does not exist") => return,
                    Err(error) => tracing::debug!(%error, "stopped again"),
                }
                pass(Duration::from_millis(100)).await;
            }
        };
        before(DEADLINE, "the stop of the flow", stopped).await;
        assert!(self.space.queues().await.is_empty(), "{:?}", self.space.queues().await);
        self.host.stop(Duration::from_secs(20)).await;
        within("the close", self.client.backend().close()).await;
    }
}
