//! `weir config`: values are put, read, listed, deleted and followed.

use expect_test::expect;
use serde_json::{Value, json};
use weir_tests::weir::Weir;

use super::follow::Follower;
use super::{check, said};

#[tokio::test]
async fn a_value_is_put_read_listed_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    assert_eq!(weir.must(&["config", "put", "prompt", "greeting", r#"{"text":  1.00}"#]).await, "prompt greeting stored, 15 B\n");
    weir.must(&["config", "put", "prompt", "number", "-5"]).await;
    weir.must(&["config", "put", "prompt", "parting", "good bye", "--text"]).await;
    assert_eq!(weir.must(&["config", "get", "prompt", "greeting"]).await, "{\"text\":  1.00}\n");
    let read: Value = serde_json::from_str(&weir.must(&["config", "get", "prompt", "parting", "--json"]).await).unwrap();
    assert_eq!((&read["type"], &read["key"], &read["value"]), (&json!("prompt"), &json!("parting"), &json!("good bye")));
    expect![[r#"
        key       size  value
        greeting  15 B  {"text": 1.00}
        number     2 B  -5
        parting    8 B  good bye
    "#]]
    .assert_eq(&weir.must(&["config", "list", "prompt"]).await);
    let keys: Value = serde_json::from_str(&weir.must(&["config", "list", "prompt", "--json"]).await).unwrap();
    assert_eq!(keys["values"][1], json!({"type": "prompt", "key": "number", "value": "-5"}));
    let types = weir.must(&["config", "list"]).await;
    assert!(types.starts_with("type ") && types.lines().any(|line| line.split_whitespace().eq(["prompt", "3", "25", "B"])), "{types}");
    let types: Value = serde_json::from_str(&weir.must(&["config", "list", "--json"]).await).unwrap();
    assert!(types["types"].as_array().unwrap().contains(&json!({"type": "prompt", "keys-count": 3, "size-bytes": 25})), "{types}");
    assert_eq!(weir.must(&["config", "delete", "prompt", "number"]).await, "prompt number deleted\n");
    assert!(!weir.must(&["config", "list", "prompt"]).await.contains("number"));
    assert_eq!(
        weir.must(&["config", "list", "prompts"]).await,
        "there are no values of type `prompts`; weir config list shows the types\n"
    );
}

#[tokio::test]
async fn an_invalid_value_or_name_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    check(
        &weir.run(&["config", "put", "prompt", "greeting", "hello"]).await,
        folder.path(),
        65,
        &expect![[r#"
            error: the value of `greeting` (type `prompt`) is not JSON
              because: expected value at line 1 column 1
              next: correct it; a JSON string needs quotes: '"hello"'; --text stores VALUE unchanged, as a plain string
        "#]],
    );
    weir.must(&["config", "put", "prompt", "greeting", "\"hello\""]).await;
    check(
        &weir.run(&["config", "get", "prompt", "greetign"]).await,
        folder.path(),
        1,
        &expect![[r#"
            error: the configuration has no `greetign` of type `prompt`
              next: did you mean `greeting`? weir config list prompt shows all keys
        "#]],
    );
    check(
        &weir.run(&["config", "delete", "promt", "greeting"]).await,
        folder.path(),
        1,
        &expect![[r#"
            error: the configuration has no `greeting` of type `promt`
              next: there is no such type; did you mean the type `prompt`?
        "#]],
    );
    assert_eq!(weir.must(&["config", "get", "prompt", "greeting"]).await, "\"hello\"\n", "nothing was deleted");
}

#[tokio::test]
async fn changes_are_followed_until_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(&folder.path().join("data")).await;
    weir.must(&["config", "put", "prompt", "old", "1"]).await;
    let lines = Follower::start(&weir, folder.path(), &["config", "watch", "prompt", "--json"]);
    lines.told("watching type `prompt` from version ").await;
    weir.must(&["config", "put", "other", "unseen", "1"]).await;
    weir.must(&["config", "put", "prompt", "new", "{}"]).await;
    lines.printed("the first change", |text| text.lines().count() == 1).await;
    weir.must(&["config", "delete", "prompt", "old"]).await;
    let text = lines.printed("the second change", |text| text.lines().count() == 2).await;
    let seen: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&seen[0]["type"], &seen[0]["key"], &seen[0]["value"]), (&json!("prompt"), &json!("new"), &json!("{}")));
    assert_eq!((&seen[1]["key"], &seen[1]["value"]), (&json!("old"), &Value::Null));
    assert!(seen[1]["version"].as_u64() > seen[0]["version"].as_u64());
    assert_eq!(lines.interrupt().await, Some(0));

    let mut text = Follower::start(&weir, folder.path(), &["config", "watch"]);
    text.told("watching the configuration from version ").await;
    weir.must(&["config", "put", "prompt", "new", "[1]"]).await;
    let shown = text.printed("the change", |text| text.ends_with('\n')).await;
    assert!(shown.ends_with("  changed  prompt  new  [1]\n"), "{shown}");
    weir.kill();
    assert_eq!(text.ended().await, Some(69), "{}", text.told("error: ").await);
}

#[tokio::test]
async fn a_value_comes_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    let file = folder.path().join("value.json");
    std::fs::write(&file, "{\n  \"a\": 1\n}\n").unwrap();
    let mut command = weir.command(&["config", "put", "prompt", "file", "-"]);
    let output = command.stdin(std::fs::File::open(&file).unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output, folder.path()));
    assert_eq!(weir.must(&["config", "get", "prompt", "file"]).await, "{\n  \"a\": 1\n}\n");
}

#[tokio::test]
async fn a_value_of_10_mib_is_refused_and_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(&folder.path().join("data")).await;
    weir.must(&["config", "put", "prompt", "large", "1"]).await;
    let file = folder.path().join("value.json");
    std::fs::write(&file, format!("\"{}\"", "x".repeat(10 << 20))).unwrap();
    let mut command = weir.command(&["config", "put", "prompt", "large", "-"]);
    let output = command.stdin(std::fs::File::open(&file).unwrap()).output().unwrap();
    check(
        &output,
        folder.path(),
        65,
        &expect![[r#"
        error: the value of `large` (type `prompt`) was not stored
          because: a request to the config service may have 4194304 bytes, this one has 10485837: split it into several; keep larger values in a file or another store
    "#]],
    );
    assert_eq!(weir.must(&["config", "get", "prompt", "large"]).await, "1\n");
}
