//! What an operator looks at: one flow, queues, one dead letter, and the status while it changes.

use std::fs;

use serde_json::{Value, json};
use weir_tests::guest_path;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::follow::Follower;
use super::{blueprint, check};

async fn start(weir: &Weir, guest: &str, flow: &str) {
    weir.must(&["deploy", &format!("{guest}@1.0.0"), guest_path(guest).to_str().unwrap()]).await;
    let file = weir.data().join("blueprint.json");
    fs::write(&file, blueprint(guest, &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", guest, file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", guest, flow]).await;
}

#[tokio::test]
async fn deployments_are_listed_with_inputs_and_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    assert_eq!(weir.must(&["components"]).await, "no components; deploy one: weir deploy FILE.wasm\n");
    weir.must(&["deploy", "mine@1.0.0", guest_path("splitter").to_str().unwrap()]).await;
    let listed = weir.must(&["components"]).await;
    let row: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], &row[2..]), ("mine@1.0.0", &["MiB", "input", "output", "size", "overlap", "border"][..]), "{listed}");
    let listed: Value = serde_json::from_str(&weir.must(&["components", "--json"]).await).unwrap();
    assert_eq!(
        (&listed[0]["component"], &listed[0]["record"]["descriptor"]["consumers"][0]["name"]),
        (&json!("mine@1.0.0"), &json!("input"))
    );
}

#[tokio::test]
async fn a_flow_is_shown_with_its_queues_and_processors() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start(&weir, "echo", "one").await;
    start(&weir, "reject", "two").await;
    weir.must(&["send", "one", "in", "--text", "hello"]).await;
    let message = folder.path().join("message.json");
    fs::write(&message, r#"{"reject": "it has no page"}"#).unwrap();
    weir.must(&["send", "two", "in", message.to_str().unwrap()]).await;
    let row = |text: &str, words: &[&str]| text.lines().any(|line| line.split_whitespace().take(words.len()).eq(words.iter().copied()));
    let one = eventually(DEADLINE, "the host to report the message", || async {
        let text = weir.must(&["flow", "show", "one"]).await;
        text.lines().any(|line| line.starts_with("echo ") && line.contains("  1  ")).then_some(text)
    })
    .await;
    assert!(one.starts_with("flow one, running\n  blueprint   echo\n  processor   echo (one), echo@1.0.0\n"), "{one}");
    assert!(row(&one, &["flow:tg:out:one", "exit", "out", "1", "0"]), "{one}");
    assert!(!one.contains("two"), "{one}");
    let two = eventually(DEADLINE, "the host to report the refusal", || async {
        let text = weir.must(&["flow", "get", "two"]).await;
        text.contains("\nLAST ERRORS\n").then_some(text)
    })
    .await;
    assert!(two.contains("it has no page"), "{two}");
    let two: Value = serde_json::from_str(&weir.must(&["flow", "show", "two", "--json"]).await).unwrap();
    let status = &two["hosts"][0]["processors"];
    assert_eq!((&two["flow"]["id"], &status[0]["processor"], status.as_array().unwrap().len()), (&json!("two"), &json!("reject"), 1));
    assert_eq!(two["queues"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn queues_are_listed_of_all_flows_or_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start(&weir, "echo", "one").await;
    weir.must(&["flow", "start", "echo", "two"]).await;
    let all = weir.must(&["queues"]).await;
    for part in ["topic ", "\nflow:tg:in:one ", "\nflow:tg:in:two ", " echo--two--input ", "\nflow:tg:weir-dead-letters "] {
        assert!(all.contains(part), "`{part}` is not in\n{all}");
    }
    let one: Vec<Value> = serde_json::from_str(&weir.must(&["queues", "one", "--json"]).await).unwrap();
    let topics: Vec<&str> = one.iter().filter_map(|queue| queue["topic"].as_str()).collect();
    assert_eq!(topics, ["flow:tg:in:one", "flow:tg:out:one"]);
    assert_eq!(weir.must(&["queues", "two"]).await.lines().count(), 3);
}

#[tokio::test]
async fn a_dead_letter_is_shown_completely_by_position_and_by_id() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start(&weir, "reject", "one").await;
    let body = json!({"reject": "it has no page", "text": "x".repeat(5000)});
    let message = folder.path().join("message.json");
    fs::write(&message, body.to_string()).unwrap();
    weir.must(&["send", "one", "in", message.to_str().unwrap()]).await;
    let letter = eventually(DEADLINE, "the letter", || async {
        let letters: Vec<Value> = serde_json::from_str(&weir.must(&["dead-letters", "list", "--json"]).await).unwrap();
        letters.into_iter().next()
    })
    .await;
    let (position, id) = (letter["position"].to_string(), letter["id"].as_str().unwrap());
    let text = weir.must(&["dead-letters", "show", &position]).await;
    for part in [
        &format!("{position}  {id}  reject after 1 attempt by reject@1.0.0, 20"),
        "\n  from      flow:tg:in:one (reject--one--input), flow one\n",
        "\n  digest    sha256:",
        "\n  config    version ",
        "\n  reason    it has no page\n",
        "\n  body      4.9 KiB\n    {\n      \"reject\": \"it has no page\",\n",
        &"x".repeat(5000),
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    let shown: Value = serde_json::from_str(&weir.must(&["dead-letters", "show", id, "--json"]).await).unwrap();
    assert_eq!((&shown["letter"]["position"], &shown["message"]["body"]), (&letter["position"], &body));
    assert_eq!(shown["message"]["properties"]["weir-dead-error"], "reject");
    let again: Vec<Value> = serde_json::from_str(&weir.must(&["dead-letters", "list", "--json"]).await).unwrap();
    assert_eq!(again.len(), 1, "nothing is taken");
    check(
        &weir.run(&["dead-letters", "show", "999"]).await,
        folder.path(),
        1,
        &expect_test::expect![[r#"
            error: dead letter `999` does not exist; `weir dead-letters list` shows all of them
        "#]],
    );
    check(
        &weir.run(&["dead-letters", "show", "abc"]).await,
        folder.path(),
        65,
        &expect_test::expect![[r#"
            error: the dead letter: `abc` is neither a position, which is a number from 1, nor an id, which has 32 hexadecimal digits
        "#]],
    );
}

#[tokio::test]
async fn the_status_is_repeated_until_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(&folder.path().join("data")).await;
    start(&weir, "echo", "a-flow-with-a-name-that-is-rather-long").await;
    let text = Follower::start(&weir, folder.path(), &["status", "--watch"]);
    let twice = |text: &str| text.matches("\nQUEUES\n").count() >= 2 && text.contains("\nPROCESSORS\n");
    let shown = text.printed("the status to come again", twice).await;
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    assert!(shown.contains("\n\nweir ") && !shown.contains('\u{1b}'), "{shown}");
    assert_eq!(text.interrupt().await, Some(0));
    let lines = Follower::start(&weir, folder.path(), &["status", "--watch", "--json"]);
    let shown = lines.printed("two lines", |text| text.lines().count() >= 2 && text.ends_with('\n')).await;
    for line in shown.lines() {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["flows"].as_array().unwrap().len(), 1, "{line}");
    }
    assert_eq!(lines.interrupt().await, Some(0));
}
