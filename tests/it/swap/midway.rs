//! Swaps in the midst of something: a setup that fails or takes long, a message in hand, an input without a queue.

use serde_json::Value;
use weir_config::Batch;
use weir_runtime::Served;
use weir_tests::wait::{DEADLINE, eventually};

use super::{deploy, name, stage, until_runs};
use crate::guests;
use crate::stage::{Stage, entry};

async fn configure(stage: &Stage, value: &str) {
    stage.config.apply(Batch::new().put("settings", "a", value)).await.unwrap();
    stage.until_configured().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_keeps_its_configuration_while_its_successor_cannot_run() {
    let mut stage = stage().await;
    let (one, two) = (deploy(&stage, guests::CONFIG_GET, 1, |_| {}).await, deploy(&stage, guests::ECHO, 2, |_| {}).await);
    std::fs::write(stage.component_file(two.digest), b"no component").unwrap();
    stage.start_host(Served::All).await;
    configure(&stage, "1").await;
    name(&stage, &one, None).await;
    until_runs(&stage, &one).await;
    // The new component declares no config type, and its entry names no previous one.
    name(&stage, &two, None).await;
    stage.until("p", |status| status.refused.is_some()).await;
    configure(&stage, "2").await;
    let outputs = stage.outputs().await;
    eventually(DEADLINE, "the change to reach what runs", || async {
        stage.send_text(r#"{"key": "a"}"#).await;
        let read: Value = serde_json::from_str(&outputs.next_text().await).unwrap();
        assert!(["1", "2"].map(Value::from).contains(&read["value"]), "{read}");
        (read["value"] == "2").then_some(())
    })
    .await;
    stage.end().await;
}
