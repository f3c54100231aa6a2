//! The output of a component: lines with fields, stdout, stderr, and its limits.

use serde_json::json;
use weir_tests::guest_path;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use crate::guests;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_carry_their_level_fields_and_message_and_are_limited_in_volume() {
    let data = tempfile::tempdir().unwrap();
    let weir = Weir::up(data.path()).await;
    weir.must(&["deploy", guest_path(guests::STDERR).to_str().unwrap(), "--limit", "log-bytes-per-minute=300"]).await;
    let blueprint = json!({
        "blueprint": {},
        "flow": {"stderr:{id}": {"topics": {"input": "flow:tg:in", "output": "flow:tg:out"}}},
        "interfaces": {"in": {"flow": "flow:tg:in"}, "out": {"flow": "flow:tg:out"}},
    });
    let file = data.path().join("blueprint.json");
    std::fs::write(&file, blueprint.to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "b", "one"]).await;
    let send = async |message: serde_json::Value| {
        weir.post("/api/v1/flow/one/service/in", &message).await;
    };
    send(json!({"stdout": "first on stdout\nsecond on stdout", "stderr": "on stderr", "log": "by the log"})).await;
    let line = async |text: &str| {
        let look = || std::future::ready(weir.said().lines().find(|line| line.contains(text)).map(str::to_owned));
        eventually(DEADLINE, text.to_owned(), look).await
    };
    for (text, level) in [("first on stdout", " INFO "), ("second on stdout", " INFO "), ("on stderr", " WARN "), ("by the log", " INFO ")]
    {
        let line = line(text).await;
        for word in
            [level, "processor=\"stderr\"", "variant=\"one\"", "flow=\"one\"", "component=\"stderr@1.0.0\"", "message_id=", "attempt=1"]
        {
            assert!(line.contains(word), "no {word} in {line}");
        }
    }
    assert!(!line("first on stdout").await.contains("second"), "line by line");
    assert!(line("by the log").await.contains("bytes"), "its field");
    for n in 0..10 {
        send(json!({"log": format!("number {n} {}", "x".repeat(60))})).await;
    }
    send(json!({"stderr": "also dropped, after all others"})).await;
    weir.must(&["take", "one", "out", "--count", "12"]).await;
    line("component log limit reached").await;
    let said = weir.said();
    assert!(said.contains("number 0") && !said.contains("number 9") && !said.contains("after all others"), "{said}");
    assert_eq!(said.matches("component log limit reached").count(), 1, "told once");
    assert_eq!(weir.end().await.code(), Some(0));
}
