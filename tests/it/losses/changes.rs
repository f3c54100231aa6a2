//! Changes of running flows: stops that messages forbid, and swaps.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use weir_config::Batch;
use weir_config::records::{COMPONENT_TYPE, ComponentRecord, ProcessorState};
use weir_flow::FlowError;
use weir_flow::plan::SwapOrder;
use weir_runtime::inspect;
use weir_tests::guest;
use weir_tests::wait::seed;

use super::place::{DEADLINE, LONGEST_PAUSE, LOSSES_COUNT, Place};

const INPUT: (&str, &str) = ("flow:tg:in:one", "echo--one--input");
const EXIT: (&str, &str) = ("flow:tg:out:one", "gateway--one--out");

/// A flow `one` that passes messages on.
async fn echoing() -> Place {
    let place = Place::new().await;
    place.deploy_between("echo").await;
    place.start("echo", "one").await;
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_holds_messages_is_never_stopped_by_a_stop_that_refuses_them() {
    let place = echoing().await;
    place.send(INPUT.0, "0".to_owned()).await;
    let cuts = place.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    let end = AtomicBool::new(false);
    let (mut count, mut refused_count) = (1, 0);
    let sending = async {
        while !end.load(Ordering::SeqCst) {
            place.send(INPUT.0, count.to_string()).await;
            count += 1;
        }
    };
    let stopping = async {
        let begun_count = place.cutting.losses_count();
        while place.cutting.losses_count() < begun_count + LOSSES_COUNT || refused_count < 3 {
            match place.flows.stop_empty_flow("one").await {
                Ok(()) => panic!("a flow that holds messages was stopped"),
                // An answer about the broker or the configuration is one about a loss.
                Err(FlowError::Answered { message, .. }) => refused_count += u32::from(message.contains("still holds")),
                Err(_) => {}
            }
        }
        end.store(true, Ordering::SeqCst);
    };
    tokio::join!(sending, stopping);
    cuts.end(&place.cutting).await;
    assert_eq!(place.numbers(INPUT.0, INPUT.1).await, (0..count).collect::<BTreeSet<u64>>());
    // It runs as before: its messages are worked off, and then it can be stopped, again over losses.
    let host = place.host().await;
    place.until("an empty input", async || place.depth(INPUT.0, INPUT.1).await == 0).await;
    assert_eq!(place.numbers(EXIT.0, EXIT.1).await, (0..count).collect::<BTreeSet<u64>>());
    host.stop(std::time::Duration::from_secs(20)).await;
    place.empty(EXIT.0, EXIT.1).await;
    let cuts = place.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    place
        .until("the stop", async || match place.flows.stop_empty_flow("one").await {
            Ok(()) => true,
            Err(FlowError::Answered { message, .. }) => message.contains("does not exist"),
            Err(_) => false,
        })
        .await;
    cuts.end(&place.cutting).await;
    place.until("the end of its queues", async || place.queues().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_goes_to_other_components_and_back_over_lost_connections() {
    let place = echoing().await;
    let mut record = serde_json::to_value(ComponentRecord::from(inspect(&guest("echo")).unwrap())).unwrap();
    record["version"] = json!("2.0.0");
    place.config.apply(Batch::new().put(COMPONENT_TYPE, "echo@2.0.0", record.to_string())).await.unwrap();
    let host = place.host().await;
    let cuts = place.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    let end = AtomicBool::new(false);
    let mut count = 0;
    let sending = async {
        while !end.load(Ordering::SeqCst) {
            place.send(INPUT.0, count.to_string()).await;
            count += 1;
            // No more than the host can work off over losses.
            place.until("a short input", async || place.depth(INPUT.0, INPUT.1).await < 100 || end.load(Ordering::SeqCst)).await;
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
            let order =
                || SwapOrder { flow: "one".to_owned(), processor: "echo".to_owned(), component: component.clone(), ..SwapOrder::default() };
            // A swap whose answer was lost may have been done.
            let swapped = async || place.flows.swap(order()).await.is_ok();
            place.until("the swap", async || swapped().await || runs(version)).await;
            place.until("the other component", async || runs(version)).await;
        }
        end.store(true, Ordering::SeqCst);
    };
    tokio::join!(sending, swapping);
    cuts.end(&place.cutting).await;
    let all = (0..count).collect::<BTreeSet<u64>>();
    let seen = std::sync::Mutex::new(String::new());
    place.until_all(&all, INPUT, EXIT).await;
    assert!(place.numbers("flow:tg:weir-dead-letters", "weir").await.is_empty());
    let last = async || {
        let entry = place.config.get_one("processor:echo", "one").await.ok().flatten();
        *seen.lock().unwrap() = format!("{:?}; {:?}", entry, host.status());
        runs("2.0.0")
    };
    if tokio::time::timeout(DEADLINE / 2, place.until("the last component", last)).await.is_err() {
        panic!("the last component does not run: {}", seen.lock().unwrap());
    }
}
