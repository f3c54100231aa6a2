//! Plugins in a host: one, or several in a row, each between its own queues.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::select_all;
use serde_json::Value;
use tempfile::TempDir;
use weir_config::names::processor_subscription;
use weir_config::records::{COMPONENT_TYPE, ComponentRecord, ComponentRef, DeadLetter, Entry, entry_type};
use weir_config::{Batch, ComponentFolder, ConfigClient, ConfigService, Store};
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions, SyncMode};
use weir_pubsub::{Backend, Consumer, ConsumerOptions, Message, Queue, QueueSpec, Subscription, Topic};
use weir_runtime::Host;
use weir_tests::guest;
use weir_tests::wait::{DEADLINE, eventually, within};

use crate::host_fixture::host_settings;

const DEAD_LETTERS: &str = "flow:tg:weir-dead-letters";

/// A plugin's name and its parameters; omitted ones have the descriptor's defaults.
pub(super) type HostFixture<'a> = (&'a str, &'a [(&'a str, &'a str)]);

/// A host that runs plugins in a row.
pub(super) struct Plugins {
    backend: Arc<dyn Backend>,
    client: ConfigClient,
    output: Box<dyn Consumer>,
    /// The further outputs of the last one, by name.
    outputs: BTreeMap<String, Box<dyn Consumer>>,
    dead_letters: Box<dyn Consumer>,
    host: Host,
    _config: ConfigService,
    _folder: TempDir,
}

impl Plugins {
    pub(super) async fn start(fixtures: &[HostFixture<'_>]) -> Self {
        Self::start_with(fixtures, &[], Batch::new()).await
    }

    /// As `start`; the last plugin has further outputs, and some configuration exists before.
    pub(super) async fn start_with(fixtures: &[HostFixture<'_>], outputs: &[&str], configuration: Batch) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { sync: SyncMode::None, ..EmbeddedOptions::default() };
        let backend: Arc<dyn Backend> = EmbeddedBroker::open(&folder.path().join("queues"), options).unwrap();
        let store = Store::open(&folder.path().join("config.sqlite")).await.unwrap();
        let config = ConfigService::start(backend.clone(), "tg", store).await.unwrap();
        let client = ConfigClient::connect(backend.clone(), "tg").await.unwrap();
        let components = ComponentFolder::new(folder.path().join("components"));
        if !configuration.is_empty() {
            client.apply(configuration).await.unwrap();
        }
        for (at, fixture) in fixtures.iter().enumerate() {
            let further = if at + 1 == fixtures.len() { outputs } else { &[] };
            deploy(&client, &components, fixture, at, further).await;
            ensure(&backend, &topic(at), processor_subscription(fixture.0, "main", "input").unwrap()).await;
        }
        let output = consume(&backend, &topic(fixtures.len()), "test").await;
        let mut further = BTreeMap::new();
        for output in outputs {
            further.insert((*output).to_owned(), consume(&backend, &topic_of(output), "test").await);
        }
        let dead_letters = consume(&backend, DEAD_LETTERS, "weir").await;
        let host = Host::start(backend.clone(), client.clone(), host_settings(folder.path(), &components)).await.unwrap();
        Plugins { backend, client, output, outputs: further, dead_letters, host, _config: config, _folder: folder }
    }

    pub(super) async fn send(&self, document: &Value) {
        let producer = self.backend.producer(&topic(0).parse::<Topic>().unwrap()).await.unwrap();
        producer.publish_confirmed(Message::new(document.to_string())).await.unwrap();
    }

    /// Changes the configuration.
    pub(super) async fn apply(&self, batch: Batch) {
        self.client.apply(batch).await.unwrap();
    }

    /// The next output.
    pub(super) async fn next(&self) -> Value {
        received(&*self.output).await
    }

    /// The next message of a further output.
    pub(super) async fn next_of(&self, output: &str) -> Value {
        received(&*self.outputs[output]).await
    }

    /// The next message of any further output, and the output's name.
    pub(super) async fn next_of_any(&self) -> (&str, Value) {
        let each = self.outputs.iter().map(|(name, consumer)| Box::pin(async move { (name.as_str(), received(&**consumer).await) }));
        select_all(each).await.0
    }

    /// The reason of the next dead letter.
    pub(super) async fn dead_letter(&self) -> String {
        let delivery = within("a dead letter", self.dead_letters.receive()).await.unwrap();
        DeadLetter::of_message(&delivery.message).unwrap().reason
    }

    /// Waits until the host's status contains a word.
    pub(super) async fn status_says(&self, word: &str) {
        eventually(DEADLINE, word, || async { self.says(word).then_some(()) }).await;
    }

    /// Whether the host's status contains a word.
    pub(super) fn says(&self, word: &str) -> bool {
        serde_json::to_string(&self.host.status().processors).unwrap().contains(word)
    }
}

/// The topic of the stage with this index, which follows the previous one.
fn topic(at: usize) -> String {
    format!("flow:tg:stage-{at}")
}

fn topic_of(output: &str) -> String {
    format!("flow:tg:{output}")
}

async fn received(consumer: &dyn Consumer) -> Value {
    let delivery = within("an output", consumer.receive()).await.unwrap();
    serde_json::from_slice(&delivery.message.body).unwrap()
}

async fn deploy(client: &ConfigClient, components: &ComponentFolder, (name, parameters): &HostFixture<'_>, at: usize, further: &[&str]) {
    let bytes = guest(name);
    let inspected = weir_runtime::inspect(&bytes).unwrap();
    let digest = components.put(&bytes).await.unwrap();
    let component = ComponentRef { name: (*name).to_owned(), version: "0.1.0".to_owned(), digest };
    let record = ComponentRecord::from(inspected);
    let mut topics = BTreeMap::from([("input".to_owned(), topic(at)), ("output".to_owned(), topic(at + 1))]);
    topics.extend(further.iter().map(|output| ((*output).to_owned(), topic_of(output))));
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let entry = Entry { topics, parameters, component: Some(component.clone()), ..Entry::default() };
    let batch = Batch::new().put(COMPONENT_TYPE, component.key(), serde_json::to_string(&record).unwrap()).put(
        entry_type(name),
        "main",
        serde_json::to_string(&entry).unwrap(),
    );
    client.apply(batch).await.unwrap();
}

async fn ensure(backend: &Arc<dyn Backend>, topic: &str, subscription: Subscription) {
    let queue = Queue::new(topic.parse().unwrap(), subscription).unwrap();
    backend.ensure_queue(&QueueSpec::new(queue)).await.unwrap();
}

async fn consume(backend: &Arc<dyn Backend>, topic: &str, subscription: &str) -> Box<dyn Consumer> {
    let subscription: Subscription = subscription.parse().unwrap();
    ensure(backend, topic, subscription.clone()).await;
    backend
        .consumer(&topic.parse().unwrap(), &subscription, ConsumerOptions { window: 10_000.try_into().unwrap(), ..Default::default() })
        .await
        .unwrap()
}
