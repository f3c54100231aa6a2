//! Every kind of task of a host panics once: it is started again and reported, and no message is lost or handled twice.

use std::sync::Arc;

use weir_config::records::{HostSummary, ProcessorState};
use weir_pubsub::{Backend, ConsumerOptions, Delete, PubsubError};
use weir_runtime::Served;
use weir_tests::wait::{DEADLINE, eventually, within};

use crate::config::faulty::{Call, Faulty};
use crate::stage::{Stage, queue};

const COUNT: usize = 20;

/// A host that sees its broker through one whose calls can panic.
async fn stage() -> (Stage, Arc<Faulty>) {
    let mut stage = Stage::without_host().await;
    let faulty = Faulty::over(stage.backend.clone());
    stage.start_host_over(faulty.clone(), Served::All, 16).await;
    (stage, faulty)
}

/// Has a processor work off messages while a call of it panics.
async fn check(call: Call, topic: &str) {
    let (stage, faulty) = stage().await;
    faulty.panic_once(call, topic);
    stage.run("echo", &[], |_| {}).await;
    let sent: Vec<String> = (0..COUNT).map(|number| format!("{number:02}")).collect();
    for text in &sent {
        stage.send_text(text).await;
    }
    let mut texts = stage.outputs().await.texts(COUNT).await;
    texts.sort();
    assert_eq!(texts, sent);
    assert!(faulty.has_panicked());
    let is_well = |state| state == ProcessorState::Running;
    let status = stage.until("echo", |status| is_well(status.state) && status.in_hand_count == 0).await;
    let error = status.last_error.as_deref().unwrap_or_default();
    assert!(error.contains("ordered by a test") && error.contains("(restart 1)"), "{error}");
    assert_eq!((status.restarts_count, status.handled_count), (1, COUNT as u64), "{status:?}");
    // The fault is not the component's.
    assert_eq!((status.failed_count, status.dead_count), (0, 0), "{status:?}");
    assert_eq!(stage.stats("flow:tg:out", "test").await.depth_count, 0);
    assert_eq!(stage.stats("flow:tg:in", "echo--v--input").await.depth_count, 0);
    stage.end().await;
}

#[tokio::test]
async fn an_intake_that_panics_is_started_again() {
    check(Call::Consumer, "flow:tg:in").await;
}

#[tokio::test]
async fn a_worker_that_panics_is_started_again_and_its_message_is_redelivered() {
    check(Call::Receive, "flow:tg:in").await;
}

#[tokio::test]
async fn a_settler_that_panics_is_started_again_and_its_messages_are_redelivered() {
    check(Call::Settle, "flow:tg:out").await;
}

#[tokio::test]
async fn a_keeper_that_panics_is_started_again() {
    check(Call::Limits, "").await;
}

#[tokio::test]
async fn a_keeper_that_panics_while_its_processor_runs_is_started_again() {
    let (stage, faulty) = stage().await;
    stage.run("echo", &[], |_| {}).await;
    stage.send_text("before").await;
    assert_eq!(stage.outputs().await.next_text().await, "before");
    faulty.panic_once(Call::Limits, "");
    // Another deployment of the same component has its keeper prepare a new program.
    stage.run("echo", &[], |record| record.retry.attempts_count = Some(6)).await;
    stage.until("echo", |status| status.restarts_count == 1 && status.state == ProcessorState::Running).await;
    stage.send_text("after").await;
    assert_eq!(stage.outputs().await.next_text().await, "after");
    stage.end().await;
}

#[tokio::test]
async fn a_status_reporter_that_panics_is_started_again() {
    let (stage, faulty) = stage().await;
    let topic = "notify:tg:weir-status".parse().unwrap();
    let reports = stage.backend.consumer(&topic, &"test".parse().unwrap(), ConsumerOptions::default()).await.unwrap();
    faulty.panic_once(Call::Publish, "notify:tg:weir-status");
    stage.run("echo", &[], |_| {}).await;
    loop {
        let report = within("a report", reports.receive()).await.unwrap();
        let summary: HostSummary = serde_json::from_slice(&report.message.body).unwrap();
        if faulty.has_panicked() && summary.totals.variants_count == 1 {
            break;
        }
    }
    stage.end().await;
}

#[tokio::test]
async fn a_config_follower_that_panics_is_started_again() {
    let mut stage = Stage::without_host().await;
    let faulty = Faulty::over(stage.backend.clone());
    faulty.panic_once(Call::Consumer, "notify:tg:config");
    stage.start_host_over(faulty.clone(), Served::All, 16).await;
    stage.run("echo", &[], |_| {}).await;
    stage.send_text("one").await;
    assert_eq!(stage.outputs().await.next_text().await, "one");
    assert!(faulty.has_panicked());
    faulty.panic_once(Call::Receive, "notify:tg:config");
    stage.put("t", "k", &1).await;
    stage.run("stderr", &[], |_| {}).await;
    stage.until_state("stderr", ProcessorState::Running).await;
    assert!(faulty.has_panicked());
    stage.end().await;
}

#[tokio::test]
async fn a_dead_letter_that_fails_by_its_disk_and_then_by_its_full_queue_does_not_stop_its_input() {
    const LETTERS: &str = "flow:tg:weir-dead-letters";
    let (stage, faulty) = stage().await;
    faulty.refuse(LETTERS, |_| Some(PubsubError::unavailable("the disk is full")));
    stage.run("reject", &[], |_| {}).await;
    stage.send_text(r#"{"reject": "no text"}"#).await;
    let refused = || async { (faulty.refusals_count() > 0).then_some(()) };
    eventually(DEADLINE, "the dead letter to be refused by the disk", refused).await;
    faulty.refuse(LETTERS, |_| Some(PubsubError::full(format!("queue {LETTERS}"), None, None)));
    stage.send_text("{}").await;
    assert_eq!(stage.outputs().await.next_text().await, "{}");
    eventually(DEADLINE, "the dead letter to be refused by its queue", refused).await;
    faulty.accept();
    let (letter, _) = stage.dead_letter().await;
    assert_eq!(letter.reason, "no text");
    stage.end().await;
}

#[tokio::test]
async fn why_the_queue_of_the_dead_letters_cannot_be_made_is_shown() {
    let (stage, faulty) = stage().await;
    faulty.refuse_queues("no rights for that");
    let letters = queue("flow:tg:weir-dead-letters", "weir");
    stage.backend.delete_queue(&letters, Delete::Always).await.unwrap();
    stage.run("reject", &[], |_| {}).await;
    stage.send_text(r#"{"reject": "no text"}"#).await;
    let shows = |error: &str| error.contains("the queue cannot be created") && error.contains("no rights for that");
    stage.until("reject", |status| status.last_error.as_deref().is_some_and(shows)).await;
    faulty.accept();
    stage.until("reject", |status| status.dead_count == 1).await;
    assert_eq!(stage.dead_letter().await.0.reason, "no text");
    stage.end().await;
}
