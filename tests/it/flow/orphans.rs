//! Queues that no flow names any more.

use serde_json::json;
use weir_config::Batch;
use weir_flow::protocol::Backlog;
use weir_pubsub::{Delete, QueueSpec};

use super::support::{FlowFixture, names, queues_of, spec};

/// Names and outcomes.
async fn orphans(fixture: &FlowFixture, removed: Option<Backlog>) -> Vec<(String, Option<u64>, bool, bool)> {
    let found = fixture.flows.orphans(removed).await.unwrap();
    let told =
        found.into_iter().map(|orphan| (orphan.subscription, orphan.messages_count, orphan.is_removed, orphan.kept_because.is_some()));
    told.collect()
}

#[tokio::test]
async fn queues_of_a_lost_record_are_listed_and_removed_unless_read_or_full() {
    let (fixture, _service) = FlowFixture::ready().await;
    fixture.start("one", json!({"size": 1})).await.unwrap();
    fixture.start("two", json!({"size": 1})).await.unwrap();
    assert_eq!(orphans(&fixture, Some(Backlog::Discard)).await, [], "a flow names each");
    fixture.send("flow:tg:text:one", "kept").await;
    let [of_two, exit_of_two] = queues_of("two");
    fixture.config.apply(Batch::new().delete("flow", "one")).await.unwrap();
    let exit = ("gateway--one--chunks".to_owned(), Some(0), false, false);
    let input = ("splitter--one--input".to_owned(), Some(1), false, false);
    assert_eq!(orphans(&fixture, None).await, [exit.clone(), input.clone()]);
    // One that is being read is left alone, whatever is requested.
    let reader = fixture.reader("flow:tg:text:one", "splitter--one--input").await;
    assert_eq!(orphans(&fixture, Some(Backlog::Discard)).await.iter().filter(|(_, _, is_removed, _)| *is_removed).count(), 1);
    drop(reader);
    assert_eq!(orphans(&fixture, Some(Backlog::Refuse)).await, [(input.0.clone(), input.1, false, true)]);
    assert_eq!(orphans(&fixture, Some(Backlog::Discard)).await, [(input.0, input.1, true, false)]);
    let [shared] = ["tg.flow.counts:text.counter--text--input"];
    assert_eq!(fixture.queues(), names(&[shared, &of_two, &exit_of_two]));
    assert_eq!(fixture.made().await, fixture.queues());
}

#[tokio::test]
async fn queues_without_a_record_are_never_orphans_and_records_without_a_queue_are_removed() {
    let (fixture, _service) = FlowFixture::ready().await;
    let foreign = spec("flow:tg:theirs", "echo--one--input");
    fixture.backend.create_queue(&foreign).await.unwrap();
    fixture.start("one", json!({"size": 1})).await.unwrap();
    fixture.config.apply(Batch::new().delete("flow", "one")).await.unwrap();
    for QueueSpec { queue, .. } in [spec("flow:tg:text:one", "splitter--one--input"), spec("flow:tg:chunks:one", "gateway--one--chunks")] {
        fixture.backend.delete_queue(&queue, Delete::Always).await.unwrap();
    }
    let left = orphans(&fixture, Some(Backlog::Refuse)).await;
    assert_eq!(left, [("counter--text--input".to_owned(), Some(0), true, false)]);
    assert!(fixture.made().await.is_empty(), "records of queues that are gone are gone");
    assert_eq!(fixture.queues(), names(&[&foreign.queue.wire_name()]));
}

#[tokio::test]
async fn an_unreadable_flow_may_own_everything() {
    let (fixture, _service) = FlowFixture::ready().await;
    fixture.start("one", json!({"size": 1})).await.unwrap();
    fixture.put("flow", "one", &json!("broken")).await;
    let before = fixture.queues();
    let error = fixture.flows.orphans(Some(Backlog::Discard)).await.unwrap_err().to_string();
    assert!(error.contains("key `one`") && error.contains("weir flow stop one --discard"), "{error}");
    assert_eq!(fixture.queues(), before);
}
