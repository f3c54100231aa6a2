//! A host of Weir's under TrustGraph's own config and flow services, which know nothing of components. Their values are kept in memory:
//! `tests/interop/services.py` replaces only the table store in Cassandra.

use std::path::Path;

use serde_json::{Value, json};
use weir_pubsub::{Backend, Consumer, ConsumerOptions, Message, QueueSpec, RabbitBroker};
use weir_tests::guest_path;
use weir_tests::rabbitmq::{Broker, DefaultQueues, Vhost};
use weir_tests::roles::{Process, Role, Site};
use weir_tests::wait::{DEADLINE, eventually, within};

use super::peer::{Running, must, names_with};
use super::processors::{put_blueprint, start, stop};
use crate::host_fixture::queue;
use crate::rabbitmq::connection::connected;

/// A component and a TrustGraph processor in a row, and two separate components.
fn blueprint() -> Value {
    let way = |from: &str, to: &str| json!({"input": format!("flow:tg:{from}:{{id}}"), "output": format!("flow:tg:{to}:{{id}}")});
    json!({
        "description": "components under TrustGraph's services",
        "blueprint": {},
        "flow": {
            "relay:{id}": {"topics": way("in", "between")},
            "second:{id}": {"topics": way("between", "out"), "parameters": {"mark": "> "}},
            "look:{id}": {"topics": way("look", "looked"), "parameters": {"mark": "{mark}"}},
            "settings:{id}": {"topics": way("ask", "told")},
        },
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
        "parameters": {"mark": {"type": "mark", "description": "A word", "order": 1}},
    })
}

/// The queues through which a test sends to and reads from flow `one`.
struct Ends {
    backend: std::sync::Arc<RabbitBroker>,
}

impl Ends {
    async fn on(vhost: &Vhost) -> Self {
        Ends { backend: connected(vhost.url().to_owned()).await }
    }

    async fn reader(&self, name: &str) -> Box<dyn Consumer> {
        let queue = queue(&format!("flow:tg:{name}:one"), "test");
        self.backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        self.backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap()
    }

    async fn send(&self, name: &str, body: &Value) {
        let producer = self.backend.producer(&format!("flow:tg:{name}:one").parse().unwrap()).await.unwrap();
        producer.publish_confirmed(Message::new(body.to_string())).await.unwrap();
    }

    async fn next(&self, reader: &dyn Consumer) -> Value {
        let delivery = within("a message", reader.receive()).await.unwrap();
        self.backend.settle(&delivery.receipt, Vec::new()).await.unwrap();
        serde_json::from_slice(&delivery.message.body).unwrap()
    }

    /// The result of a message.
    async fn through(&self, name: &str, body: &Value, reader: &dyn Consumer) -> Value {
        self.send(name, body).await;
        self.next(reader).await
    }
}

/// Starts TrustGraph's services, one after the other, as the second needs the first.
async fn services(broker: &Broker, vhost: &Vhost, folder: &Path) -> [Running; 2] {
    let config = service(broker, vhost, folder, "config").await;
    [config, service(broker, vhost, folder, "flow").await]
}

async fn service(broker: &Broker, vhost: &Vhost, folder: &Path, kind: &str) -> Running {
    let running = Running::service(vhost, folder, kind).await;
    let queue = format!("tg.request.{kind}.{kind}-svc");
    eventually(DEADLINE, format!("TrustGraph's {kind} service"), || async {
        (!names_with(broker, vhost, &queue).await.is_empty()).then_some(())
    })
    .await;
    running
}

/// A host with three components from files, which records nothing.
async fn host(site: &Site) -> Process {
    let files = [("relay", "echo"), ("look", "inspect_context"), ("settings", "config_get")];
    let given: Vec<String> = files.iter().map(|(name, guest)| format!("--processor={name}={}", guest_path(guest).display())).collect();
    let mut command = site.command(Role::Host, "host", &given.iter().map(String::as_str).collect::<Vec<_>>());
    command.env_remove("WEIR_GATEWAY");
    let mut host = site.run(Role::Host, "host", command);
    host.says(" is running the host of processors").await;
    host
}

fn put(config_type: &str, key: &str, value: &str) -> (&'static str, Value) {
    ("config", json!({"operation": "put", "values": [{"type": config_type, "key": key, "value": value}]}))
}

#[tokio::test]
async fn components_in_files_work_with_trustgraphs_services() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let site = Site::on(vhost.url());
    let folder = tempfile::tempdir().unwrap();
    // Before the services: it waits for them.
    let host = host(&site).await;
    let services = services(broker, &vhost, folder.path()).await;
    let second = Running::processor(&vhost, folder.path(), "second").await;
    let types = put("parameter-type", "mark", r#"{"type": "string", "default": "first"}"#);
    let begin = start("parts", "one", &json!({}));
    must(&vhost, &[types, put("settings", "a", "1"), put_blueprint("parts", &blueprint()), begin]).await;

    let ends = Ends::on(&vhost).await;
    let (out, looked, told) = (ends.reader("out").await, ends.reader("looked").await, ends.reader("told").await);
    let text = |text: &str| json!({"system": "", "prompt": text});
    for words in ["hello", "Grüße", ""] {
        assert_eq!(ends.through("in", &text(words), &*out).await["prompt"], format!("> {words}"));
    }
    let seen = ends.through("look", &json!({}), &*looked).await;
    assert_eq!((&seen["parameters"], &seen["variant"]), (&json!({"mark": "first", "plain": "as declared"}), &json!("one")));
    assert_eq!(ends.through("ask", &json!({"key": "a"}), &*told).await["value"], "1");

    // A configuration that changes, and an entry.
    let topics = json!({"input": "flow:tg:look:one", "output": "flow:tg:looked:one"});
    let entry = json!({"topics": topics, "parameters": {"mark": "second"}}).to_string();
    must(&vhost, &[put("settings", "a", "2"), put("processor:look", "one", &entry)]).await;
    eventually(DEADLINE, "the configuration to reach the component", || async {
        (ends.through("ask", &json!({"key": "a"}), &*told).await["value"] == "2").then_some(())
    })
    .await;
    eventually(DEADLINE, "the parameter to reach the component", || async {
        (ends.through("look", &json!({}), &*looked).await["parameters"]["mark"] == "second").then_some(())
    })
    .await;

    // What can never succeed goes to a queue that only the host could have created.
    ends.send("ask", &json!("not a question")).await;
    let letters = queue("flow:tg:weir-dead-letters", "weir");
    let letters = eventually(DEADLINE, "the queue of dead letters", || async {
        ends.backend.consumer(letters.topic(), letters.subscription(), ConsumerOptions::default()).await.ok()
    })
    .await;
    assert_eq!(ends.next(&*letters).await, "not a question");

    drop((out, looked, told));
    let answers = must(&vhost, &[stop("one"), ("config", json!({"operation": "config"}))]).await;
    let types: Vec<&String> = answers[1]["config"].as_object().unwrap().keys().collect();
    assert!(!types.iter().any(|name| name.starts_with("component") || name.starts_with("weir")), "{types:?}");
    eventually(DEADLINE, "the queues of the components to be gone", || async {
        let left = names_with(broker, &vhost, "--one--").await;
        left.is_empty().then_some(())
    })
    .await;
    assert_eq!(host.end().await.code(), Some(0));
    for running in services.iter().chain([&second]) {
        assert!(!running.said().contains("Traceback"), "{}", running.said());
    }
}
