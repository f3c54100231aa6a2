//! A gateway with broker, config service and flow service behind it, on a free port and in its own folder.

use std::sync::Arc;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use weir_config::records::{ComponentRecord, Descriptor, GivenLimits};
use weir_config::{ComponentFolder, ConfigClient, ConfigService, Store};
use weir_flow::{FlowService, FlowSettings};
use weir_gateway::{Components, GatewayError, GatewayParts, GatewaySettings};
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions};
use weir_pubsub::{Backend, Message, Topic};
use weir_tests::look::{figures, messages};
use weir_tests::wait::{DEADLINE, eventually, within};

use super::exposition::Exposition;

pub(super) const NDJSON: &str = "application/x-ndjson";

/// The parts; dropping them ends the gateway.
pub(super) struct GatewayFixture {
    pub(super) backend: Arc<EmbeddedBroker>,
    pub(super) config: ConfigClient,
    pub(super) address: std::net::SocketAddr,
    http: reqwest::Client,
    services: Option<(ConfigService, FlowService)>,
    ends: Option<DropGuard>,
    serving: Option<JoinHandle<Result<(), GatewayError>>>,
    folder: tempfile::TempDir,
}

/// Limits under which a test sees a request time out.
pub(super) fn settings() -> GatewaySettings {
    GatewaySettings { interface_timeout: std::time::Duration::from_secs(5), ..GatewaySettings::default() }
}

impl GatewayFixture {
    pub(super) async fn new() -> GatewayFixture {
        GatewayFixture::with(settings()).await
    }

    /// With other limits.
    pub(super) async fn with(settings: GatewaySettings) -> GatewayFixture {
        let mut fixture = GatewayFixture::without_services(settings, EmbeddedOptions::default()).await;
        fixture.start_services().await;
        fixture
    }

    /// A gateway that finds neither config nor flow service.
    pub(super) async fn without_services(settings: GatewaySettings, options: EmbeddedOptions) -> GatewayFixture {
        GatewayFixture::over(settings, options, |backend| backend).await
    }

    /// A gateway that uses the broker through another one, and finds neither config nor flow service.
    pub(super) async fn over(
        settings: GatewaySettings,
        options: EmbeddedOptions,
        through: impl FnOnce(Arc<dyn Backend>) -> Arc<dyn Backend>,
    ) -> GatewayFixture {
        let folder = tempfile::tempdir().unwrap();
        let backend = EmbeddedBroker::open(&folder.path().join("queues"), options).unwrap();
        let dynamic = through(backend.clone());
        let config = ConfigClient::connect(dynamic.clone(), "tg").await.unwrap();
        let components = ComponentFolder::new(folder.path().join("components")).into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        GatewayFixture::serve(listener, (backend, dynamic, config), components, settings, folder).await
    }

    /// One more gateway on the same broker, with another folder.
    pub(super) async fn another(&self, listener: TcpListener, components: Components) -> GatewayFixture {
        self.another_with(listener, components, settings()).await
    }

    /// The same with other limits.
    pub(super) async fn another_with(&self, listener: TcpListener, components: Components, settings: GatewaySettings) -> GatewayFixture {
        let (backend, config) = (self.backend.clone(), self.config.clone());
        GatewayFixture::serve(listener, (backend.clone(), backend, config), components, settings, tempfile::tempdir().unwrap()).await
    }

    async fn serve(
        listener: TcpListener,
        (backend, dynamic, config): (Arc<EmbeddedBroker>, Arc<dyn Backend>, ConfigClient),
        components: Components,
        settings: GatewaySettings,
        folder: tempfile::TempDir,
    ) -> GatewayFixture {
        let parts = GatewayParts {
            backend: dynamic,
            config: config.clone(),
            components,
            inspect: Arc::new(inspect),
            defaults: Default::default(),
            unused_code: Arc::new(|_| Ok(Vec::new())),
            topicspace: "tg".to_owned(),
            contract: weir_runtime::WORLD_VERSION,
            dropped_log_lines: || 0,
            settings,
        };
        let address = listener.local_addr().unwrap();
        let token = CancellationToken::new();
        let serving = Some(tokio::spawn(weir_gateway::serve(listener, parts, token.clone())));
        let http = weir_tests::http::client().build().unwrap();
        GatewayFixture { backend, config, address, http, services: None, ends: Some(token.drop_guard()), serving, folder }
    }

    pub(super) async fn start_services(&mut self) {
        let dynamic: Arc<dyn Backend> = self.backend.clone();
        let store = Store::open(&self.folder.path().join("config.sqlite")).await.unwrap();
        let config_service = ConfigService::start(dynamic.clone(), "tg", store).await.unwrap();
        let flow_service = FlowService::start(dynamic, self.config.clone(), "tg", FlowSettings::default()).await.unwrap();
        self.services = Some((config_service, flow_service));
    }

    /// With flow `one`: `in` is consumed by a program outside of Weir, `out` is an exit, `ask` takes requests.
    pub(super) async fn with_flow() -> GatewayFixture {
        let fixture = GatewayFixture::new().await;
        fixture.start_flow("one").await;
        fixture
    }

    /// Ends the gateway, as `weir up` does; the returned task ends with it.
    pub(super) fn end_gateway(&mut self) -> JoinHandle<Result<(), GatewayError>> {
        self.ends.take();
        self.serving.take().unwrap()
    }

    /// Starts a flow like that of [`GatewayFixture::with_flow`].
    pub(super) async fn start_flow(&self, id: &str) {
        let blueprint = json!({
            "blueprint": {},
            "flow": {"worker:{id}": {"topics": {"input": "flow:tg:in:{id}", "request": "request:tg:ask:{id}", "output": "flow:tg:out:{id}"}}},
            "interfaces": {
                "in": {"flow": "flow:tg:in:{id}"},
                "out": {"flow": "flow:tg:out:{id}"},
                "ask": {"request": "request:tg:ask:{id}", "response": "response:tg:ask:{id}"},
            },
        });
        let put = json!({"operation": "put-blueprint", "blueprint-name": "b", "blueprint-definition": blueprint.to_string()});
        let start = json!({"operation": "start-flow", "blueprint-name": "b", "flow-id": id, "description": "first"});
        for request in [put, start] {
            self.ask_flow(&request).await;
        }
    }

    pub(super) async fn stop_flow(&self, id: &str) {
        self.ask_flow(&json!({"operation": "stop-flow", "flow-id": id})).await;
    }

    async fn ask_flow(&self, request: &Value) {
        let (_, answer) = self.post("/api/v1/flow", request).await;
        assert!(answer.get("error").is_none(), "{answer}");
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address))
    }

    pub(super) fn get_request(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(super) fn post_request(&self, path: &str, media_type: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request(Method::POST, path).header("content-type", media_type).body(body)
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.get_request(path)).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.post_request(path, "application/json", body.to_string())).await
    }

    pub(super) async fn publish(&self, topic: &str, body: &str) {
        let producer = self.backend.producer(&topic.parse::<Topic>().unwrap()).await.unwrap();
        within("a publish", producer.publish_confirmed(Message::new(body.to_owned()))).await.unwrap();
    }

    /// The folder with the files of the parts.
    pub(super) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A figure of `/metrics`.
    pub(super) async fn figure(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let text = self.get_request("/metrics").send().await.unwrap().text().await.unwrap();
        Exposition::parse(&text).value(name, labels).unwrap_or_else(|| panic!("there is no {name} {labels:?}"))
    }

    /// Waits until a figure of `/metrics` has this value.
    pub(super) async fn figure_becomes(&self, name: &str, kind: &str, expected: f64) {
        let look = || async { (self.figure(name, &[("kind", kind)]).await == expected).then_some(()) };
        eventually(DEADLINE, format!("{name} {kind} to be {expected}"), look).await;
    }

    /// The bodies in a queue, as texts, oldest first.
    pub(super) async fn bodies(&self, topic: &str, subscription: &str) -> Vec<String> {
        let queue = weir_pubsub::Queue::new(topic.parse().unwrap(), subscription.parse().unwrap()).unwrap();
        let found = messages(&*self.backend, &queue, 1000).await;
        found.into_iter().map(|message| String::from_utf8(message.body.to_vec()).unwrap()).collect()
    }

    /// The files of the queues.
    pub(super) fn queue_files(&self) -> Vec<std::path::PathBuf> {
        let files = std::fs::read_dir(self.folder.path().join("queues")).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|found| found == "log")).collect()
    }

    pub(super) async fn depth(&self, topic: &str, subscription: &str) -> u64 {
        let queue = weir_pubsub::Queue::new(topic.parse().unwrap(), subscription.parse().unwrap()).unwrap();
        figures(&*self.backend, &queue).await.unwrap().depth_count
    }
}

pub(super) async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} {text}")))
}

/// The message of an error, which must be of this type.
pub(super) fn error_of(answer: &Value, kind: &str) -> String {
    assert_eq!(answer["error"]["type"], kind, "{answer}");
    answer["error"]["message"].as_str().unwrap().to_owned()
}

/// Accepts every file as a component whose second half is its descriptor: the real check is tested elsewhere.
fn inspect(bytes: &[u8], limits: &GivenLimits) -> Result<ComponentRecord, String> {
    let text = bytes.strip_prefix(b"component ").ok_or("it is no component")?;
    Ok(ComponentRecord {
        digest: weir_runtime::digest_of(bytes),
        size_bytes: bytes.len() as u64,
        world: "0.1.0".to_owned(),
        exports: Vec::new(),
        descriptor: Descriptor::parse(text.trim_ascii_end()).map_err(|error| error.to_string())?,
        grants: Vec::new(),
        limits: limits.clone(),
        concurrency: None,
        window: None,
        retry: Default::default(),
    })
}
