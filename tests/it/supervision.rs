//! Every kind of task of a host panics once: it is restarted and reported, and no message is lost or handled twice.

use std::sync::Arc;

use weir_config::records::{HostSummary, ProcessorState};
use weir_pubsub::{Backend, ConsumerOptions, Delete, PubsubError};
use weir_runtime::Served;
use weir_tests::wait::{DEADLINE, eventually, within};

use crate::config::faulty::{Call, Faulty};
use crate::host_fixture::{HostFixture, queue};

const COUNT: usize = 20;

/// A host that uses its broker through one whose calls can panic.
async fn fixture() -> (HostFixture, Arc<Faulty>) {
    let mut fixture = HostFixture::without_host().await;
    let faulty = Faulty::over(fixture.backend.clone());
    fixture.start_host_over(faulty.clone(), Served::All, 16).await;
    (fixture, faulty)
}

/// Makes a processor process messages while a call of it panics.
async fn check(call: Call, topic: &str) {
    let (fixture, faulty) = fixture().await;
    faulty.panic_once(call, topic);
    fixture.run("echo", &[], |_| {}).await;
    let sent: Vec<String> = (0..COUNT).map(|number| format!("{number:02}")).collect();
    for text in &sent {
        fixture.send_text(text).await;
    }
    let mut texts = fixture.outputs().await.texts(COUNT).await;
    texts.sort();
    assert_eq!(texts, sent);
    assert!(faulty.has_panicked());
    let is_well = |state| state == ProcessorState::Running;
    let status = fixture.until("echo", |status| is_well(status.state) && status.in_hand_count == 0).await;
    let error = status.last_error.as_deref().unwrap_or_default();
    assert!(error.contains("ordered by a test") && error.contains("(restart 1)"), "{error}");
    assert_eq!((status.restarts_count, status.handled_count), (1, COUNT as u64), "{status:?}");
    // The fault is not the component's.
    assert_eq!((status.failed_count, status.dead_count), (0, 0), "{status:?}");
    assert_eq!(fixture.stats("flow:tg:out", "test").await.depth_count, 0);
    assert_eq!(fixture.stats("flow:tg:in", "echo--v--input").await.depth_count, 0);
    fixture.end().await;
}

#[tokio::test]
async fn an_intake_that_panics_is_restarted() {
    check(Call::Consumer, "flow:tg:in").await;
}

#[tokio::test]
async fn a_worker_that_panics_is_restarted_and_its_message_redelivered() {
    check(Call::Receive, "flow:tg:in").await;
}

#[tokio::test]
async fn a_settler_that_panics_is_restarted_and_its_messages_redelivered() {
    check(Call::Settle, "flow:tg:out").await;
}

#[tokio::test]
async fn a_supervisor_that_panics_is_restarted() {
    check(Call::Limits, "").await;
}

#[tokio::test]
async fn a_supervisor_that_panics_while_its_processor_runs_is_restarted() {
    let (fixture, faulty) = fixture().await;
    fixture.run("echo", &[], |_| {}).await;
    fixture.send_text("before").await;
    assert_eq!(fixture.outputs().await.next_text().await, "before");
    faulty.panic_once(Call::Limits, "");
    // Another deployment of the same component makes its supervisor prepare a new program.
    fixture.run("echo", &[], |record| record.retry.attempts_count = Some(6)).await;
    fixture.until("echo", |status| status.restarts_count == 1 && status.state == ProcessorState::Running).await;
    fixture.send_text("after").await;
    assert_eq!(fixture.outputs().await.next_text().await, "after");
    fixture.end().await;
}

#[tokio::test]
async fn a_status_reporter_that_panics_is_restarted() {
    let (fixture, faulty) = fixture().await;
    let topic = "notify:tg:weir-status".parse().unwrap();
    let reports = fixture.backend.consumer(&topic, &"test".parse().unwrap(), ConsumerOptions::default()).await.unwrap();
    faulty.panic_once(Call::Publish, "notify:tg:weir-status");
    fixture.run("echo", &[], |_| {}).await;
    loop {
        let report = within("a report", reports.receive()).await.unwrap();
        let summary: HostSummary = serde_json::from_slice(&report.message.body).unwrap();
        if faulty.has_panicked() && summary.totals.variants_count == 1 {
            break;
        }
    }
    fixture.end().await;
}

#[tokio::test]
async fn a_config_follower_that_panics_is_restarted() {
    let mut fixture = HostFixture::without_host().await;
    let faulty = Faulty::over(fixture.backend.clone());
    faulty.panic_once(Call::Consumer, "notify:tg:config");
    fixture.start_host_over(faulty.clone(), Served::All, 16).await;
    fixture.run("echo", &[], |_| {}).await;
    fixture.send_text("one").await;
    assert_eq!(fixture.outputs().await.next_text().await, "one");
    assert!(faulty.has_panicked());
    faulty.panic_once(Call::Receive, "notify:tg:config");
    fixture.put("t", "k", &1).await;
    fixture.run("stderr", &[], |_| {}).await;
    fixture.until_state("stderr", ProcessorState::Running).await;
    assert!(faulty.has_panicked());
    fixture.end().await;
}

#[tokio::test]
async fn a_dead_letter_failing_on_disk_and_then_on_a_full_queue_does_not_block_its_input() {
    const LETTERS: &str = "flow:tg:weir-dead-letters";
    let (fixture, faulty) = fixture().await;
    faulty.refuse(LETTERS, |_| Some(PubsubError::unavailable("the disk is full")));
    fixture.run("reject", &[], |_| {}).await;
    fixture.send_text(r#"{"reject": "no text"}"#).await;
    let refused = || async { (faulty.refusals_count() > 0).then_some(()) };
    eventually(DEADLINE, "the dead letter to be refused by the disk", refused).await;
    faulty.refuse(LETTERS, |_| Some(PubsubError::full(format!("queue {LETTERS}"), None, None)));
    fixture.send_text("{}").await;
    assert_eq!(fixture.outputs().await.next_text().await, "{}");
    eventually(DEADLINE, "the dead letter to be refused by its queue", refused).await;
    faulty.accept();
    let (letter, _) = fixture.dead_letter().await;
    assert_eq!(letter.reason, "no text");
    fixture.end().await;
}

#[tokio::test]
async fn why_the_queue_of_the_dead_letters_cannot_be_made_is_shown() {
    let (fixture, faulty) = fixture().await;
    faulty.refuse_queues("no rights for that");
    let letters = queue("flow:tg:weir-dead-letters", "weir");
    fixture.backend.delete_queue(&letters, Delete::Always).await.unwrap();
    fixture.run("reject", &[], |_| {}).await;
    fixture.send_text(r#"{"reject": "no text"}"#).await;
    let shows = |error: &str| error.contains("the queue cannot be created") && error.contains("no rights for that");
    fixture.until("reject", |status| status.last_error.as_deref().is_some_and(shows)).await;
    faulty.accept();
    fixture.until("reject", |status| status.dead_count == 1).await;
    assert_eq!(fixture.dead_letter().await.0.reason, "no text");
    fixture.end().await;
}
