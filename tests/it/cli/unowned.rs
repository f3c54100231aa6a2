//! Queues that do not belong to a flow, for example after the configuration was lost; and what the doctor cannot check remotely.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use weir_tests::guest_path;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::{Weir, run};

use super::{blueprint, start_echo};

/// The checks with this name: grade and text.
async fn found(data: &Path, flags: &[&str], check: &str) -> Vec<(String, String)> {
    let output = run(data, &[&["doctor", "--json"], flags].concat()).await;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let checks = answer["checks"].as_array().unwrap().iter().filter(|it| it["check"] == check);
    checks.map(|it| (it["grade"].as_str().unwrap().to_owned(), format!("{} / {}", it["what"].as_str().unwrap(), it["next"]))).collect()
}

/// What is reported of queues without a flow.
async fn unowned(weir: &Weir) -> Vec<String> {
    let all = weir.get("/api/v1/weir/queues").await;
    let unowned = all["queues"].as_array().unwrap().iter().filter(|queue| queue["is-unowned"] == true);
    unowned
        .map(|queue| format!("{} {} {}", queue["topic"].as_str().unwrap(), queue["subscription"].as_str().unwrap(), queue["depth-count"]))
        .collect()
}

#[tokio::test]
async fn after_losing_the_configuration_each_queue_is_listed_with_its_messages() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_echo(&weir, "b", "one").await;
    for text in ["a", "b"] {
        weir.must(&["send", "one", "in", "--text", text]).await;
    }
    eventually(DEADLINE, "the results", || async {
        let queues = weir.get("/api/v1/weir/queues").await;
        let mut queues = queues["queues"].as_array().unwrap().iter();
        queues.any(|queue| queue["exit"] == "out" && queue["depth-count"] == 2).then_some(())
    })
    .await;
    assert_eq!(unowned(&weir).await, [""; 0]);
    assert!(weir.end().await.success());
    for name in ["config.sqlite", "config.sqlite-wal", "config.sqlite-shm"] {
        let _ = fs::remove_file(folder.path().join(name));
    }
    let missing = found(folder.path(), &["--listen", "127.0.0.1:0"], "configuration").await;
    assert!(missing.len() == 1 && missing[0].0 == "fail" && missing[0].1.contains("restore a backup"), "{missing:?}");

    let weir = Weir::up(folder.path()).await;
    let said = weir.said();
    for part in ["queue without a flow", "flow:tg:out:one", "configuration empty, but the queues are not"] {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }
    assert_eq!(unowned(&weir).await, ["flow:tg:in:one echo--one--input 0", "flow:tg:out:one gateway--one--out 2"]);
    let queues = found(folder.path(), &[], "queues").await;
    let (grade, words) = queues.iter().find(|(_, words)| words.contains("does not belong to a flow")).unwrap();
    assert!(
        grade == "fail"
            && words.contains("flow:tg:out:one (subscription gateway--one--out) does not belong to a flow and holds 2 messages"),
        "{words}"
    );
    assert!(words.contains("flow:tg:in:one (subscription echo--one--input) does not belong to a flow and is empty"), "{words}");
    let configuration = found(folder.path(), &[], "configuration").await;
    assert!(
        configuration.len() == 1 && configuration[0].0 == "fail" && configuration[0].1.contains("hold 2 messages"),
        "{configuration:?}"
    );
    assert_eq!(weir.run(&["doctor"]).await.status.code(), Some(1));
    let table = weir.must(&["queues"]).await;
    assert!(table.contains("gateway--one--out (no flow)") && table.contains("\n2 queues do not belong to a flow: weir doctor"), "{table}");

    // The fix that the doctor names.
    start_echo(&weir, "b", "one").await;
    assert_eq!(unowned(&weir).await, [""; 0]);
    assert_eq!(weir.must(&["take", "one", "out"]).await.lines().count(), 2);
    assert!(found(folder.path(), &[], "configuration").await.is_empty());
}

/// Starts and stops a flow repeatedly; meanwhile no queue is without a flow.
async fn come_and_go(weir: &Weir) {
    let changing = async {
        for _ in 0..15 {
            weir.must(&["flow", "start", "b", "comes-and-goes"]).await;
            weir.must(&["flow", "stop", "comes-and-goes", "--discard"]).await;
        }
    };
    let mut changing = std::pin::pin!(changing);
    loop {
        tokio::select! {
            () = &mut changing => break,
            seen = unowned(weir) => assert_eq!(seen, [""; 0]),
        }
    }
}

#[tokio::test]
async fn flows_that_start_stop_and_share_raise_no_false_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    weir.must(&["deploy", guest_path("echo").to_str().unwrap()]).await;
    let mut text = blueprint("echo", &json!({}));
    // One processor shared by all flows of the blueprint, and one private to each flow.
    text["blueprint"] = json!({"echo:shared": {"topics": {"input": "flow:tg:shared", "output": "flow:tg:common"}}});
    text["interfaces"]["shared"] = json!({"flow": "flow:tg:shared"});
    let file = folder.path().join("blueprint.json");
    fs::write(&file, text.to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "b", "stays"]).await;
    come_and_go(&weir).await;
    weir.must(&["flow", "stop", "stays", "--discard"]).await;
    assert_eq!(unowned(&weir).await, [""; 0]);
    let said = weir.said();
    assert!(!said.contains("without a flow"), "{said}");
    // A killed Weir restores its flows.
    weir.must(&["flow", "start", "b", "stays"]).await;
    weir.kill();
    let weir = Weir::up(folder.path()).await;
    assert_eq!(unowned(&weir).await, [""; 0]);
    assert!(!weir.said().contains("without a flow"));
}

#[tokio::test]
async fn checks_impossible_through_the_gateway_are_shown_as_skipped() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let weir = Weir::up(folder.path()).await;
    let here = found(folder.path(), &["--gateway", weir.url()], "log").await;
    assert!(here.len() == 1 && here[0].0 == "ok", "the folder is that of the gateway: {here:?}");
    let afar = found(elsewhere.path(), &["--gateway", weir.url()], "log").await;
    assert!(afar.len() == 1 && afar[0].0 == "skip" && afar[0].1.contains("not checked") && afar[0].1.contains("--data DIR"), "{afar:?}");
    let text = run(elsewhere.path(), &["--gateway", weir.url(), "doctor"]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("\nskip  log") && text.trim_end().ends_with(", 1 not checked"), "{text}");
}
