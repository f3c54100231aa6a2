//! All roles in one process over one connection that can be cut.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_config::records::{COMPONENT_TYPE, ComponentRecord};
use weir_config::{Batch, ComponentFolder, ConfigClient, ConfigService, Store};
use weir_flow::{FlowClient, FlowError, FlowService, FlowSettings, StartFlow};
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions, SyncMode};
use weir_pubsub::{Backend, ConsumerOptions, Message, PubsubError};
use weir_runtime::{Host, HostSettings, inspect};
use weir_tests::cutting::Cutting;
use weir_tests::guest;
use weir_tests::wait::{before, pass, within};

use crate::host_fixture::{host_settings, queue};

/// Operations that need many attempts take longer than other tests.
pub(super) const DEADLINE: Duration = Duration::from_secs(120);
/// The longest time between two losses.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// The minimum number of losses during a test.
pub(super) const LOSSES_COUNT: u64 = 8;

/// Waits for something that needs many attempts.
pub(super) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    before(DEADLINE, what, future).await
}

/// The parts of a Weir, each of which reaches the broker through the connection.
pub(super) struct WeirFixture {
    /// Not through the connection: for the checks.
    pub(super) broker: Arc<EmbeddedBroker>,
    pub(super) cutting: Arc<Cutting>,
    pub(super) config: ConfigClient,
    pub(super) flows: FlowClient,
    pub(super) components: ComponentFolder,
    pub(super) folder: TempDir,
    _services: (ConfigService, FlowService),
}

/// The interval at which the flow service checks for leftovers, unless a test sets it.
const RESUME_EVERY: Duration = Duration::from_millis(200);

impl WeirFixture {
    pub(super) async fn new() -> Self {
        Self::resuming_every(RESUME_EVERY).await
    }

    /// A Weir whose flow service checks for leftovers and missing queues at this interval.
    pub(super) async fn resuming_every(resume_every: Duration) -> Self {
        Self::over(resume_every, |_| ()).await
    }

    /// Over a broker that counts nothing and does not support limits of queues.
    pub(super) async fn plain() -> Self {
        Self::over(RESUME_EVERY, Cutting::be_plain).await
    }

    async fn over(resume_every: Duration, begin: impl FnOnce(&Cutting)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { sync: SyncMode::None, ..EmbeddedOptions::default() };
        let broker = EmbeddedBroker::open(&folder.path().join("queues"), options).unwrap();
        let cutting = Cutting::over(broker.clone());
        begin(&cutting);
        let store = Store::open(&folder.path().join("config.sqlite")).await.unwrap();
        let config_service = ConfigService::start(cutting.clone(), "tg", store).await.unwrap();
        let config = ConfigClient::connect(cutting.clone(), "tg").await.unwrap();
        let settings = FlowSettings {
            stop_wait: Duration::from_secs(2),
            delete_pause: Duration::from_millis(20),
            resume_every,
            ..FlowSettings::default()
        };
        let flow_service = FlowService::start(cutting.clone(), config.clone(), "tg", settings).await.unwrap();
        let flows = FlowClient::connect(cutting.clone(), "tg").await.unwrap();
        let components = ComponentFolder::new(folder.path().join("components"));
        WeirFixture { broker, cutting, config, flows, components, folder, _services: (config_service, flow_service) }
    }

    pub(super) async fn host(&self) -> Host {
        let settings = HostSettings { instances_count: 8, ..host_settings(self.folder.path(), &self.components) };
        Host::start(self.cutting.clone(), self.config.clone(), settings).await.unwrap()
    }

    /// Deploys a component and stores a blueprint of its own name, with an interface for each of its topics.
    pub(super) async fn deploy(&self, name: &str, topics: &Value, interfaces: &Value) {
        let bytes = guest(name);
        self.components.put(&bytes).await.unwrap();
        let record = ComponentRecord::from(inspect(&bytes).unwrap());
        let deployment = format!("{name}@1.0.0");
        self.config.apply(Batch::new().put(COMPONENT_TYPE, &deployment, serde_json::to_string(&record).unwrap())).await.unwrap();
        let blueprint = json!({
            "blueprint": {},
            "flow": {format!("{name}:{{id}}"): {"topics": topics, "component": deployment}},
            "interfaces": interfaces,
        });
        self.flows.put_blueprint(name, &blueprint.to_string()).await.unwrap();
    }

    /// Deploys a component between an input and an output, each an interface: `in` and `out`.
    pub(super) async fn deploy_between(&self, name: &str) {
        let topics = json!({"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"});
        self.deploy(name, &topics, &json!({"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}})).await;
    }

    /// Starts a flow, repeating until it succeeds: a start whose answer was lost may have been done.
    pub(super) async fn start(&self, blueprint: &str, id: &str) {
        let flow = || StartFlow { id: id.to_owned(), blueprint: blueprint.to_owned(), ..StartFlow::default() };
        self.until(&format!("the start of {id}"), async || match self.flows.start_flow(flow()).await {
            Ok(_) => true,
            Err(FlowError::Answered { message, .. }) => message.contains("already"),
            Err(_) => false,
        })
        .await;
    }

    pub(super) async fn stop(&self, id: &str) {
        self.until(&format!("the stop of {id}"), async || match self.flows.stop_flow(id).await {
            Ok(_) => true,
            Err(FlowError::Answered { message, .. }) => message.contains("does not exist"),
            Err(_) => false,
        })
        .await;
    }

    /// Publishes until the broker has confirmed it; the message may then be there more than once.
    pub(super) async fn send(&self, topic: &str, body: String) {
        let producer = self.cutting_producer(topic).await;
        self.until("a confirmed publish", async || match producer.publish_confirmed(Message::new(body.clone())).await {
            Ok(()) => true,
            Err(error @ (PubsubError::Unavailable { .. } | PubsubError::OutcomeUnknown { .. })) => {
                tracing::debug!(%error, "sent again");
                false
            }
            Err(error) => panic!("{error}"),
        })
        .await;
    }

    async fn cutting_producer(&self, topic: &str) -> Box<dyn weir_pubsub::Producer> {
        let topic = topic.parse().unwrap();
        loop {
            match self.cutting.producer(&topic).await {
                Ok(producer) => return producer,
                Err(_) => pass(Duration::from_millis(5)).await,
            }
        }
    }

    /// Takes everything out of a queue.
    pub(super) async fn empty(&self, topic: &str, subscription: &str) {
        let queue = queue(topic, subscription);
        let consumer = self.broker.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap();
        while self.depth(topic, subscription).await > 0 {
            let delivery = within("a delivery", consumer.receive()).await.unwrap();
            self.broker.settle(&delivery.receipt, Vec::new()).await.unwrap();
        }
    }

    /// Retries until it succeeds.
    pub(super) async fn until(&self, what: &str, mut works: impl AsyncFnMut() -> bool) {
        before(DEADLINE, what, async {
            while !works().await {
                pass(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Waits until the queues are exactly those of the running flows; a failure at the deadline contains the differences.
    pub(super) async fn until_queues_are(&self, expected: &BTreeSet<String>) {
        let reached = tokio::time::timeout(DEADLINE, async {
            while self.queues() != *expected {
                pass(Duration::from_millis(5)).await;
            }
        });
        if reached.await.is_err() {
            let flows = self.config.list("flow").await;
            assert_eq!(self.queues(), *expected, "after {} s; flows: {flows:?}", DEADLINE.as_secs());
        }
    }

    /// Retries until there is a value.
    pub(super) async fn until_some<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        before(DEADLINE, what, async {
            loop {
                match look().await {
                    Some(found) => return found,
                    None => pass(Duration::from_millis(5)).await,
                }
            }
        })
        .await
    }

    /// How many messages a queue holds, including those in flight.
    pub(super) async fn depth(&self, topic: &str, subscription: &str) -> u64 {
        weir_tests::look::depth(&*self.broker, &queue(topic, subscription)).await
    }

    /// The bodies waiting in a queue.
    pub(super) async fn bodies(&self, topic: &str, subscription: &str) -> Vec<String> {
        let found = weir_tests::look::messages(&*self.broker, &queue(topic, subscription), u32::MAX).await;
        found.into_iter().map(|message| String::from_utf8(message.body.to_vec()).unwrap()).collect()
    }

    /// The numbers that a queue holds, each at least once, in any order.
    pub(super) async fn numbers(&self, topic: &str, subscription: &str) -> BTreeSet<u64> {
        self.bodies(topic, subscription).await.iter().map(|body| body.parse().unwrap()).collect()
    }

    /// Waits until the numbers sent into an input are processed and in an exit, for as long as some arrive.
    ///
    /// # Panics
    /// With the missing ones, when no more arrive.
    pub(super) async fn until_all(&self, all: &BTreeSet<u64>, input: (&str, &str), exit: (&str, &str)) {
        let mut waiting = u64::MAX;
        while waiting > 0 {
            let fewer = async || {
                let depth = self.depth(input.0, input.1).await;
                (depth < waiting || depth == 0).then_some(depth)
            };
            waiting = self.until_some(&format!("fewer than {waiting} messages in {}", input.0), fewer).await;
        }
        let there = self.numbers(exit.0, exit.1).await;
        let missing: Vec<&u64> = all.difference(&there).collect();
        assert!(missing.is_empty(), "{} of {} numbers are not in {}: {:?}", missing.len(), all.len(), exit.0, missing.iter().take(20));
        assert!(there.is_subset(all));
    }

    /// The queues of flows.
    pub(super) fn queues(&self) -> BTreeSet<String> {
        let names = self.broker.queues().into_iter().map(|(queue, _)| queue.wire_name());
        names.filter(|name| !name.ends_with("-svc") && !name.contains("weir-dead-letters")).collect()
    }
}
