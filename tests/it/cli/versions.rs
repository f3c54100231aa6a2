//! A version never changes: a deployment keeps its limits, and settings apply to the rest.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use weir_tests::guest_path;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::{blueprint, said};

async fn record(weir: &Weir, component: &str) -> String {
    weir.must(&["config", "get", "component", component]).await
}

/// Starts a flow `one` whose processor is `p`.
async fn start(weir: &Weir) {
    let file = weir.data().join("blueprint.json");
    fs::write(&file, blueprint("p", &json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "b", "one"]).await;
}

async fn put(weir: &Weir, component: &str, record: &Value) {
    weir.must(&["config", "put", "component", component, &record.to_string(), "--force"]).await;
}

async fn shown(weir: &Weir, component: &str) -> Value {
    serde_json::from_str(&weir.must(&["components", "show", component, "--json"]).await).unwrap()
}

#[tokio::test]
async fn deploying_a_version_again_with_other_limits_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    let echo = guest_path("echo");
    let echo = echo.to_str().unwrap();
    weir.must(&["deploy", "p@1.0.0", echo]).await;
    start(&weir).await;
    let before = record(&weir, "p@1.0.0").await;
    for limit in ["time-ms=9", "memory-bytes=16777216"] {
        let refused = weir.run(&["deploy", "p@1.0.0", echo, "--limit", limit]).await;
        let text = said(&refused, folder.path());
        assert_eq!(refused.status.code(), Some(1), "{text}");
        for part in ["a version never changes", limit.split('=').next().unwrap(), "another version", "weir components remove p@1.0.0"] {
            assert!(text.contains(part), "`{part}` is not in\n{text}");
        }
    }
    for limit in ["memory-bytes=3", "memory-bytes=268435457", "time-ms=0", "time-ms=3600001", "sends-count=0", "sends-bytes=1", "memory=1"]
    {
        let refused = weir.run(&["deploy", "p@1.0.0", echo, "--limit", limit]).await;
        let text = said(&refused, folder.path());
        assert!(refused.status.code() == Some(64) && text.contains("must be"), "{limit}: {text}");
    }
    assert_eq!(record(&weir, "p@1.0.0").await, before);
    assert!(weir.must(&["deploy", "p@1.0.0", echo]).await.starts_with("p@1.0.0 already deployed"));
    assert_eq!(record(&weir, "p@1.0.0").await, before);
    // Another version may have them, and keeps them.
    weir.must(&["deploy", "p@1.1.0", echo, "--limit", "time-ms=9000"]).await;
    assert!(weir.must(&["deploy", "p@1.1.0", echo, "--limit", "time-ms=9000"]).await.contains("already deployed"));
    let text = weir.must(&["components", "show", "p@1.1.0"]).await;
    let row = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(row("limits.time-ms"), "limits.time-ms 9,000 this deployment");
    assert_eq!(row("limits.memory-bytes"), "limits.memory-bytes 67,108,864 settings");
    assert_eq!(row("retry.attempts-count"), "retry.attempts-count 5 settings");
    // What runs is unchanged, also after a restart.
    assert!(weir.end().await.success());
    let weir = Weir::up(folder.path()).await;
    weir.must(&["send", "one", "in", "--text", "hello"]).await;
    assert_eq!(weir.must(&["take", "one", "out", "--count", "1"]).await, "{\"text\":\"hello\"}\n");
}

#[tokio::test]
async fn changed_settings_apply_to_existing_deployments_from_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_with(folder.path(), &["--set", "component.sends=7", "--set", "retry.attempts=4"]).await;
    weir.must(&["deploy", "p@1.0.0", guest_path("trap").to_str().unwrap(), "--limit", "sends-bytes=4096"]).await;
    start(&weir).await;
    let of = |shown: &Value| {
        let holds =
            |section: &str, name: &str| format!("{} {}", shown[section][name]["value"], shown[section][name]["from"].as_str().unwrap());
        [holds("limits", "sends-count"), holds("limits", "sends-bytes"), holds("retry", "attempts-count")]
    };
    assert_eq!(of(&shown(&weir, "p@1.0.0").await), ["7 settings", "4096 deployment", "4 settings"]);
    assert!(weir.end().await.success());
    let weir = Weir::up_with(folder.path(), &["--set", "component.sends=8", "--set", "retry.attempts=1"]).await;
    assert_eq!(of(&shown(&weir, "p@1.0.0").await), ["8 settings", "4096 deployment", "1 settings"]);
    weir.must(&["send", "one", "in", "--text", "x"]).await;
    let message = folder.path().join("message.json");
    fs::write(&message, r#"{"trap": true}"#).unwrap();
    weir.must(&["send", "one", "in", message.to_str().unwrap()]).await;
    let letter = eventually(DEADLINE, "the dead letter", || async {
        let letters: Value = serde_json::from_str(&weir.must(&["dead-letters", "list", "--json"]).await).unwrap();
        letters.as_array().unwrap().iter().find(|letter| letter["body"] == r#"{"trap": true}"#).cloned()
    })
    .await;
    assert_eq!(letter["attempts-count"], 1, "{letter}");
}

#[tokio::test]
async fn records_with_copies_of_defaults_keep_working() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    let echo = guest_path("echo");
    let echo = echo.to_str().unwrap();
    weir.must(&["deploy", "p@1.0.0", echo]).await;
    let mut old: Value = serde_json::from_str(&record(&weir, "p@1.0.0").await).unwrap();
    old["limits"] =
        json!({"memory-bytes": 67108864, "time-ms": 60000, "sends-count": 1000, "sends-bytes": 16777216, "log-bytes-per-minute": 1048576});
    old["retry"] = json!({"attempts-count": 5, "first-wait-ms": 1000, "longest-wait-ms": 30000, "waiting-ms": 300000, "busy-ms": 600000});
    put(&weir, "p@1.0.0", &old).await;
    start(&weir).await;
    weir.must(&["send", "one", "in", "--text", "hello"]).await;
    assert_eq!(weir.must(&["take", "one", "out", "--count", "1"]).await, "{\"text\":\"hello\"}\n");
    for again in [&["deploy", "p@1.0.0", echo][..], &["deploy", "p@1.0.0", echo, "--limit", "time-ms=60000"]] {
        assert!(weir.must(again).await.contains("already deployed"));
    }
    assert_eq!(serde_json::from_str::<Value>(&record(&weir, "p@1.0.0").await).unwrap(), old);
}

/// The text of a failed check of the doctor; `None` if it succeeds.
async fn failing(weir: &Weir, folder: &Path, check: &str) -> Option<String> {
    let output = weir_tests::weir::run(folder, &["doctor", "--json"]).await;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", weir.said()));
    let found = answer["checks"].as_array().unwrap().iter().find(|it| it["check"] == check && it["grade"] == "fail");
    found.map(|it| it["what"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_record_with_out_of_range_limits_is_reported_and_does_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    weir.must(&["deploy", "p@1.0.0", guest_path("echo").to_str().unwrap()]).await;
    start(&weir).await;
    let right: Value = serde_json::from_str(&record(&weir, "p@1.0.0").await).unwrap();
    for (section, wrong, words) in [
        ("limits", json!({"memory-bytes": 3}), "limits.memory-bytes is 3; must be between 65536 and 268435456"),
        ("limits", json!({"time-ms": 0}), "limits.time-ms is 0; must be between 1 and 3600000"),
        ("retry", json!({"attempts-count": 0}), "retry.attempts-count is 0; must be between 1 and 1000"),
    ] {
        let mut record = right.clone();
        record[section] = wrong;
        put(&weir, "p@1.0.0", &record).await;
        eventually(DEADLINE, "the status to report it", || async {
            let status = weir.must(&["status", "--json"]).await;
            status.contains(words).then_some(())
        })
        .await;
        let told = failing(&weir, folder.path(), "components").await.unwrap();
        assert!(told.contains("p@1.0.0 cannot be used") && told.contains(words), "{told}");
        let listed = weir.must(&["components"]).await;
        assert!(listed.contains("p@1.0.0 cannot be used") && listed.contains(words), "{listed}");
        let refused = weir.run(&["components", "show", "p@1.0.0"]).await;
        assert!(refused.status.code() == Some(1) && said(&refused, folder.path()).contains(words), "{refused:?}");
        let refused = weir.run(&["deploy", "p@1.0.0", guest_path("echo").to_str().unwrap()]).await;
        assert!(refused.status.code() == Some(1) && said(&refused, folder.path()).contains(words), "{refused:?}");
    }
    put(&weir, "p@1.0.0", &right).await;
    weir.must(&["send", "one", "in", "--text", "hello"]).await;
    assert_eq!(weir.must(&["take", "one", "out", "--count", "1"]).await, "{\"text\":\"hello\"}\n");
    assert!(failing(&weir, folder.path(), "components").await.is_none());
}
