//! A broker that refuses messages for their size after they have passed its checks: each message has an outcome, and blocks no other.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use weir_config::records::{Cut, DeadLetter};
use weir_pubsub::PubsubError;
use weir_runtime::Served;

use crate::config::faulty::Faulty;
use crate::guests;
use crate::host_fixture::HostFixture;

const LETTERS: &str = "flow:tg:weir-dead-letters";

/// A host over a broker that refuses messages larger than 1000 bytes on a topic, which its limits do not show.
async fn fixture(topic: &str) -> (HostFixture, Arc<Faulty>) {
    let mut fixture = HostFixture::without_host().await;
    let faulty = Faulty::over(fixture.backend.clone());
    faulty.refuse(topic, |message| {
        let actual_bytes = message.body.len() as u64;
        let limit = |limit_bytes| PubsubError::TooLarge { what: "the message".to_owned(), actual_bytes, limit_bytes };
        (actual_bytes > 1000).then(|| limit(1000))
    });
    fixture.start_host_over(faulty.clone(), Served::All, 16).await;
    (fixture, faulty)
}

#[tokio::test]
async fn a_message_whose_output_is_repeatedly_refused_becomes_a_dead_letter() {
    let (fixture, faulty) = fixture("flow:tg:out").await;
    fixture.run(guests::ECHO, &[], |_| {}).await;
    let large = "x".repeat(2000);
    fixture.send_text(&large).await;
    fixture.send_text("small").await;
    let (letter, message) = fixture.dead_letter().await;
    assert_eq!((letter.error.as_str(), letter.attempts_count), ("too-large", 2));
    assert!(letter.reason.contains("2000 bytes; the limit is 1000"), "{}", letter.reason);
    assert_eq!(message.body, large);
    assert_eq!(faulty.refusals_count(), 2, "the component may send less the second time, and has no third");
    assert_eq!(fixture.outputs().await.next_text().await, "small");
    fixture.end().await;
}

#[tokio::test]
async fn a_dead_letter_refused_for_its_size_is_truncated_until_it_fits() {
    let (fixture, faulty) = fixture(LETTERS).await;
    fixture.run(guests::REJECT, &[], |_| {}).await;
    let large = format!(r#"{{"reject": "no text", "text": "{}"}}"#, "x".repeat(4000));
    fixture.send_text(&large).await;
    let (letter, message) = fixture.dead_letter().await;
    assert_eq!((letter.error.as_str(), letter.cut), ("reject", Some(Cut::Body)));
    assert!(
        letter.reason.contains(&format!("the body of {} bytes", large.len())) && letter.reason.ends_with("no text"),
        "{}",
        letter.reason
    );
    assert!(message.body.len() > 500 && large.as_bytes().starts_with(&message.body), "{} bytes are left", message.body.len());
    assert_eq!(faulty.refusals_count(), 1);
    fixture.end().await;
}

/// A broker that accepts no dead letter at all: the message stays with its worker, those behind it continue, and the reason is reported.
#[tokio::test]
async fn a_dead_letter_that_cannot_be_truncated_enough_waits_and_blocks_nothing() {
    let (fixture, faulty) = fixture("").await;
    faulty.refuse(LETTERS, |_| Some(PubsubError::TooLarge { what: "the message".to_owned(), actual_bytes: 9, limit_bytes: 8 }));
    fixture.run(guests::REJECT, &[], |_| {}).await;
    fixture.send_text(r#"{"reject": "no text"}"#).await;
    fixture.send_text("{}").await;
    assert_eq!(fixture.outputs().await.next_text().await, "{}");
    let status =
        fixture.until("reject", |status| status.last_error.as_deref().is_some_and(|error| error.contains("raise that limit"))).await;
    assert_eq!(status.dead_count, 0);
    faulty.accept();
    let (letter, message) = fixture.dead_letter().await;
    assert_eq!((letter.reason.ends_with("no text"), DeadLetter::original(&message).body.len()), (true, 0));
    fixture.end().await;
}
