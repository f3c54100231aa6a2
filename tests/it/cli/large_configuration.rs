//! A configuration larger than one answer can carry.

use std::fs;

use serde_json::{Value, json};
use weir_tests::guest_path;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::{said, start_echo};

const MIB: usize = 1 << 20;

async fn put(weir: &Weir, key: usize) -> Value {
    let value = json!({"type": "large", "key": key.to_string(), "value": "x".repeat(MIB)});
    weir.post("/api/v1/config", &json!({"operation": "put", "values": [value]})).await
}

async fn check(weir: &Weir, name: &str) -> (String, String) {
    let output = weir.run(&["doctor", "--json"]).await;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = answer["checks"].as_array().unwrap().iter().find(|it| it["check"] == name).unwrap_or_else(|| panic!("{answer}"));
    (found["grade"].as_str().unwrap().to_owned(), format!("{} / {}", found["what"], found["next"]))
}

#[tokio::test]
async fn doctor_warns_at_half_the_limit_and_a_put_beyond_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_with(folder.path(), &["--set", "broker.max-answer=4MiB"]).await;
    assert_eq!(check(&weir, "config").await.0, "ok");
    for key in 0..2 {
        assert_eq!(put(&weir, key).await.get("error"), None);
    }
    let (grade, words) = check(&weir, "config").await;
    assert!(grade == "warn" && words.contains("2.0 MiB of 4.0 MiB"), "{grade} {words}");
    put(&weir, 2).await;
    let refused = put(&weir, 3).await;
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("the whole configuration would have 41") && message.contains("the limit is 41"), "{message}");
    weir.must(&["config", "delete", "large", "0"]).await;
    assert_eq!(put(&weir, 3).await.get("error"), None);
}

#[tokio::test]
async fn processors_and_commands_work_beyond_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_echo(&weir, "b", "one").await;
    for key in 0..6 {
        assert_eq!(put(&weir, key).await.get("error"), None);
    }
    weir.must(&["send", "one", "in", "--text", "before"]).await;
    assert_eq!(weir.must(&["take", "one", "out", "--count", "1"]).await, "{\"text\":\"before\"}\n");
    assert_eq!(weir.end().await.code(), Some(0));
    // What an earlier version accepted exceeds the limit of this start.
    let weir = Weir::up_with(folder.path(), &["--set", "broker.max-answer=4MiB"]).await;
    weir.must(&["send", "one", "in", "--text", "after"]).await;
    assert_eq!(weir.must(&["take", "one", "out", "--count", "1"]).await, "{\"text\":\"after\"}\n");
    eventually(DEADLINE, "it to be ready", || async {
        let answer = weir.get("/readyz").await;
        (answer["status"] == "ready").then_some(())
    })
    .await;
    let (grade, words) = check(&weir, "config").await;
    assert!(grade == "fail" && words.contains("of 4.0 MiB"), "{grade} {words}");
    let listed = weir.must(&["config", "list"]).await;
    assert!(listed.lines().any(|line| line.split_whitespace().take(3).eq(["large", "6", "6.0"])), "{listed}");
    assert_eq!(weir.must(&["config", "list", "large"]).await.lines().count(), 7);
    // A deployment is refused as a whole: no part of it is recorded.
    let refused = weir.run(&["deploy", "echo@2.0.0", guest_path("echo").to_str().unwrap()]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused, folder.path()).contains("the whole configuration would have"), "{refused:?}");
    let components: Value = serde_json::from_str(&weir.must(&["components", "--json"]).await).unwrap();
    assert_eq!(components.as_array().unwrap().len(), 1, "{components}");
    // Its bytes are not kept either, and references to components are found beyond the limit too.
    let stored = || fs::read_dir(folder.path().join("components")).unwrap().count();
    let before = stored();
    assert_eq!(weir.run(&["deploy", guest_path("reject").to_str().unwrap()]).await.status.code(), Some(1));
    assert_eq!(stored(), before);
    let used = weir.run(&["components", "remove", "echo@1.0.0"]).await;
    assert!(said(&used, folder.path()).contains("echo (one)"), "{used:?}");
    weir.must(&["prune"]).await;
    assert_eq!(stored(), before);
    let unchanged = weir.must(&["deploy", "echo", guest_path("echo").to_str().unwrap()]).await;
    assert!(unchanged.contains("already deployed"), "{unchanged}");
    weir.must(&["flow", "stop", "one"]).await;
    for key in 0..4 {
        weir.must(&["config", "delete", "large", &key.to_string()]).await;
    }
    weir.must(&["flow", "start", "b", "two"]).await;
    assert_eq!(check(&weir, "flows").await.0, "ok");
}

#[tokio::test]
async fn an_unreadable_record_is_reported_and_blocks_no_other_flow() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_echo(&weir, "b", "one").await;
    weir.must(&["config", "put", "flow", "odd", "[1]", "--force"]).await;
    let status = weir.must(&["status"]).await;
    assert!(status.lines().any(|line| line.starts_with("odd ") && line.contains("unreadable")), "{status}");
    let (grade, words) = check(&weir, "flows").await;
    assert!(grade == "fail" && words.contains("flow odd is unreadable"), "{grade} {words}");
    weir.must(&["flow", "start", "b", "two"]).await;
    weir.must(&["flow", "stop", "one"]).await;
    weir.must(&["flow", "stop", "odd", "--discard"]).await;
    eventually(DEADLINE, "all to be well", || async { (check(&weir, "flows").await.0 == "ok").then_some(()) }).await;
}
