//! Stops with `"backlog": "refuse"` whose way to the config service is cut.

use serde_json::json;

use super::cut::{Cut, Line, Moment};
use super::support::{Bench, blueprint, soon, spec, splitter_record, until};

/// A bench with flow `one` and a line that can be cut.
async fn bench() -> (Bench, weir_flow::FlowService, std::sync::Arc<Cut>) {
    let bench = Bench::new().await;
    let cut = Cut::over(bench.backend.clone());
    let service = bench.serve_over(&cut).await;
    bench.put("component", "splitter@1.0.0", &splitter_record()).await;
    bench.flows.put_blueprint("text", &blueprint().to_string()).await.unwrap();
    bench.start("one", json!({"size": 1})).await.unwrap();
    (bench, service, cut)
}

#[tokio::test]
async fn a_flow_whose_stop_was_refused_runs_again_even_if_that_fails_at_first() {
    let (bench, _service, cut) = bench().await;
    let before = bench.everything().await;
    bench.send("flow:tg:text:one", "held").await;
    let reader = bench.reader("flow:tg:text:one", "splitter--one--input").await;
    let held = soon(reader.receive()).await.unwrap();
    cut.set_after(Moment::QueuesDeleted, Line::Down);
    let error = soon(bench.flows.stop_empty_flow("one")).await.unwrap_err().to_string();
    assert!(error.contains("still holds 1 message") && error.contains("have not been rolled back yet"), "{error}");
    assert_eq!(bench.get("flow", "one").await.unwrap()["status"], "stopping");
    // What refused it is gone: it was refused all the same.
    bench.backend.settle(&held.receipt, Vec::new()).await.unwrap();
    drop(reader);
    cut.set(Line::Up);
    until(async || bench.everything().await == before).await;
    soon(bench.flows.stop_empty_flow("one")).await.unwrap();
    assert!(bench.queues().is_empty());
}

#[tokio::test]
async fn a_flow_whose_stop_could_not_be_noted_runs_again_or_is_gone() {
    for line in [Line::Down, Line::Deaf] {
        let (bench, _service, cut) = bench().await;
        let (before, queues) = (bench.everything().await, bench.queues());
        cut.set_after(Moment::QueuesDeleted, line);
        soon(bench.flows.stop_empty_flow("one")).await.unwrap_err();
        assert!(bench.queues().is_empty());
        cut.set(Line::Up);
        if line == Line::Down {
            until(async || bench.everything().await == before).await;
            assert_eq!(bench.queues(), queues);
            assert!(bench.backend.queue_exists(&spec("flow:tg:text:one", "splitter--one--input").queue).await.unwrap());
        } else {
            until(async || bench.get("flow", "one").await.is_none()).await;
            assert!(!bench.everything().await.keys().any(|config_type| config_type.starts_with("processor:")));
        }
    }
}
