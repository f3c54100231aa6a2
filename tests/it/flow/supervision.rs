//! A flow service that panics has failed, with its reason; a panic in one operation is answered and ends nothing else.

use serde_json::json;
use weir_flow::FlowService;

use super::support::{FlowFixture, quick, within_deadline};
use crate::config::faulty::{Call, Faulty};

#[tokio::test]
async fn a_service_that_panics_has_failed_with_its_reason() {
    let fixture = FlowFixture::new().await;
    let faulty = Faulty::over(fixture.backend.clone());
    let mut service = within_deadline(FlowService::start(faulty.clone(), fixture.config.clone(), "tg", quick())).await.unwrap();
    assert!(service.is_running());
    faulty.panic_once(Call::Receive, "notify:tg:weir-status");
    let producer = fixture.backend.producer(&"notify:tg:weir-status".parse().unwrap()).await.unwrap();
    producer.publish_confirmed(weir_pubsub::Message::new("{}")).await.unwrap();
    let reason = within_deadline(service.failed()).await;
    assert!(reason.contains("ordered by a test"), "{reason}");
    assert!(!service.is_running());
    service.stop().await;
    fixture.serve(quick()).await.stop().await;
}

#[tokio::test]
async fn an_operation_that_panics_is_answered_with_its_reason() {
    let (fixture, service) = FlowFixture::ready().await;
    service.stop().await;
    let faulty = Faulty::over(fixture.backend.clone());
    let service = within_deadline(FlowService::start(faulty.clone(), fixture.config.clone(), "tg", quick())).await.unwrap();
    faulty.panic_once(Call::Limits, "");
    let error = within_deadline(fixture.start("one", json!({"size": 1}))).await.unwrap_err();
    let text = weir_pubsub::chain(&error);
    assert!(faulty.has_panicked() && text.contains("ordered by a test"), "{text}");
    within_deadline(fixture.start("two", json!({"size": 1}))).await.unwrap();
    assert!(service.is_running());
    service.stop().await;
}
