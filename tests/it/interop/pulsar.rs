//! Pulsar's own client for Python, and TrustGraph's processors and clients over Pulsar, beside components on the same broker.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use weir_tests::guest_path;
use weir_tests::pulsar::{Broker, Role};
use weir_tests::wait::{DEADLINE, eventually, within};
use weir_tests::weir::{Weir, command};

use super::peer::{Running, must, run};
use super::processors::{chain, pair, put_blueprint, start, stop, through};
use crate::cli::start_echo;

/// Prepares the tenant `tg`, and starts a Weir on it.
async fn weir(broker: &Broker, folder: &Path) -> Weir {
    let token = broker.token_file(Role::Admin).unwrap();
    let environment = [
        ("WEIR_BROKER_URL", broker.url()),
        ("WEIR_BROKER_PULSAR_ADMIN", broker.admin().url().to_owned()),
        ("WEIR_BROKER_TOKEN_FILE", token.to_str().unwrap().to_owned()),
    ];
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut init = command(folder, &["init"]);
    init.envs(environment.iter().copied());
    let output = within("weir init", tokio::task::spawn_blocking(move || init.output().unwrap())).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    Weir::up_in(folder, &[], &environment).await
}

/// Creates a subscription like an administrator, from the oldest message on.
async fn subscribe(broker: &Broker, topic: &str, subscription: &str) {
    broker.admin().must(Method::PUT, &format!("persistent/{topic}/subscription/{subscription}"), Some(&json!("earliest"))).await;
}

/// The topics of a flow that the broker has.
async fn topics_of(broker: &Broker, flow: &str) -> Vec<String> {
    let topics = broker.admin().must(Method::GET, "persistent/tg/flow", None).await;
    let topics = topics.as_array().unwrap().iter().map(|topic| topic.as_str().unwrap().to_owned());
    topics.filter(|topic| topic.ends_with(&format!("%3A{flow}")) || topic.ends_with(&format!(":{flow}"))).collect()
}

async fn gone(broker: &Broker, flow: &str) {
    eventually(DEADLINE, "the topics of the flow to be gone", || async { topics_of(broker, flow).await.is_empty().then_some(()) }).await;
}

/// The subscription types of a topic.
async fn types(broker: &Broker, topic: &str) -> BTreeSet<String> {
    let stats = broker.admin().must(Method::GET, &format!("{topic}/stats"), None).await;
    let subscriptions = stats["subscriptions"].as_object().unwrap().clone();
    subscriptions.values().map(|subscription| subscription["type"].as_str().unwrap_or("none").to_owned()).collect()
}

async fn read(broker: &Broker, topic: &str, subscription: &str, count: usize) -> Vec<Value> {
    let printed = run(broker, "pulsar_ends.py", &["read", topic, subscription, "Shared", &count.to_string()]).await;
    printed.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_native_pulsar_client_writes_to_a_component_and_reads_its_output() {
    let (broker, _turn) = Broker::with_tg().await;
    let folder = tempfile::tempdir().unwrap();
    let weir = weir(broker, folder.path()).await;
    start_echo(&weir, "b", "one").await;
    let (input, output) = ("persistent://tg/flow/in:one", "persistent://tg/flow/out:one");
    subscribe(broker, "tg/flow/out:one", "python").await;

    let message = |body: &str, properties: Value| json!({"body": body, "properties": properties}).to_string();
    let plain = message("\"Grüße\"", json!({"id": "7", "note": "größer", "empty": ""}));
    let typed = message("no JSON", json!({"weir-content-type": "text/plain"}));
    let batch: Vec<String> = (0..5).map(|at| message(&at.to_string(), json!({"at": at.to_string()}))).collect();
    let batch: Vec<&str> = ["write", input, "batch"].into_iter().chain(batch.iter().map(String::as_str)).collect();
    run(broker, "pulsar_ends.py", &["write", input, "one", &plain, &typed]).await;
    run(broker, "pulsar_ends.py", &batch).await;

    let mut seen = read(broker, output, "python", 7).await;
    seen.sort_by_key(|message| message["body"].as_str().unwrap().to_owned());
    for message in &mut seen {
        let properties = message["properties"].as_object_mut().unwrap();
        // The properties of every message of a component.
        assert_eq!(properties.remove("weir-id").unwrap().as_str().unwrap().len(), 32, "{message}");
        let from = message["properties"].as_object_mut().unwrap().remove("weir-from").unwrap();
        assert!(from.as_str().unwrap().starts_with("echo "), "{message}");
    }
    // `id` correlates a reply with its request: it belongs to the host, and a component does not forward it.
    let expected = [
        ("\"Grüße\"", json!({"note": "größer", "empty": ""})),
        ("0", json!({"at": "0"})),
        ("1", json!({"at": "1"})),
        ("2", json!({"at": "2"})),
        ("3", json!({"at": "3"})),
        ("4", json!({"at": "4"})),
        ("no JSON", json!({"weir-content-type": "text/plain"})),
    ];
    let seen: Vec<_> = seen.iter().map(|message| (message["body"].as_str().unwrap(), message["properties"].clone())).collect();
    assert_eq!(seen, expected);
    // The batch was settled completely: none of it is left.
    eventually(DEADLINE, "the input to be empty", || async {
        let stats = broker.admin().must(Method::GET, "persistent/tg/flow/in:one/stats", None).await;
        let backlogs = stats["subscriptions"].as_object().unwrap().values().map(|of| of["msgBacklog"].as_u64().unwrap()).sum::<u64>();
        (backlogs == 0).then_some(())
    })
    .await;
    // The exit has the same messages, for readers that use Weir's own interface.
    let taken = weir.must(&["take", "one", "out", "--count", "7"]).await;
    assert!(taken.contains("Grüße") && taken.contains("no JSON"), "{taken}");

    // A queue has any number of readers, a subscription to answers or notifications has one.
    let join = async |topic: &str, subscription: &str, kind: &str| {
        let printed = run(broker, "pulsar_ends.py", &["join", topic, subscription, kind]).await;
        printed.lines().last().unwrap().to_owned()
    };
    assert_eq!(types(broker, "persistent/tg/flow/in:one").await, BTreeSet::from(["Shared".to_owned()]));
    assert_eq!(join(input, "echo--one--input", "Shared").await, "joined");
    for class in ["response", "notify"] {
        assert_eq!(types(broker, &format!("non-persistent/tg/{class}/config")).await, BTreeSet::from(["Exclusive".to_owned()]));
        assert_eq!(join(&format!("non-persistent://tg/{class}/config"), "python", "Exclusive").await, "joined");
    }
    // Clients create no queues, and reading a missing one does not create it.
    assert_ne!(join("persistent://tg/flow/none:one", "python", "Shared").await, "joined");
    assert_ne!(join(input, "python", "Shared").await, "joined");

    weir.must(&["flow", "stop", "one", "--discard"]).await;
    broker.admin().must(Method::DELETE, "persistent/tg/flow/out:one/subscription/python", None).await;
    // The host's producer may exist for a moment longer.
    broker.admin().must(Method::DELETE, "persistent/tg/flow/out:one?force=true", None).await;
    gone(broker, "one").await;
    assert_eq!(weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_trustgraph_processor_follows_flows_started_changed_and_stopped_on_pulsar() {
    let (broker, _turn) = Broker::with_tg().await;
    let folder = tempfile::tempdir().unwrap();
    let weir = weir(broker, folder.path()).await;
    let echo = Running::processor(broker, folder.path(), "echo").await;
    let types = json!({"operation": "put", "values": [{"type": "parameter-type", "key": "mark", "value": r#"{"type": "string", "default": "> "}"#}]});
    must(broker, &[("config", types), put_blueprint("pair", &pair("echo")), start("pair", "one", &json!({}))]).await;
    assert_eq!(through(&weir, "one", "the default").await, "> the default");

    // All methods of its client of the configuration; and the processor applies a change while it runs.
    run(broker, "configure.py", &[" !"]).await;
    eventually(DEADLINE, "the processor to see the change", || async { through(&weir, "one", "x").await.ends_with(" !").then_some(()) })
        .await;
    let answers = must(broker, &[start("pair", "two", &json!({"mark": "2 "})), ("flow", json!({"operation": "list-flows"}))]).await;
    assert_eq!(answers[1]["flow_ids"], json!(["one", "two"]));
    assert_eq!(through(&weir, "two", "given").await, "2 given !");
    assert_eq!(through(&weir, "one", "beside").await, "> beside !");

    must(broker, &[stop("one")]).await;
    gone(broker, "one").await;
    assert_eq!(through(&weir, "two", "still there").await, "2 still there !");
    let answers = must(broker, &[stop("two"), ("flow", json!({"operation": "list-flows"}))]).await;
    assert_eq!(answers[1]["flow_ids"], json!([]));
    gone(broker, "two").await;
    let said = echo.said();
    assert!(said.contains("Stopped flow: two"), "{said}");
    assert_eq!(weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn trustgraph_processors_and_components_work_in_one_flow_on_pulsar() {
    let (broker, _turn) = Broker::with_tg().await;
    let folder = tempfile::tempdir().unwrap();
    let weir = weir(broker, folder.path()).await;
    let _processors =
        [Running::processor(broker, folder.path(), "second").await, Running::processor(broker, folder.path(), "fourth").await];
    weir.must(&["deploy", guest_path("echo").to_str().unwrap()]).await;
    must(broker, &[put_blueprint("chain", &chain()), start("chain", "one", &json!({}))]).await;
    for text in ["hello", "Grüße", ""] {
        assert_eq!(through(&weir, "one", text).await, format!("42{text}"));
    }
    must(broker, &[stop("one")]).await;
    gone(broker, "one").await;
    assert_eq!(weir.end().await.code(), Some(0));
}
