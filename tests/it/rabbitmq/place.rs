//! All roles in one process over a RabbitMQ, by way of a proxy that makes faults.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use weir_config::records::{COMPONENT_TYPE, ComponentRecord};
use weir_config::{Batch, ComponentFolder, ConfigClient, ConfigService, Store};
use weir_flow::{FlowClient, FlowService, FlowSettings, StartFlow};
use weir_pubsub::{Backend, ConsumerOptions, Limits, Message, Producer, PubsubError, RabbitBroker, TlsFiles};
use weir_runtime::{Host, HostSettings, inspect};
use weir_tests::guest;
use weir_tests::proxy::Proxy;
use weir_tests::rabbitmq::{Broker, DefaultQueues, Vhost};
use weir_tests::wait::{before, pass, within};

use crate::stage::{host_settings, queue};

/// What outlives faults takes longer than other tests.
pub(super) const DEADLINE: Duration = Duration::from_secs(150);

/// The parts of a Weir with one flow, `one`, of one processor that repeats what it gets.
pub(super) struct Place {
    pub(super) proxy: Proxy,
    /// Without the proxy: for the checks.
    pub(super) direct: Arc<RabbitBroker>,
    flows: FlowClient,
    host: Host,
    _services: (ConfigService, FlowService),
    backend: Arc<RabbitBroker>,
    _vhost: Vhost,
    _folder: TempDir,
}

/// Connects to a broker by a URL.
pub(super) async fn connected(url: String) -> Arc<RabbitBroker> {
    within("a connection", RabbitBroker::connect(&url, Limits::default(), &TlsFiles::default())).await.unwrap()
}

const IN: &str = "flow:tg:in:one";
const OUT: &str = "flow:tg:out:one";

impl Place {
    pub(super) async fn on(server: &Broker) -> Self {
        let vhost = server.vhost(DefaultQueues::Classic).await;
        let proxy = Proxy::to(&server.address()).await;
        let backend = connected(server.url_by(proxy.address(), vhost.name())).await;
        let direct = connected(vhost.url().to_owned()).await;
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
        Place { proxy, direct, flows, host, _services: (config_service, flow_service), backend, _vhost: vhost, _folder: folder }
    }

    /// Publishes numbers until the faults are over, each until it is confirmed; returns how many.
    pub(super) async fn send_during(&self, faults: impl Future<Output = ()>) -> u64 {
        let producer = self.direct.producer(&IN.parse().unwrap()).await.unwrap();
        let mut faults = std::pin::pin!(faults);
        let mut count = 0;
        loop {
            let mut burst = Vec::new();
            for number in count..count + 50 {
                burst.push(publish(&*producer, number));
            }
            let sending = futures_util::future::join_all(burst);
            tokio::select! {
                biased;
                () = &mut faults => return count,
                _ = sending => count += 50,
            }
        }
    }

    /// Takes what comes out until all of these numbers have; returns how many came more than once.
    pub(super) async fn expect_all(&self, count: u64) -> u64 {
        let out = queue(OUT, "gateway--one--out");
        let (mut missing, mut doubled): (BTreeSet<u64>, u64) = ((0..count).collect(), 0);
        before(DEADLINE, "all messages", async {
            while !missing.is_empty() {
                let Ok(consumer) = self.direct.consumer(out.topic(), out.subscription(), ConsumerOptions::default()).await else {
                    pass(Duration::from_millis(20)).await;
                    continue;
                };
                while let Ok(delivery) = consumer.receive().await {
                    let number: u64 = std::str::from_utf8(&delivery.message.body).unwrap().parse().unwrap();
                    let _ = self.direct.settle(&delivery.receipt, Vec::new()).await;
                    // Of the last burst some were sent and not counted.
                    if !missing.remove(&number) && number < count {
                        doubled += 1;
                    }
                    if missing.is_empty() {
                        break;
                    }
                }
            }
        })
        .await;
        doubled
    }

    /// Whether any connection of the roles is there.
    pub(super) fn is_connected(&self) -> bool {
        !self.backend.is_lost_for_test()
    }

    /// Stops the flow and all roles; its queues are gone then.
    pub(super) async fn end(self) {
        let stopped = async {
            while let Err(error) = self.flows.stop_flow("one").await {
                tracing::debug!(%error, "stopped again");
                pass(Duration::from_millis(100)).await;
            }
        };
        before(DEADLINE, "the stop of the flow", stopped).await;
        for gone in [queue(IN, "echo--one--input"), queue(OUT, "gateway--one--out")] {
            assert!(!self.direct.queue_exists(&gone).await.unwrap(), "{gone}");
        }
        self.host.stop(Duration::from_secs(20)).await;
        within("the close", self.backend.close()).await;
    }
}

async fn publish(producer: &dyn Producer, number: u64) {
    loop {
        match producer.publish_confirmed(Message::new(number.to_string())).await {
            Ok(()) => return,
            Err(PubsubError::Unavailable { .. } | PubsubError::OutcomeUnknown { .. }) => pass(Duration::from_millis(20)).await,
            // Of a queue declared just before, or one that its owner has not made again.
            Err(PubsubError::QueueNotFound { .. }) => pass(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
}
