//! Queues that no flow names any more.

use serde_json::json;
use weir_config::Batch;
use weir_flow::protocol::Backlog;
use weir_pubsub::{Delete, QueueSpec};

use super::support::{Bench, names, queues_of, spec};

/// Names and what became of them.
async fn orphans(bench: &Bench, removed: Option<Backlog>) -> Vec<(String, Option<u64>, bool, bool)> {
    let found = bench.flows.orphans(removed).await.unwrap();
    let told =
        found.into_iter().map(|orphan| (orphan.subscription, orphan.messages_count, orphan.is_removed, orphan.kept_because.is_some()));
    told.collect()
}

#[tokio::test]
async fn what_a_lost_record_leaves_is_listed_and_removed_unless_it_is_read_or_full() {
    let (bench, _service) = Bench::ready().await;
    bench.start("one", json!({"size": 1})).await.unwrap();
    bench.start("two", json!({"size": 1})).await.unwrap();
    assert_eq!(orphans(&bench, Some(Backlog::Discard)).await, [], "a flow names each");
    bench.send("flow:tg:text:one", "kept").await;
    let [of_two, exit_of_two] = queues_of("two");
    bench.config.apply(Batch::new().delete("flow", "one")).await.unwrap();
    let exit = ("gateway--one--chunks".to_owned(), Some(0), false, false);
    let input = ("splitter--one--input".to_owned(), Some(1), false, false);
    assert_eq!(orphans(&bench, None).await, [exit.clone(), input.clone()]);
    // One that is read is left alone, whatever is asked for.
    let reader = bench.reader("flow:tg:text:one", "splitter--one--input").await;
    assert_eq!(orphans(&bench, Some(Backlog::Discard)).await.iter().filter(|(_, _, is_removed, _)| *is_removed).count(), 1);
    drop(reader);
    assert_eq!(orphans(&bench, Some(Backlog::Refuse)).await, [(input.0.clone(), input.1, false, true)]);
    assert_eq!(orphans(&bench, Some(Backlog::Discard)).await, [(input.0, input.1, true, false)]);
    let [shared] = ["tg.flow.counts:text.counter--text--input"];
    assert_eq!(bench.queues(), names(&[shared, &of_two, &exit_of_two]));
    assert_eq!(bench.made().await, bench.queues());
}

#[tokio::test]
async fn queues_without_a_record_are_never_orphans_and_records_without_a_queue_go() {
    let (bench, _service) = Bench::ready().await;
    let foreign = spec("flow:tg:theirs", "echo--one--input");
    bench.backend.create_queue(&foreign).await.unwrap();
    bench.start("one", json!({"size": 1})).await.unwrap();
    bench.config.apply(Batch::new().delete("flow", "one")).await.unwrap();
    for QueueSpec { queue, .. } in [spec("flow:tg:text:one", "splitter--one--input"), spec("flow:tg:chunks:one", "gateway--one--chunks")] {
        bench.backend.delete_queue(&queue, Delete::Always).await.unwrap();
    }
    let left = orphans(&bench, Some(Backlog::Refuse)).await;
    assert_eq!(left, [("counter--text--input".to_owned(), Some(0), true, false)]);
    assert!(bench.made().await.is_empty(), "records of queues that are gone are gone");
    assert_eq!(bench.queues(), names(&[&foreign.queue.wire_name()]));
}

#[tokio::test]
async fn a_flow_that_cannot_be_read_may_own_everything() {
    let (bench, _service) = Bench::ready().await;
    bench.start("one", json!({"size": 1})).await.unwrap();
    bench.put("flow", "one", &json!("broken")).await;
    let before = bench.queues();
    let error = bench.flows.orphans(Some(Backlog::Discard)).await.unwrap_err().to_string();
    assert!(error.contains("key `one`") && error.contains("weir flow stop one --discard"), "{error}");
    assert_eq!(bench.queues(), before);
}
