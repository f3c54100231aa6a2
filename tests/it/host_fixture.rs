//! A host with everything it depends on, in process: broker, config service, components. Tests do the work of the flow service by hand.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use weir_config::records::{
    COMPONENT_TYPE, ComponentRecord, ComponentRef, DeadLetter, Digest, Entry, ProcessorState, ProcessorStatus, entry_type,
};
use weir_config::{Batch, ComponentFolder, ConfigClient, ConfigService, Store};
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions, SyncMode};
use weir_pubsub::{Backend, Consumer, ConsumerOptions, Message, Queue, QueueSpec, Settled, Topic};
use weir_runtime::{Host, HostSettings, Served, Stopped, inspect};
use weir_tests::guest;
use weir_tests::look::{Figures, figures};
use weir_tests::wait::{DEADLINE, eventually, within};

/// How long a host may take to stop in tests: longer than anything it does for a message.
const GRACE: Duration = Duration::from_secs(20);

/// A host and its surroundings.
pub(crate) struct HostFixture {
    pub(crate) backend: Arc<EmbeddedBroker>,
    pub(crate) config: ConfigClient,
    folder: TempDir,
    components: ComponentFolder,
    service: ConfigService,
    host: Option<Host>,
}

impl HostFixture {
    /// Everything except the host.
    pub(crate) async fn without_host() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { sync: SyncMode::None, ..EmbeddedOptions::default() };
        let backend = EmbeddedBroker::open(&folder.path().join("queues"), options).unwrap();
        Self::around(backend, folder).await
    }

    /// Everything except the host, with the queues in a folder of the caller.
    pub(crate) async fn on(queues: &Path, options: EmbeddedOptions) -> Self {
        Self::over(EmbeddedBroker::open(queues, options).unwrap()).await
    }

    pub(crate) async fn over(backend: Arc<EmbeddedBroker>) -> Self {
        Self::around(backend, tempfile::tempdir().unwrap()).await
    }

    async fn around(backend: Arc<EmbeddedBroker>, folder: TempDir) -> Self {
        let store = Store::open(&folder.path().join("config.sqlite")).await.unwrap();
        let service = ConfigService::start(backend.clone(), "tg", store).await.unwrap();
        let config = ConfigClient::connect(backend.clone(), "tg").await.unwrap();
        let components = ComponentFolder::new(folder.path().join("components"));
        let fixture = HostFixture { backend, config, folder, components, service, host: None };
        fixture.create("flow:tg:weir-dead-letters", "weir").await;
        fixture
    }

    /// Everything, with a host that serves all processors.
    pub(crate) async fn new() -> Self {
        let mut fixture = Self::without_host().await;
        fixture.start_host(Served::All).await;
        fixture
    }

    pub(crate) async fn start_host(&mut self, served: Served) {
        self.start_host_with(served, 16).await;
    }

    pub(crate) async fn start_host_with(&mut self, served: Served, instances_count: u32) {
        self.start_host_over(self.backend.clone(), served, instances_count).await;
    }

    /// A host that uses the broker through another one.
    pub(crate) async fn start_host_over(&mut self, backend: Arc<dyn Backend>, served: Served, instances_count: u32) {
        let settings = HostSettings { served, instances_count, ..self.host_settings() };
        self.start_host_as(backend, settings).await;
    }

    pub(crate) async fn start_host_as(&mut self, backend: Arc<dyn Backend>, settings: HostSettings) {
        self.host = Some(Host::start(backend, self.config.clone(), settings).await.unwrap());
    }

    /// The default settings of a host in tests.
    pub(crate) fn host_settings(&self) -> HostSettings {
        HostSettings { instances_count: 16, ..host_settings(self.folder.path(), &self.components) }
    }

    pub(crate) async fn stop_host(&mut self) -> Stopped {
        self.stop_host_within(GRACE).await
    }

    pub(crate) async fn stop_host_within(&mut self, grace: Duration) -> Stopped {
        within("the host to stop", self.host.take().unwrap().stop(grace)).await
    }

    /// Ends everything, in order.
    pub(crate) async fn end(mut self) {
        if self.host.is_some() {
            assert_eq!(self.stop_host().await, Stopped::default());
        }
        self.service.stop().await;
        self.backend.close().await;
    }

    /// Deploys a component of the tests; `change` sets limits and the like.
    pub(crate) async fn deploy(&self, name: &str, change: impl FnOnce(&mut ComponentRecord)) -> ComponentRef {
        self.deploy_as(name, "1.0.0", &guest(name), change).await
    }

    pub(crate) async fn deploy_as(
        &self,
        name: &str,
        version: &str,
        bytes: &[u8],
        change: impl FnOnce(&mut ComponentRecord),
    ) -> ComponentRef {
        self.components.put(bytes).await.unwrap();
        let mut record = ComponentRecord::from(inspect(bytes).unwrap());
        // Tests that are not about waiting have short waits.
        record.retry.first_wait_ms = Some(10);
        change(&mut record);
        let component = ComponentRef { name: name.replace('_', "-"), version: version.to_owned(), digest: record.digest };
        self.put(COMPONENT_TYPE, &component.key(), &record).await;
        component
    }

    /// The files of compiled code with this extension.
    pub(crate) fn compiled(&self, extension: &str) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder.path().join("cache")).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
    }

    pub(crate) async fn put(&self, config_type: &str, key: &str, value: &impl serde::Serialize) {
        let text = serde_json::to_string(value).unwrap();
        self.config.apply(Batch::new().put(config_type, key, text)).await.unwrap();
    }

    /// The file of a deployed component.
    pub(crate) fn component_file(&self, digest: Digest) -> PathBuf {
        self.components.path(digest)
    }

    /// Creates a queue.
    pub(crate) async fn create(&self, topic: &str, subscription: &str) {
        self.backend.create_queue(&QueueSpec::new(queue(topic, subscription))).await.unwrap();
    }

    /// Deploys a component and runs it as a processor of the same name, variant `v`, from `flow:tg:in` to `flow:tg:out`, which subscription
    /// `test` reads.
    pub(crate) async fn run(&self, name: &str, parameters: &[(&str, &str)], change: impl FnOnce(&mut ComponentRecord)) {
        let component = self.deploy(name, change).await;
        self.create("flow:tg:in", &format!("{}--v--input", component.name)).await;
        self.create("flow:tg:out", "test").await;
        let entry = entry(&component, &[("input", "flow:tg:in"), ("output", "flow:tg:out")], parameters);
        self.put(&entry_type(&component.name), "v", &entry).await;
    }

    pub(crate) async fn send(&self, topic: &str, message: Message) {
        let producer = self.backend.producer(&topic.parse().unwrap()).await.unwrap();
        producer.publish_confirmed(message).await.unwrap();
    }

    pub(crate) async fn send_text(&self, body: &str) {
        self.send("flow:tg:in", Message::new(body.to_owned())).await;
    }

    /// Reads a queue.
    pub(crate) async fn reader(&self, topic: &str, subscription: &str) -> Reader {
        let topic: Topic = topic.parse().unwrap();
        let consumer = self.backend.consumer(&topic, &subscription.parse().unwrap(), ConsumerOptions::default()).await.unwrap();
        Reader { backend: self.backend.clone(), consumer }
    }

    pub(crate) async fn outputs(&self) -> Reader {
        self.reader("flow:tg:out", "test").await
    }

    /// The next dead letter, with the message it carries.
    pub(crate) async fn dead_letter(&self) -> (DeadLetter, Message) {
        let message = self.reader("flow:tg:weir-dead-letters", "weir").await.next().await;
        (DeadLetter::of_message(&message).unwrap(), message)
    }

    pub(crate) async fn stats(&self, topic: &str, subscription: &str) -> Figures {
        figures(&*self.backend, &queue(topic, subscription)).await.unwrap()
    }

    /// Waits until a queue has no consumer and no message in flight, and returns how many are in it.
    pub(crate) async fn requeued(&self, topic: &str, subscription: &str) -> u64 {
        let look = || async {
            let stats = self.stats(topic, subscription).await;
            (stats.unsettled_count == 0 && stats.consumer_count == 0).then_some(stats.depth_count)
        };
        eventually(DEADLINE, format!("{subscription} to be given back"), look).await
    }

    /// The status of a variant, if the host knows it.
    pub(crate) fn status(&self, processor: &str) -> Option<ProcessorStatus> {
        let all = self.host.as_ref().unwrap().status().processors;
        all.into_iter().find(|status| status.processor == processor)
    }

    /// Waits until the status of a variant fulfils a condition.
    pub(crate) async fn until(&self, processor: &str, is_wanted: impl Fn(&ProcessorStatus) -> bool) -> ProcessorStatus {
        let look = || std::future::ready(self.status(processor).filter(|status| is_wanted(status)));
        // Evaluated when the wait is over, not when it begins.
        let what = std::fmt::from_fn(|f| write!(f, "the status of {processor}, which is {:?}", self.status(processor)));
        eventually(DEADLINE, what, look).await
    }

    /// Waits until the host has the current configuration.
    pub(crate) async fn until_configured(&self) {
        let version = self.config.version().await.unwrap();
        let look = || std::future::ready((self.host.as_ref().unwrap().status().status.config_version >= version).then_some(()));
        eventually(DEADLINE, format!("the host to have version {version} of the configuration"), look).await;
    }

    pub(crate) async fn until_state(&self, processor: &str, state: ProcessorState) -> ProcessorStatus {
        self.until(processor, |status| status.state == state).await
    }
}

/// A host of 4 instances that serves all processors and keeps its compiled code in a folder.
pub(crate) fn host_settings(folder: &Path, components: &ComponentFolder) -> HostSettings {
    HostSettings {
        id: "host".to_owned(),
        name: "host".to_owned(),
        machine: "test".to_owned(),
        topicspace: "tg".to_owned(),
        components: Arc::new(components.clone()),
        code_cache: folder.join("cache"),
        served: Served::All,
        given: Default::default(),
        cache_bytes: None,
        instances_count: 4,
        outputs_bytes: weir_runtime::DEFAULT_OUTPUTS_BYTES,
        dead_letters_max_bytes: 256 << 20,
        defaults: Default::default(),
    }
}

/// Reads a queue and acknowledges what it reads.
pub(crate) struct Reader {
    backend: Arc<EmbeddedBroker>,
    consumer: Box<dyn Consumer>,
}

impl Reader {
    pub(crate) async fn next(&self) -> Message {
        let delivery = within("a message", self.consumer.receive()).await.unwrap();
        let settled = self.backend.settle(&delivery.receipt, Vec::new()).await.unwrap();
        assert_eq!(settled, Settled::Done { dropped_count: 0 });
        delivery.message
    }

    /// The next message of a topic whose consumers do not settle.
    pub(crate) async fn unsettled(&self) -> Message {
        within("a message", self.consumer.receive()).await.unwrap().message
    }

    pub(crate) async fn next_text(&self) -> String {
        String::from_utf8(self.next().await.body.to_vec()).unwrap()
    }

    /// The bodies of this many messages.
    pub(crate) async fn texts(&self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(self.next_text().await);
        }
        texts
    }
}

/// A component with another descriptor, in a section outside of its own.
pub(crate) fn stamped(component: &[u8], descriptor: &[u8]) -> Vec<u8> {
    use wasm_encoder::{ComponentSection, CustomSection};
    let section = CustomSection { name: weir_runtime::DESCRIPTOR_SECTION.into(), data: descriptor.into() };
    let mut stamped = component.to_vec();
    section.append_to_component(&mut stamped);
    stamped
}

pub(crate) fn queue(topic: &str, subscription: &str) -> Queue {
    Queue::new(topic.parse().unwrap(), subscription.parse().unwrap()).unwrap()
}

pub(crate) fn entry(component: &ComponentRef, topics: &[(&str, &str)], parameters: &[(&str, &str)]) -> Entry {
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
    Entry { topics: map(topics), parameters: map(parameters), component: Some(component.clone()), ..Entry::default() }
}

pub(crate) fn names(names: &[&str]) -> Served {
    Served::Names(names.iter().map(ToString::to_string).collect::<BTreeSet<_>>())
}
