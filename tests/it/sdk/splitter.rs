//! The splitter in a host: whole documents in, countable chunks out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_config::records::{COMPONENT_TYPE, ComponentRecord, ComponentRef, DeadLetter, Entry, entry_type};
use weir_config::{Batch, ComponentFolder, ConfigClient, ConfigService, Store};
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions, SyncMode};
use weir_pubsub::{Backend, Consumer, ConsumerOptions, Message, Queue, QueueSpec, Subscription, Topic};
use weir_runtime::{Host, HostSettings, Served};
use weir_tests::guest;
use weir_tests::wait::within;

const INPUT: &str = "flow:tg:documents";
const OUTPUT: &str = "flow:tg:chunks";
const DEAD_LETTERS: &str = "flow:tg:weir-dead-letters";

/// A host that runs one splitter.
struct Splitter {
    backend: Arc<dyn Backend>,
    output: Box<dyn Consumer>,
    dead_letters: Box<dyn Consumer>,
    host: Host,
    _config: ConfigService,
    _folder: TempDir,
}

impl Splitter {
    async fn start(parameters: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { sync: SyncMode::None, ..EmbeddedOptions::default() };
        let backend: Arc<dyn Backend> = EmbeddedBroker::open(&folder.path().join("queues"), options).unwrap();
        let store = Store::open(&folder.path().join("config.sqlite")).await.unwrap();
        let config = ConfigService::start(backend.clone(), "tg", store).await.unwrap();
        let client = ConfigClient::connect(backend.clone(), "tg").await.unwrap();
        let components = ComponentFolder::new(folder.path().join("components"));
        deploy(&client, &components, parameters).await;
        ensure(&backend, INPUT, Subscription::of_processor("splitter", "main", "input").unwrap()).await;
        let output = consume(&backend, OUTPUT, "test").await;
        let dead_letters = consume(&backend, DEAD_LETTERS, "weir").await;
        let settings = HostSettings {
            id: "test".to_owned(),
            topicspace: "tg".to_owned(),
            components,
            code_cache: folder.path().join("cache"),
            served: Served::All,
            instances_count: 4,
        };
        let host = Host::start(backend.clone(), client, settings).await.unwrap();
        Splitter { backend, output, dead_letters, host, _config: config, _folder: folder }
    }

    async fn send(&self, document: &Value) {
        let producer = self.backend.producer(&INPUT.parse::<Topic>().unwrap()).await.unwrap();
        producer.publish(Message::new(document.to_string())).await.unwrap();
    }

    /// All chunks of the next document: as many as the first one says.
    async fn chunks(&self) -> Vec<Value> {
        let first = next(&*self.output).await;
        let count = first["count"].as_u64().unwrap();
        let mut chunks = vec![first];
        for _ in 1..count {
            chunks.push(next(&*self.output).await);
        }
        chunks
    }

    async fn dead_letter(&self) -> String {
        let delivery = within("a dead letter", self.dead_letters.receive()).await.unwrap();
        DeadLetter::of_message(&delivery.message).unwrap().reason
    }
}

async fn deploy(client: &ConfigClient, components: &ComponentFolder, parameters: &[(&str, &str)]) {
    let bytes = guest("splitter");
    let inspected = weir_runtime::inspect(&bytes).unwrap();
    let digest = components.put(&bytes).await.unwrap();
    let component = ComponentRef { name: "splitter".to_owned(), version: "0.1.0".to_owned(), digest };
    let record = ComponentRecord::from(inspected);
    let topics = BTreeMap::from([("input".to_owned(), INPUT.to_owned()), ("output".to_owned(), OUTPUT.to_owned())]);
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let entry = Entry { topics, parameters, component: Some(component.clone()), ..Entry::default() };
    let batch = Batch::new().put(COMPONENT_TYPE, component.key(), serde_json::to_string(&record).unwrap()).put(
        entry_type("splitter"),
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

async fn next(consumer: &dyn Consumer) -> Value {
    let delivery = within("a chunk", consumer.receive()).await.unwrap();
    serde_json::from_slice(&delivery.message.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_becomes_chunks_that_can_be_counted() {
    let splitter = Splitter::start(&[("size", "40"), ("overlap", "0")]).await;
    let text = "The first sentence is here. The second one, too.\n\nÜber this paragraph: nothing.";
    splitter.send(&json!({ "id": "a", "title": "A", "text": text })).await;
    let chunks = splitter.chunks().await;
    let texts: Vec<_> = chunks.iter().map(|chunk| chunk["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["The first sentence is here.", "The second one, too.", "Über this paragraph: nothing."]);
    for (index, chunk) in chunks.iter().enumerate() {
        assert_eq!(
            (&chunk["document"], &chunk["title"], &chunk["index"], &chunk["count"]),
            (&json!("a"), &json!("A"), &json!(index), &json!(3))
        );
        let start = usize::try_from(chunk["start"].as_u64().unwrap()).unwrap();
        assert!(text.chars().skip(start).collect::<String>().starts_with(texts[index]));
    }
    splitter.send(&json!({ "id": "empty", "text": " \n" })).await;
    assert_eq!(splitter.chunks().await, [json!({ "document": "empty", "index": 0, "count": 1, "start": 0, "text": "" })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_nearly_four_mebibytes_is_split_within_the_usual_limits() {
    let splitter = Splitter::start(&[("size", "8000"), ("overlap", "500")]).await;
    let text = "Nothing is lost, and nothing is doubled. Neither is anything cut in the middle of a word.\n".repeat((4 << 20) / 93);
    assert!(text.len() > 3_900_000);
    splitter.send(&json!({ "id": "large", "text": text })).await;
    let chunks = splitter.chunks().await;
    assert!(chunks.len() > 500, "{} chunks", chunks.len());
    assert!(chunks.iter().enumerate().all(|(index, chunk)| chunk["index"] == index));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_makes_too_many_chunks_is_refused_with_the_way_out() {
    let splitter = Splitter::start(&[("size", "100"), ("overlap", "0")]).await;
    splitter.send(&json!({ "id": "many", "text": "Short. ".repeat(30_000) })).await;
    let reason = splitter.dead_letter().await;
    for word in ["`many`", "number 1001", "`size`"] {
        assert!(reason.contains(word), "{reason}");
    }
    splitter.send(&json!({ "id": 7, "text": "" })).await;
    let reason = splitter.dead_letter().await;
    assert!(reason.contains("field `id`") && reason.contains("line 1"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_contradict_each_other_show_in_the_status() {
    let splitter = Splitter::start(&[("size", "100"), ("overlap", "80")]).await;
    let error = weir_tests::wait::eventually(Duration::from_secs(30), "the error in the status", || async {
        let status = serde_json::to_string(&splitter.host.status()).unwrap();
        status.contains("`overlap` is 80").then_some(status)
    });
    error.await;
}
