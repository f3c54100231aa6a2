//! Stops with `"backlog": "refuse"` whose connection to the config service is cut.

use serde_json::json;

use super::cut::{Cut, Line, Moment};
use super::support::{FlowFixture, blueprint, spec, splitter_record, until, within_deadline};

/// A fixture with flow `one` and a line that can be cut.
async fn fixture() -> (FlowFixture, weir_flow::FlowService, std::sync::Arc<Cut>) {
    let fixture = FlowFixture::new().await;
    let cut = Cut::over(fixture.backend.clone());
    let service = fixture.serve_over(&cut).await;
    fixture.put("component", "splitter@1.0.0", &splitter_record()).await;
    fixture.flows.put_blueprint("text", &blueprint().to_string()).await.unwrap();
    fixture.start("one", json!({"size": 1})).await.unwrap();
    (fixture, service, cut)
}

#[tokio::test]
async fn a_flow_whose_stop_was_refused_runs_again_despite_an_initial_failure() {
    let (fixture, _service, cut) = fixture().await;
    let before = fixture.everything().await;
    fixture.send("flow:tg:text:one", "held").await;
    let reader = fixture.reader("flow:tg:text:one", "splitter--one--input").await;
    let held = within_deadline(reader.receive()).await.unwrap();
    cut.set_after(Moment::QueuesDeleted, Line::Down);
    let error = within_deadline(fixture.flows.stop_empty_flow("one")).await.unwrap_err().to_string();
    assert!(error.contains("still holds 1 message") && error.contains("have not been rolled back yet"), "{error}");
    assert_eq!(fixture.get("flow", "one").await.unwrap()["status"], "stopping");
    // The cause of the refusal is gone: it was refused nevertheless.
    fixture.backend.settle(&held.receipt, Vec::new()).await.unwrap();
    drop(reader);
    cut.set(Line::Up);
    until(async || fixture.everything().await == before).await;
    within_deadline(fixture.flows.stop_empty_flow("one")).await.unwrap();
    assert!(fixture.queues().is_empty());
}

#[tokio::test]
async fn a_flow_whose_stop_could_not_be_recorded_runs_again_or_is_gone() {
    for line in [Line::Down, Line::Deaf] {
        let (fixture, _service, cut) = fixture().await;
        let (before, queues) = (fixture.everything().await, fixture.queues());
        cut.set_after(Moment::QueuesDeleted, line);
        within_deadline(fixture.flows.stop_empty_flow("one")).await.unwrap_err();
        assert!(fixture.queues().is_empty());
        cut.set(Line::Up);
        if line == Line::Down {
            until(async || fixture.everything().await == before).await;
            assert_eq!(fixture.queues(), queues);
            assert!(fixture.backend.queue_exists(&spec("flow:tg:text:one", "splitter--one--input").queue).await.unwrap());
        } else {
            until(async || fixture.get("flow", "one").await.is_none()).await;
            assert!(!fixture.everything().await.keys().any(|config_type| config_type.starts_with("processor:")));
        }
    }
}
