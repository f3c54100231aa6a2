//! `tg-put-flow-blueprint`, `tg-get-flow-blueprint`, `tg-delete-flow-blueprint`, `tg-start-flow`, `tg-show-flows` and `tg-stop-flow`.

use expect_test::expect;
use serde_json::{Value, json};
use weir_tests::rabbitmq::{Broker, DefaultQueues};
use weir_tests::weir::Weir;

use super::processors::weir;
use super::tools::run;

const TOKEN: &str = "the-token-of-this-weir";

/// A processor outside of Weir between `in` and `out`, with a parameter that has a type and one that has none.
fn blueprint() -> Value {
    let topics = json!({"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"});
    json!({
        "description": "Größe",
        "blueprint": {},
        "flow": {"worker:{id}": {"topics": topics, "parameters": {"size": "{size}", "depth": "{depth}"}}},
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
        "parameters": {"size": {"type": "chunk-size", "description": "Size", "order": 1}, "depth": {"type": "depth", "order": 2}},
    })
}

/// The types of its parameters, and how `tg-show-flows` displays its interface.
async fn put_types(weir: &Weir) {
    let depth = json!({"type": "string", "default": "2.0", "required": true, "enum": ["0.25", {"id": "2.0", "description": "two levels"}]});
    let input = json!({"description": "Input", "kind": "send", "visible": true});
    for (config_type, key, value) in [
        ("parameter-type", "chunk-size", json!({"type": "integer", "default": 1000})),
        ("parameter-type", "depth", depth),
        ("interface-description", "in", input),
    ] {
        weir.must(&["config", "put", config_type, key, &value.to_string()]).await;
    }
}

#[tokio::test]
async fn a_flow_is_started_from_a_blueprint_and_stopped() {
    let folder = tempfile::tempdir().unwrap();
    started_and_stopped(&Weir::up(folder.path()).await).await;
}

#[tokio::test]
async fn a_flow_is_started_from_a_blueprint_and_stopped_over_rabbitmq() {
    let vhost = Broker::shared().await.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    started_and_stopped(&weir(&vhost, folder.path()).await).await;
}

async fn started_and_stopped(weir: &Weir) {
    let definition = blueprint().to_string();
    let put = ["-n", "pair", "-c", definition.as_str()];
    let ((), put) = tokio::join!(put_types(weir), run(weir, None, "tg-put-flow-blueprint", &put));
    assert_eq!(put, "");
    let start = async |blueprint: &str, flow: &str, more: &[&str]| {
        let arguments = [&["-n", blueprint, "-i", flow, "-d", "the first"], more].concat();
        run(weir, None, "tg-start-flow", &arguments).await
    };
    let (got, missing, started) = tokio::join!(
        run(weir, None, "tg-get-flow-blueprint", &["-n", "pair"]),
        start("pear", "two", &[]),
        start("pair", "one", &["--param", "size=400"]),
    );
    assert_eq!(serde_json::from_str::<Value>(&got).unwrap(), blueprint());
    assert!(missing.starts_with("Exception: flow-error: ") && missing.contains("`pear`"), "{missing}");
    assert_eq!(started, "");
    let shown: Value = serde_json::from_str(&weir.must(&["flow", "show", "one", "--json"]).await).unwrap();
    let flow = &shown["flow"];
    assert_eq!((&flow["blueprint"], &flow["description"], &flow["status"]), (&json!("pair"), &json!("the first"), &json!("running")));
    assert_eq!(flow["parameters"], json!({"size": "400", "depth": "2.0"}));
    assert_eq!(flow["processors"], json!([{"processor": "worker", "variant": "one"}]));

    let (again, unknown, shown) =
        tokio::join!(start("pair", "one", &[]), run(weir, None, "tg-stop-flow", &["-i", "two"]), run(weir, None, "tg-show-flows", &[]),);
    expect![[r#"
        +------------+---------------------+
        | id         | one                 |
        | blueprint  | pair                |
        | desc       | the first           |
        | parameters | • Size: 400         |
        |            | • depth: two levels |
        | queue      | in: flow:tg:in:one  |
        +------------+---------------------+

    "#]]
    .assert_eq(&shown);
    let (blueprints, types) =
        tokio::join!(run(weir, None, "tg-show-flow-blueprints", &[]), run(weir, None, "tg-show-parameter-types", &[]));
    assert!(blueprints.contains("| name        | pair ") && types.contains("| name        | chunk-size "), "{blueprints}{types}");
    assert!(again.starts_with("Exception: flow-error: ") && again.contains("`one`"), "{again}");
    assert!(unknown.starts_with("Exception: flow-error: ") && unknown.contains("`two`"), "{unknown}");
    let (deleted, stopped) =
        tokio::join!(run(weir, None, "tg-delete-flow-blueprint", &["-n", "pair"]), run(weir, None, "tg-stop-flow", &["-i", "one"]),);
    assert_eq!((deleted.as_str(), stopped.as_str()), ("", ""));
    let status = weir.get("/api/v1/weir/status").await;
    assert_eq!(status["flows"], json!([]));
    let left: Vec<_> = status["queues"].as_array().unwrap().iter().map(|queue| queue["subscription"].as_str().unwrap()).collect();
    assert_eq!(left, ["weir"], "only the dead letters stay");
    assert_eq!(weir.must(&["blueprint", "list", "--json"]).await.trim(), "[]");
}

#[tokio::test]
async fn flows_require_the_token_if_configured() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_in(folder.path(), &[], &[("WEIR_TOKEN", TOKEN)]).await;
    let definition = blueprint().to_string();
    let put = ["-n", "pair", "-c", definition.as_str()];
    let start = ["-n", "pair", "-i", "one", "-d", "first", "-p", r#"{"size": 400, "depth": 0.25}"#];
    let ((), none, put) =
        tokio::join!(put_types(&weir), run(&weir, None, "tg-start-flow", &start), run(&weir, Some(TOKEN), "tg-put-flow-blueprint", &put));
    assert_eq!((none.as_str(), put.as_str()), ("Exception: Status code 401\n", ""));
    assert_eq!(run(&weir, Some(TOKEN), "tg-start-flow", &start).await, "");
    let shown: Value = serde_json::from_str(&weir.must(&["flow", "show", "one", "--json"]).await).unwrap();
    assert_eq!(shown["flow"]["parameters"], json!({"size": "400", "depth": "0.25"}));
    let (shown, refused) =
        tokio::join!(run(&weir, Some(TOKEN), "tg-show-flows", &[]), run(&weir, Some("the-token-of-another"), "tg-show-flows", &[]));
    assert!(shown.contains("| id         | one "), "{shown}");
    assert_eq!(refused, "Exception: server rejected WebSocket connection: HTTP 401\n");
    let stop = ["-i", "one"];
    // These two tools of 2.3.13 send no token.
    let (wrong, got, deleted) = tokio::join!(
        run(&weir, Some("the-token-of-another"), "tg-stop-flow", &stop),
        run(&weir, Some(TOKEN), "tg-get-flow-blueprint", &["-n", "pair"]),
        run(&weir, Some(TOKEN), "tg-delete-flow-blueprint", &["-n", "pair"]),
    );
    assert_eq!([wrong, got, deleted], ["Exception: Status code 401\n"; 3]);
    assert_eq!(run(&weir, Some(TOKEN), "tg-stop-flow", &stop).await, "");
    assert_eq!(weir.must(&["flow", "list", "--json"]).await.trim(), "[]");
}
