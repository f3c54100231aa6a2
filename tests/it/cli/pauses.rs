//! `weir send` from an input that pauses.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use weir_tests::wait::{DEADLINE, eventually, within};
use weir_tests::weir::Weir;

/// Starts a flow whose messages stay in its queue.
async fn start_flow(weir: &Weir) {
    let blueprint = json!({
        "blueprint": {},
        "flow": {"outside:{id}": {"topics": {"input": "flow:tg:in:{id}"}}},
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}},
    });
    for request in [
        json!({"operation": "put-blueprint", "blueprint-name": "b", "blueprint-definition": blueprint.to_string()}),
        json!({"operation": "start-flow", "blueprint-name": "b", "flow-id": "one"}),
    ] {
        let answer = weir.post("/api/v1/flow", &request).await;
        assert!(answer.get("error").is_none(), "{answer}");
    }
}

#[tokio::test]
async fn a_send_continues_after_its_input_paused() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_with(folder.path(), &["--set", "gateway.body-time=2s"]).await;
    start_flow(&weir).await;
    let mut command = weir.command(&["send", "--each-line", "one", "in", "-"]);
    let mut sending = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = sending.stdin.take().unwrap();
    input.write_all(b"1\n").unwrap();
    let stored = || async {
        let queues = weir.get("/api/v1/weir/queues").await;
        let all = queues["queues"].as_array().unwrap();
        all.iter().any(|queue| queue["subscription"] == "outside--one--input" && queue["depth-count"] == 1).then_some(())
    };
    eventually(DEADLINE, "the first message to be stored", stored).await;
    // Well above the limit on pauses of a body.
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..5 {
        ticks.tick().await;
    }
    input.write_all(b"{\"a\": [ ]}\n").unwrap();
    drop(input);
    let sent = within("the end of the send", tokio::task::spawn_blocking(move || sending.wait_with_output().unwrap())).await.unwrap();
    assert!(sent.status.success() && sent.stdout == b"sent 2 messages\n", "{sent:?}");
}
