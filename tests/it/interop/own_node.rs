//! TrustGraph's clients with separate nodes.

use serde_json::json;
use weir_tests::rabbitmq::{DefaultQueues, Node, Setup, Version};
use weir_tests::weir::Weir;

use super::peer::{ask, must, queues, run};
use super::processors::{pair, put_blueprint, start, stop, weir};

/// The class of a request queue: whether it is durable.
async fn are_requests_durable(node: &Node) -> bool {
    let vhost = node.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    let weir = weir(&vhost, folder.path()).await;
    let pair = pair("outside");
    let requests = [put_blueprint("pair", &pair), start("pair", "one", &json!({"mark": "x"})), stop("one")];
    must(&vhost, &requests).await;
    run(&vhost, "configure.py", &["x"]).await;
    let queues = queues(node, &vhost).await;
    let of = |name: &str| queues.iter().find(|queue| queue["name"] == name).unwrap_or_else(|| panic!("{name} in {queues:?}"));
    let durable = ["tg.request.config.config-svc", "tg.request.flow.flow-svc"].map(|name| {
        let queue = of(name);
        assert_eq!((&queue["auto_delete"], &queue["exclusive"]), (&json!(false), &json!(false)));
        queue["durable"].as_bool().unwrap()
    });
    assert_eq!(durable[0], durable[1]);
    assert_eq!(weir.end().await.code(), Some(0));
    durable[0]
}

#[tokio::test]
async fn request_queues_are_transient_if_permitted_and_durable_otherwise() {
    assert!(!are_requests_durable(&Node::start().await).await);
    // Brokers before 4.0 cannot deny them.
    if Version::tested() != Version::V3_10 {
        assert!(are_requests_durable(&Setup::default().deny_transient_queues().start().await).await);
    }
}

/// Values of one type, 4 MiB in all.
fn large(config_type: &str) -> String {
    json!({"operation": "put", "values": [{"type": config_type, "key": "k", "value": "x".repeat(4 << 20)}]}).to_string()
}

#[tokio::test]
async fn an_answer_that_is_too_large_for_the_broker_is_an_error_that_names_the_setting() {
    let node = Setup::default().line("max_message_size = 9000000").start().await;
    let vhost = node.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    let everything = || ("config", json!({"operation": "config"}));
    let of_type = |name: &str| ("config", json!({"operation": "getvalues", "type": name}));
    let weir = Weir::up_in(folder.path(), &[], &[("WEIR_BROKER_URL", vhost.url()), ("WEIR_BROKER_MAX_MESSAGE", "8MiB")]).await;
    for name in ["a", "b", "c"] {
        let body = large(name);
        let answer = weir.post_text("/api/v1/config", "application/json", body).await;
        assert_eq!(answer["error"], json!(null), "{answer}");
    }
    // The broker accepts less than the setting states.
    let answers = ask(&vhost, &[everything(), of_type("a")]).await;
    let message = answers[0]["error"]["message"].as_str().unwrap();
    assert!(
        answers[0]["error"]["type"] == "config-error" && message.contains("at most 9000000") && message.contains("broker.max-answer"),
        "{message}"
    );
    assert_eq!(answers[1]["values"][0]["value"].as_str().unwrap().len(), 4 << 20);
    assert_eq!(weir.end().await.code(), Some(0));
    // The setting states it.
    let environment = [("WEIR_BROKER_URL", vhost.url()), ("WEIR_BROKER_MAX_ANSWER", "8MiB")];
    let weir = Weir::up_in(folder.path(), &[], &environment).await;
    let answers = ask(
        &vhost,
        &[everything(), of_type("a"), ("config", json!({"operation": "put", "values": [{"type": "d", "key": "k", "value": "x"}]}))],
    )
    .await;
    let message = answers[0]["error"]["message"].as_str().unwrap();
    assert!(message.contains("more than 8388608 bytes (broker.max-answer)"), "{message}");
    assert_eq!(answers[1]["values"][0]["value"].as_str().unwrap().len(), 4 << 20);
    let message = answers[2]["error"]["message"].as_str().unwrap();
    assert!(message.contains("the whole configuration would have") && message.contains("broker.max-answer"), "{message}");
    assert_eq!(weir.end().await.code(), Some(0));
}
