//! The setup of the benches.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use weir_config::records::{COMPONENT_TYPE, ComponentRecord, ComponentRef, Entry};
use weir_config::{Batch, ComponentFolder, ConfigClient, ConfigService, Store};
use weir_flow::{FlowClient, FlowService, FlowSettings, StartFlow};
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions};
use weir_pubsub::{Backend, Message, Topic};
use weir_runtime::{Host, HostSettings, Served};

use crate::body;

pub(crate) const INPUT: &str = "flow:tg:in:bench";
pub(crate) const OUTPUT: &str = "flow:tg:out:bench";
/// Messages in flight while a queue is filled.
pub(crate) const PRELOAD_COUNT: usize = 1_000;

/// Settings under which nothing is refused or dropped while a bench fills its queues.
pub(crate) fn options() -> EmbeddedOptions {
    EmbeddedOptions { queue_high_bytes: 8 << 30, ..EmbeddedOptions::default() }
}

pub(crate) fn broker(folder: &Path) -> anyhow::Result<Arc<EmbeddedBroker>> {
    Ok(EmbeddedBroker::open(folder, options())?)
}

/// Broker, config service and flow service in this process, as in `weir up`.
pub(crate) struct WeirFixture {
    pub(crate) broker: Arc<EmbeddedBroker>,
    pub(crate) config: ConfigClient,
    pub(crate) flows: FlowClient,
    folder: PathBuf,
    components: ComponentFolder,
    config_service: ConfigService,
    flow_service: FlowService,
}

/// A host of all processors, whose compiled code is kept in a folder.
pub(crate) fn host_settings(folder: &Path, components: &ComponentFolder) -> HostSettings {
    HostSettings {
        id: "bench".to_owned(),
        name: "bench".to_owned(),
        machine: String::new(),
        topicspace: "tg".to_owned(),
        components: Arc::new(components.clone()),
        code_cache: folder.join("cache"),
        served: Served::All,
        given: Default::default(),
        cache_bytes: None,
        instances_count: 64,
        outputs_bytes: weir_runtime::DEFAULT_OUTPUTS_BYTES,
        dead_letters_max_bytes: 256 << 20,
        defaults: Default::default(),
    }
}

impl WeirFixture {
    pub(crate) async fn open(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let broker = broker(&folder.join("queues"))?;
        let backend: Arc<dyn Backend> = broker.clone();
        let store = Store::open(&folder.join("config.sqlite")).await?;
        let config_service = ConfigService::start(backend.clone(), "tg", store).await?;
        let config = ConfigClient::connect(backend.clone(), "tg").await?;
        let settings = FlowSettings { exit_limit_bytes: 8 << 30, ..FlowSettings::default() };
        let flow_service = FlowService::start(backend.clone(), config.clone(), "tg", settings).await?;
        let flows = FlowClient::connect(backend, "tg").await?;
        let components = ComponentFolder::new(folder.join("components"));
        Ok(WeirFixture { broker, config, flows, folder: folder.to_owned(), components, config_service, flow_service })
    }

    /// Deploys a component as `weir deploy` does; `change` sets its limits.
    pub(crate) async fn deploy(&self, key: &str, bytes: &[u8], change: impl FnOnce(&mut ComponentRecord)) -> anyhow::Result<()> {
        self.components.put(bytes).await?;
        let mut record = ComponentRecord::from(weir_runtime::inspect(bytes)?);
        change(&mut record);
        self.config.apply(Batch::new().put(COMPONENT_TYPE, key, serde_json::to_string(&record)?)).await?;
        Ok(())
    }

    /// Starts a flow `bench` of a blueprint.
    pub(crate) async fn start_flow(&self, blueprint: &str) -> anyhow::Result<()> {
        self.flows.put_blueprint("bench", blueprint).await?;
        let flow = StartFlow { id: "bench".to_owned(), blueprint: "bench".to_owned(), ..StartFlow::default() };
        self.flows.start_flow(flow).await?;
        Ok(())
    }

    pub(crate) async fn start_host(&self) -> anyhow::Result<Host> {
        let settings = host_settings(&self.folder, &self.components);
        Ok(Host::start(self.broker.clone(), self.config.clone(), settings).await?)
    }

    /// Ends everything, the host first.
    pub(crate) async fn close(self, host: Host) {
        host.stop(Duration::from_secs(10)).await;
        self.end().await;
    }

    /// Ends everything if there is no host.
    pub(crate) async fn end(self) {
        self.flow_service.stop().await;
        self.config_service.stop().await;
        self.broker.close().await;
    }
}

/// Publishes messages of 1 KiB; they are durable when it returns.
pub(crate) async fn preload(broker: &EmbeddedBroker, topic: &Topic, messages: u32) -> anyhow::Result<()> {
    let producer = broker.producer(topic).await?;
    let mut left = messages as usize;
    while left > 0 {
        let count = left.min(PRELOAD_COUNT);
        try_join_all((0..count).map(|_| producer.publish_confirmed(Message::new(body())))).await?;
        left -= count;
    }
    Ok(())
}

/// The value below which this share of the sorted values lies.
pub(crate) fn quantile<T: Copy>(sorted: &[T], share: f64) -> T {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// A component as `weir deploy` would record it.
pub(crate) fn deployment(bytes: &[u8]) -> anyhow::Result<(ComponentRef, ComponentRecord)> {
    let inspected = weir_runtime::inspect(bytes)?;
    let reference = ComponentRef { name: "echo".to_owned(), version: "1.0.0".to_owned(), digest: inspected.digest };
    let record = ComponentRecord::from(inspected);
    Ok((reference, record))
}

/// What the flow service would write for the bench's flow.
pub(crate) fn entry() -> Entry {
    let topics = [("input", INPUT), ("output", OUTPUT)].map(|(spec, topic)| (spec.to_owned(), topic.to_owned()));
    Entry { topics: topics.into(), ..Entry::default() }
}
