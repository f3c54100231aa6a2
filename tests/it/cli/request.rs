//! `weir request`: sending requests to an interface of a flow.

use expect_test::expect;
use serde_json::json;
use weir_tests::guest_path;
use weir_tests::wait::{DEADLINE, eventually, within};
use weir_tests::weir::Weir;

use super::check;
use crate::guests;

/// A Weir whose flow `one` answers at `ask`, has no responder behind `nobody`, and accepts messages at `in`.
async fn asked(data: &std::path::Path) -> Weir {
    let weir = Weir::up(data).await;
    weir.must(&["deploy", guest_path(guests::PARTS).to_str().unwrap()]).await;
    let blueprint = json!({
        "blueprint": {},
        "flow": {
            "parts:{id}": {"topics": {"request": "request:tg:ask:{id}", "response": "response:tg:ask:{id}"}},
            "outside:{id}": {"topics": {"input": "flow:tg:in:{id}", "request": "request:tg:nobody:{id}"}},
        },
        "interfaces": {
            "ask": {"request": "request:tg:ask:{id}", "response": "response:tg:ask:{id}"},
            "nobody": {"request": "request:tg:nobody:{id}", "response": "response:tg:nobody:{id}"},
            "in": {"flow": "flow:tg:in:{id}"},
        },
    });
    let file = data.join("blueprint.json");
    std::fs::write(&file, blueprint.to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "b", "one", "--external", "outside"]).await;
    weir
}

#[tokio::test]
async fn an_answer_is_printed_part_by_part_and_every_failure_has_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let weir = asked(folder.path()).await;
    assert_eq!(weir.must(&["request", "one", "ask", r#"{"parts": 3}"#]).await, "0\n1\n2\n");
    let lines = weir.must(&["request", "one", "ask", r#"{"parts": 2}"#, "--json"]).await;
    let bodies: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["body"].clone()).collect();
    assert_eq!(bodies, [json!(0), json!(1)]);
    let refused = async |arguments: &[&str], exit: i32, printed: &str, expected: &expect_test::Expect| {
        let output = weir.run(arguments).await;
        assert_eq!(String::from_utf8_lossy(&output.stdout), printed);
        check(&output, folder.path(), exit, expected);
    };
    let ask = |body| ["request", "one", "ask", body];
    refused(
        &ask(r#"{"parts": 2, "fail": "reject"}"#),
        1,
        "0\n1\n",
        &expect![[r#"
        error: flow `one` answered with an error (reject): told to fail
    "#]],
    )
    .await;
    refused(
        &ask(r#"{"parts": 0, "fail": "reject"}"#),
        1,
        "",
        &expect![[r#"
        error: flow `one` answered with an error (reject): told to fail
    "#]],
    )
    .await;
    refused(
        &ask("hello"),
        65,
        "",
        &expect![[r#"
        error: the request is not JSON
          because: expected value at line 1 column 1
          next: for example weir request FLOW INTERFACE '{"text": "hello"}'
    "#]],
    )
    .await;
    refused(
        &["request", "one", "nobody", "1", "--timeout", "50ms"],
        69,
        "",
        &expect![[r#"
            error: interface `nobody` of flow `one` did not answer: no answer from request:tg:nobody:one within 50 ms
              next: check its processors: weir flow show one
        "#]],
    )
    .await;
    refused(
        &["request", "one", "in", "1"],
        1,
        "",
        &expect![[r#"
        error: interface `in` of flow `one` accepts messages but does not answer: use `weir send`
    "#]],
    )
    .await;
    refused(
        &["request", "one", "aks", "1"],
        1,
        "",
        &expect![[r#"
        error: flow `one` has no interface `aks`; interfaces: ask, in, nobody
          next: did you mean the interface `ask`?
    "#]],
    )
    .await;
    refused(
        &["request", "two", "ask", "1"],
        1,
        "",
        &expect![[r#"
            error: there is no flow `two`; flows: one
        "#]],
    )
    .await;
    assert_eq!(weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_pending_request_is_answered_during_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let weir = asked(folder.path()).await;
    let http = weir.http().clone();
    let path = weir.path("/api/v1/flow/one/service/nobody");
    let asking = tokio::spawn(async move { http.post(path).json(&json!(1)).send().await.unwrap() });
    let waits = || async {
        let queues = weir.get("/api/v1/weir/queues").await;
        let asked = queues["queues"].as_array().unwrap().iter().find(|queue| queue["topic"] == "request:tg:nobody:one").unwrap();
        (asked["depth-count"] == 1).then_some(())
    };
    eventually(DEADLINE, "the request to wait", waits).await;
    assert!(weir.end().await.success());
    let answer = within("an answer", asking).await.unwrap();
    assert_eq!(answer.status(), 503);
    let answer: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(answer["error"]["type"], "shutting-down", "{answer}");
}
