//! `weir init` and `weir doctor` with RabbitMQ.

use serde_json::{Value, json};
use weir_tests::rabbitmq::{Broker, DefaultQueues, Vhost};
use weir_tests::weir::{Weir, command};

use super::refusals::user_of;

const PASSWORD: &str = "pa55-of-this-test";

/// Runs a command on a data folder with the broker in the environment: its exit code and all that it printed.
async fn printed(folder: &std::path::Path, url: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = command(folder, arguments);
    command.env("WEIR_BROKER_URL", url);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!text.contains(PASSWORD), "{text}");
    (output.status.code(), text)
}

async fn exchange_of(vhost: &Vhost, broker: &Broker) -> Value {
    broker.management().get(&format!("exchanges/{}/tg", vhost.name())).await
}

#[tokio::test]
async fn init_makes_the_exchange_and_names_policies_that_the_broker_takes() {
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
async fn doctor_checks_the_broker_the_rights_and_tells_what_it_cannot_see() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let user = user_of(&vhost, broker).await;
    let url = broker.url_as(&user, PASSWORD, vhost.name());
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_in(folder.path(), &[], &[("WEIR_BROKER_URL", &url)]).await;
    let (code, said) = printed(folder.path(), &url, &["doctor", "--json"]).await;
    assert_eq!(code, Some(0), "{said}");
    let answer: Value = serde_json::from_str(&said[said.find('{').unwrap()..]).unwrap();
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
    assert!(code == Some(1) && said.contains("the password of broker.url"), "{said}");
    broker.management().delete(&format!("users/{user}")).await;
}
