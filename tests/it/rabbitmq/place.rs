//! All roles in one process over a RabbitMQ, by way of a proxy that makes faults.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use weir_config::records::{COMPONENT_TYPE, ComponentRecord};
use weir_config::{Batch, ComponentFolder, ConfigClient, ConfigService, Store};
use weir_flow::{FlowClient, FlowService, FlowSettings, StartFlow};
use weir_pubsub::{Backend, Limits, RabbitBroker, TlsFiles};
use weir_runtime::{Host, HostSettings, inspect};
use weir_tests::guest;
use weir_tests::proxy::Proxy;
use weir_tests::rabbitmq::{Broker, DefaultQueues, Vhost};
use weir_tests::wait::{before, pass, within};

use super::load::{DEADLINE, Load, Pace, queues};
use super::quorum::vhost_of;
use crate::stage::host_settings;

/// The parts of a Weir with one flow, `one`, of one processor that repeats what it gets.
pub(super) struct Place {
    pub(super) proxy: Arc<Proxy>,
    load: Load,
    flows: FlowClient,
    host: Host,
    _services: (ConfigService, FlowService),
    /// Of the roles.
    pub(super) backend: Arc<RabbitBroker>,
    _vhost: Vhost,
    _folder: TempDir,
}

/// Connects to a broker by a URL.
pub(crate) async fn connected(url: String) -> Arc<RabbitBroker> {
    within("a connection", RabbitBroker::connect(&url, Limits::default(), &TlsFiles::default(), None)).await.unwrap()
}

impl Place {
    pub(super) async fn on(server: &Broker, queues: DefaultQueues) -> Self {
        let vhost = vhost_of(server, queues).await;
        let proxy = Arc::new(Proxy::to(&server.address()).await);
        let backend = connected(server.url_by(proxy.address(), vhost.name())).await;
        let load = Load::on(vhost.url(), Pace::FULL).await;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("config.sqlite")).await.unwrap();
        let config_service = ConfigService::start(backend.clone(), "tg", store).await.unwrap();
        let config = ConfigClient::connect(backend.clone(), "tg").await.unwrap();
        let flow_service = FlowService::start(backend.clone(), config.clone(), "tg", FlowSettings::default()).await.unwrap();
        let flows = FlowClient::connect(backend.clone(), "tg").await.unwrap();
        let components = ComponentFolder::new(folder.path().join("components"));
        let settings = HostSettings { instances_count: 8, ..host_settings(folder.path(), &components) };
        let host = Host::start(backend.clone(), config.clone(), settings).await.unwrap();
        let bytes = guest("echo");
        components.put(&bytes).await.unwrap();
        let record = serde_json::to_string(&ComponentRecord::from(inspect(&bytes).unwrap())).unwrap();
        config.apply(Batch::new().put(COMPONENT_TYPE, "echo@1.0.0", record)).await.unwrap();
        let blueprint = json!({
            "blueprint": {},
            "flow": {"echo:{id}": {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}, "component": "echo@1.0.0"}},
            "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
        });
        flows.put_blueprint("echo", &blueprint.to_string()).await.unwrap();
        flows.start_flow(StartFlow { id: "one".to_owned(), blueprint: "echo".to_owned(), ..StartFlow::default() }).await.unwrap();
        Place { proxy, load, flows, host, _services: (config_service, flow_service), backend, _vhost: vhost, _folder: folder }
    }

    /// Sends numbers through the flow while these faults strike, shows what became of them, and stops everything: nothing may be lost.
    pub(super) async fn outlives(self, test: &str, faults: impl Future<Output = ()>) {
        self.load.send_during(faults).await;
        self.load.arrived().await.show(test);
        self.end().await;
    }

    /// Stops the flow and all roles; its queues are gone then.
    async fn end(self) {
        let stopped = async {
            while let Err(error) = self.flows.stop_flow("one").await {
                tracing::debug!(%error, "stopped again");
                pass(Duration::from_millis(100)).await;
            }
        };
        before(DEADLINE, "the stop of the flow", stopped).await;
        for gone in queues() {
            assert!(!self.load.backend.queue_exists(&gone).await.unwrap(), "{gone}");
        }
        self.host.stop(Duration::from_secs(20)).await;
        within("the close", self.backend.close()).await;
    }
}
