//! Changes of running flows: stops that are refused because of messages, and swaps.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use weir_config::Batch;
use weir_config::records::{COMPONENT_TYPE, ComponentRecord, ProcessorState};
use weir_flow::FlowError;
use weir_flow::plan::SwapRequest;
use weir_runtime::inspect;
use weir_tests::guest;
use weir_tests::wait::seed;

use super::fixture::{DEADLINE, LONGEST_PAUSE, LOSSES_COUNT, WeirFixture};

const INPUT: (&str, &str) = ("flow:tg:in:one", "echo--one--input");
const EXIT: (&str, &str) = ("flow:tg:out:one", "gateway--one--out");

/// A flow `one` that echoes messages.
async fn echoing() -> WeirFixture {
    let fixture = WeirFixture::new().await;
    fixture.deploy_between("echo").await;
    fixture.start("echo", "one").await;
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusing_stop_never_stops_a_flow_with_messages() {
    let fixture = echoing().await;
    fixture.send(INPUT.0, "0".to_owned()).await;
    let cuts = fixture.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    let end = AtomicBool::new(false);
    let (mut count, mut refused_count) = (1, 0);
    let sending = async {
        while !end.load(Ordering::SeqCst) {
            fixture.send(INPUT.0, count.to_string()).await;
            count += 1;
        }
    };
    let stopping = async {
        let begun_count = fixture.cutting.losses_count();
        while fixture.cutting.losses_count() < begun_count + LOSSES_COUNT || refused_count < 3 {
            match fixture.flows.stop_empty_flow("one").await {
                Ok(()) => panic!("a flow that holds messages was stopped"),
                // An answer about the broker or the configuration is about a loss.
                Err(FlowError::Answered { message, .. }) => refused_count += u32::from(message.contains("still holds")),
                Err(_) => {}
            }
        }
        end.store(true, Ordering::SeqCst);
    };
    tokio::join!(sending, stopping);
    cuts.end(&fixture.cutting).await;
    assert_eq!(fixture.numbers(INPUT.0, INPUT.1).await, (0..count).collect::<BTreeSet<u64>>());
    // It runs as before: its messages are processed, and then it can be stopped, again despite losses.
    let host = fixture.host().await;
    fixture.until("an empty input", async || fixture.depth(INPUT.0, INPUT.1).await == 0).await;
    assert_eq!(fixture.numbers(EXIT.0, EXIT.1).await, (0..count).collect::<BTreeSet<u64>>());
    host.stop(std::time::Duration::from_secs(20)).await;
    fixture.empty(EXIT.0, EXIT.1).await;
    let cuts = fixture.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    fixture
        .until("the stop", async || match fixture.flows.stop_empty_flow("one").await {
            Ok(()) => true,
            Err(FlowError::Answered { message, .. }) => message.contains("does not exist"),
            Err(_) => false,
        })
        .await;
    cuts.end(&fixture.cutting).await;
    fixture.until("the end of its queues", async || fixture.queues().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_switches_components_back_and_forth_across_lost_connections() {
    let fixture = echoing().await;
    let mut record = serde_json::to_value(ComponentRecord::from(inspect(&guest("echo")).unwrap())).unwrap();
    record["version"] = json!("2.0.0");
    fixture.config.apply(Batch::new().put(COMPONENT_TYPE, "echo@2.0.0", record.to_string())).await.unwrap();
    let host = fixture.host().await;
    let cuts = fixture.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    let end = AtomicBool::new(false);
    let mut count = 0;
    let sending = async {
        while !end.load(Ordering::SeqCst) {
            fixture.send(INPUT.0, count.to_string()).await;
            count += 1;
            // No more than the host can process despite losses.
            fixture.until("a short input", async || fixture.depth(INPUT.0, INPUT.1).await < 100 || end.load(Ordering::SeqCst)).await;
        }
    };
    let runs = |version: &str| {
        host.status().processors.iter().any(|status| {
            status.state == ProcessorState::Running && status.component.as_ref().is_some_and(|component| component.version == version)
        })
    };
    let swapping = async {
        for version in ["2.0.0", "1.0.0", "2.0.0"] {
            let component = format!("echo@{version}");
            let order = || SwapRequest {
                flow: "one".to_owned(),
                processor: "echo".to_owned(),
                component: component.clone(),
                ..SwapRequest::default()
            };
            // A swap whose answer was lost may have been done.
            let swapped = async || fixture.flows.swap(order()).await.is_ok();
            fixture.until("the swap", async || swapped().await || runs(version)).await;
            fixture.until("the other component", async || runs(version)).await;
        }
        end.store(true, Ordering::SeqCst);
    };
    tokio::join!(sending, swapping);
    cuts.end(&fixture.cutting).await;
    let all = (0..count).collect::<BTreeSet<u64>>();
    let seen = std::sync::Mutex::new(String::new());
    fixture.until_all(&all, INPUT, EXIT).await;
    assert!(fixture.numbers("flow:tg:weir-dead-letters", "weir").await.is_empty());
    let last = async || {
        let entry = fixture.config.get_one("processor:echo", "one").await.ok().flatten();
        *seen.lock().unwrap() = format!("{:?}; {:?}", entry, host.status());
        runs("2.0.0")
    };
    if tokio::time::timeout(DEADLINE / 2, fixture.until("the last component", last)).await.is_err() {
        panic!("the last component does not run: {}", seen.lock().unwrap());
    }
}
