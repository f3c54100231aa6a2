//! `weir init` and `weir doctor` with RabbitMQ.

use serde_json::{Value, json};
use weir_tests::rabbitmq::{Broker, DefaultQueues, Setup, Version, Vhost};
use weir_tests::weir::{Weir, command};

use super::up::user_of;

const PASSWORD: &str = "pa55-of-this-test";

/// Runs a command on a data folder with the broker in the environment: returns its exit code and output.
pub(super) async fn printed(folder: &std::path::Path, url: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = command(folder, arguments);
    command.env("WEIR_BROKER_URL", url);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!text.contains(PASSWORD), "{text}");
    (output.status.code(), text)
}

/// The JSON document in a text, before or after log lines.
pub(crate) fn document(text: &str) -> Value {
    let begin = text.find("{\n").unwrap();
    serde_json::Deserializer::from_str(&text[begin..]).into_iter().next().unwrap().unwrap()
}

async fn exchange_of(vhost: &Vhost, broker: &Broker) -> Value {
    broker.management().get(&format!("exchanges/{}/tg", vhost.name())).await
}

#[tokio::test]
async fn init_creates_the_exchange_and_prints_valid_policies() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let user = user_of(&vhost, broker).await;
    let url = broker.url_as(&user, PASSWORD, vhost.name());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for _ in 0..2 {
        let (code, said) = printed(&data, &url, &["init"]).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&format!("exchange `tg` is on the broker amqp://{user}:***@")), "{said}");
        assert!(said.contains(&format!("rabbitmqctl set_policy -p '{}' weir-quorum '^tg\\.flow\\.'", vhost.name())), "{said}");
    }
    assert!(data.join("settings.toml").exists());
    let exchange = exchange_of(&vhost, broker).await;
    assert_eq!((&exchange["type"], &exchange["durable"]), (&json!("topic"), &json!(true)));
    let (code, said) = printed(&data, "embedded:", &["init", "--broker", &url]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the password of the broker is on the command line (--broker)"), "{said}");
    let (code, said) = printed(&data, &broker.url_as(&user, "another", vhost.name()), &["init"]).await;
    assert!(code == Some(78) && said.contains("the password of broker.url"), "{said}");
    broker.management().delete(&format!("users/{user}")).await;
}

#[tokio::test]
async fn the_policies_printed_by_init_are_accepted_by_a_broker() {
    if Version::tested() == Version::V3_10 {
        // It permits such queues, has no delivery limit, and takes the time-out from its configuration only.
        return;
    }
    let node = Setup::default().deny_transient_queues().start().await;
    let vhost = node.vhost(DefaultQueues::Quorum).await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (code, said) = printed(&data, vhost.url(), &["init", "--json"]).await;
    assert_eq!(code, Some(0), "{said}");
    let answer = document(&said);
    assert!(answer["notices"][0].as_str().unwrap().contains("request queues are durable"), "{answer}");
    for policy in answer["policies"].as_array().unwrap() {
        let words = policy["command"].as_str().unwrap().replace('\'', "");
        let words: Vec<&str> = words.split(' ').skip(1).collect();
        node.ctl(&words).await;
    }
    let (_, said) = printed(&data, vhost.url(), &["doctor"]).await;
    assert!(said.contains("deprecated_features.permit.transient_nonexcl_queues = true"), "{said}");
}

#[tokio::test]
async fn doctor_checks_the_broker_and_permissions_and_reports_what_it_cannot_see() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let user = user_of(&vhost, broker).await;
    let url = broker.url_as(&user, PASSWORD, vhost.name());
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_in(folder.path(), &[], &[("WEIR_BROKER_URL", &url)]).await;
    let (code, said) = printed(folder.path(), &url, &["doctor", "--json"]).await;
    assert_eq!(code, Some(0), "{said}");
    let answer = document(&said);
    let grade = |check: &str| {
        let found = answer["checks"].as_array().unwrap().iter().find(|finding| finding["check"] == check);
        found.map(|finding| finding["grade"].as_str().unwrap().to_owned()).unwrap_or_default()
    };
    let grades = ["broker", "rights", "request queues", "queue policies", "log"].map(grade);
    assert_eq!(grades, ["ok", "ok", "ok", "skip", ""], "{answer}");
    assert!(said.contains("unknown") && said.contains("rabbitmqctl list_policies -p"), "{said}");
    let queues = broker.management().get(&format!("queues/{}", vhost.name())).await;
    assert!(!queues.to_string().contains("weir-doctor"), "{queues}");
    assert_eq!(weir.end().await.code(), Some(0));
    broker.management().permit(&user, vhost.name(), "^tg$", ".*", ".*").await;
    let (code, said) = printed(folder.path(), &url, &["doctor"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("ACCESS_REFUSED") && said.contains("set_permissions"), "{said}");
    broker.management().put_user(&user, "another").await;
    let (code, said) = printed(folder.path(), &url, &["doctor"]).await;
    // Its lines are wrapped by length, which depends on the port.
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(code == Some(1) && words.contains("the password of broker.url"), "{said}");
    broker.management().delete(&format!("users/{user}")).await;
}
