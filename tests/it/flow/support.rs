//! The setup of all these tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::cut::Cut;
use serde_json::{Value, json};
use tempfile::TempDir;
use weir_config::names::FLOW_SERVICE;
use weir_config::protocol::Notify;
use weir_config::{Batch, ConfigClient, ConfigService, Store};
use weir_flow::protocol::Response;
use weir_flow::{FlowClient, FlowService, FlowSettings, StartFlow};
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions, SyncMode};
use weir_pubsub::{Backend, Consumer, ConsumerOptions, Inspect, Message, Queue, QueueSpec, Requester};
use weir_tests::wait::{DEADLINE, eventually, within};

pub(super) async fn within_deadline<T>(what: impl Future<Output = T>) -> T {
    within("the flow service", what).await
}

/// Checks repeatedly until a condition holds.
pub(super) async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    eventually(DEADLINE, "the flow service", || {
        let look = is_so();
        async { look.await.then_some(()) }
    })
    .await;
}

/// Everything that a flow service needs, and, after [`FlowFixture::serve`], a running one.
pub(super) struct FlowFixture {
    pub(super) broker: Arc<EmbeddedBroker>,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) config: ConfigClient,
    pub(super) flows: FlowClient,
    _config_service: ConfigService,
    _folder: TempDir,
}

/// Settings with which nothing takes long.
pub(super) fn quick() -> FlowSettings {
    FlowSettings { stop_wait: Duration::from_millis(50), delete_pause: Duration::from_millis(20), ..FlowSettings::default() }
}

impl FlowFixture {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { sync: SyncMode::None, ..EmbeddedOptions::default() };
        let broker = EmbeddedBroker::open(&folder.path().join("queues"), options).unwrap();
        let backend: Arc<dyn Backend> = broker.clone();
        let store = Store::open(&folder.path().join("config.sqlite")).await.unwrap();
        let config_service = ConfigService::start(backend.clone(), "tg", store).await.unwrap();
        let config = ConfigClient::connect(backend.clone(), "tg").await.unwrap();
        let flows = FlowClient::connect(backend.clone(), "tg").await.unwrap();
        FlowFixture { broker, backend, config, flows, _config_service: config_service, _folder: folder }
    }

    /// A fixture with a service that knows the blueprint `text` and the component that it needs.
    pub(super) async fn ready() -> (Self, FlowService) {
        let fixture = Self::new().await;
        let service = fixture.serve(quick()).await;
        fixture.put("component", "splitter@1.0.0", &splitter_record()).await;
        fixture.flows.put_blueprint("text", &blueprint().to_string()).await.unwrap();
        (fixture, service)
    }

    pub(super) async fn serve(&self, settings: FlowSettings) -> FlowService {
        within_deadline(FlowService::start(self.backend.clone(), self.config.clone(), "tg", settings)).await.unwrap()
    }

    /// A service that reaches the config service over a line that can be cut, and checks every 20 ms for leftovers.
    pub(super) async fn serve_over(&self, cut: &Arc<Cut>) -> FlowService {
        let config = ConfigClient::connect(cut.clone(), "tg").await.unwrap();
        let settings = FlowSettings { resume_every: Duration::from_millis(20), ..quick() };
        within_deadline(FlowService::start(cut.clone(), config, "tg", settings)).await.unwrap()
    }

    /// Waits until a service that was dropped is gone.
    pub(super) async fn until_unserved(&self) {
        let lock = FLOW_SERVICE.lock("tg").unwrap();
        until(async || self.broker.lock_holder(&lock).await.unwrap().is_none()).await;
    }

    pub(super) async fn put(&self, config_type: &str, key: &str, value: &Value) {
        self.config.apply(Batch::new().put(config_type, key, value.to_string())).await.unwrap();
    }

    pub(super) async fn get(&self, config_type: &str, key: &str) -> Option<Value> {
        let text = self.config.get_one(config_type, key).await.unwrap();
        text.map(|text| serde_json::from_str(&text).unwrap())
    }

    pub(super) async fn start(&self, id: &str, parameters: Value) -> Result<Vec<String>, weir_flow::FlowError> {
        self.start_on("text", id, parameters).await
    }

    pub(super) async fn start_on(&self, blueprint: &str, id: &str, parameters: Value) -> Result<Vec<String>, weir_flow::FlowError> {
        let parameters = serde_json::from_value(parameters).unwrap();
        let flow = StartFlow { id: id.to_owned(), blueprint: blueprint.to_owned(), parameters, ..StartFlow::default() };
        within_deadline(self.flows.start_flow(flow)).await
    }

    /// The names of all queues except those of the services.
    pub(super) fn queues(&self) -> BTreeSet<String> {
        let names = self.broker.queues().into_iter().map(|(queue, _)| queue.wire_name());
        names.filter(|name| !name.ends_with("-svc") && name != "tg.flow.weir-dead-letters.weir").collect()
    }

    /// The queues that are recorded as created.
    pub(super) async fn made(&self) -> BTreeSet<String> {
        self.config.list("queue-made").await.unwrap().value.into_iter().collect()
    }

    /// Everything in config, without versions.
    pub(super) async fn everything(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        self.config.everything().await.unwrap().value
    }

    pub(super) async fn notifies(&self) -> Notifies {
        let topic = "notify:tg:config".parse().unwrap();
        Notifies(self.backend.consumer(&topic, &"test".parse().unwrap(), ConsumerOptions::default()).await.unwrap())
    }

    pub(super) async fn raw(&self) -> Raw {
        let topic = |class: &str| format!("{class}:tg:flow").parse().unwrap();
        Raw(Requester::connect(self.backend.clone(), &topic("request"), &topic("response"), &"raw".parse().unwrap()).await.unwrap())
    }

    pub(super) async fn reader(&self, topic: &str, subscription: &str) -> Box<dyn Consumer> {
        let (topic, subscription) = (topic.parse().unwrap(), subscription.parse().unwrap());
        self.backend.consumer(&topic, &subscription, ConsumerOptions::default()).await.unwrap()
    }

    pub(super) async fn send(&self, topic: &str, body: &str) {
        let producer = self.backend.producer(&topic.parse().unwrap()).await.unwrap();
        producer.publish_confirmed(Message::new(body.to_owned())).await.unwrap();
    }
}

/// The notifications of the config service.
pub(super) struct Notifies(Box<dyn Consumer>);

impl Notifies {
    pub(super) async fn next(&self) -> Notify {
        let delivery = within_deadline(self.0.receive()).await.unwrap();
        let mut notify: Notify = serde_json::from_slice(&delivery.message.body).unwrap();
        notify.types.sort();
        notify
    }
}

/// Sends bodies unchanged.
pub(super) struct Raw(Requester);

impl Raw {
    pub(super) async fn text(&self, body: &str) -> String {
        let answer = self.0.request(Message::new(body.to_owned()), DEADLINE).await.unwrap();
        String::from_utf8(answer.body.to_vec()).unwrap()
    }

    /// The type and message of an answered error; the other fields must be at their defaults.
    pub(super) async fn error(&self, body: &Value) -> (String, String) {
        let mut response: Response = serde_json::from_str(&self.text(&body.to_string()).await).unwrap();
        let error = response.error.take().unwrap_or_else(|| panic!("{body} was no error"));
        assert_eq!(response, Response::default());
        (error.kind, error.message)
    }
}

pub(super) fn spec(topic: &str, subscription: &str) -> QueueSpec {
    QueueSpec::new(Queue::new(topic.parse().unwrap(), subscription.parse().unwrap()).unwrap())
}

pub(super) fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

/// A private splitter, a shared counter, an entrance and an exit.
pub(super) fn blueprint() -> Value {
    json!({
        "description": "texts into chunks",
        "blueprint": {"counter:{blueprint}": {"topics": {"input": "flow:tg:counts:{blueprint}"}, "parameters": {"unit": "{unit}"}}},
        "flow": {
            "splitter:{id}": {
                "topics": {"input": "flow:tg:text:{id}", "output": "flow:tg:chunks:{id}", "counts": "flow:tg:counts:{blueprint}"},
                "parameters": {"size": "{size}"}
            }
        },
        "interfaces": {"text": {"flow": "flow:tg:text:{id}"}, "chunks": {"flow": "flow:tg:chunks:{id}"}},
        "parameters": {"size": {"type": "integer"}}
    })
}

pub(super) fn splitter_record() -> Value {
    json!({
        "digest": format!("sha256:{}", "ab".repeat(32)), "size-bytes": 1, "world": "0.1.0",
        "descriptor": {
            "schema": 1, "consumers": ["input"], "producers": ["output", {"name": "counts", "optional": true}],
            "parameters": [{"name": "size", "type": "integer", "required": true}]
        }
    })
}

/// The queues of the blueprint's flow `id`, without the shared one.
pub(super) fn queues_of(id: &str) -> [String; 2] {
    [format!("tg.flow.text:{id}.splitter--{id}--input"), format!("tg.flow.chunks:{id}.gateway--{id}--chunks")]
}

pub(super) const SHARED_QUEUE: &str = "tg.flow.counts:text.counter--text--input";
