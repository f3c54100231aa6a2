//! A flow service that panics has failed, with its reason; one operation that panics is answered, and ends nothing else.

use serde_json::json;
use weir_flow::FlowService;

use super::support::{Bench, quick, soon};
use crate::config::faulty::{Call, Faulty};

#[tokio::test]
async fn a_service_that_panics_has_failed_with_its_reason() {
    let bench = Bench::new().await;
    let faulty = Faulty::over(bench.backend.clone());
    let mut service = soon(FlowService::start(faulty.clone(), bench.config.clone(), "tg", quick())).await.unwrap();
    assert!(service.is_running());
    faulty.panic_once(Call::Receive, "notify:tg:weir-status");
    let producer = bench.backend.producer(&"notify:tg:weir-status".parse().unwrap()).await.unwrap();
    producer.publish_confirmed(weir_pubsub::Message::new("{}")).await.unwrap();
    let reason = soon(service.failed()).await;
    assert!(reason.contains("ordered by a test"), "{reason}");
    assert!(!service.is_running());
    service.stop().await;
    bench.serve(quick()).await.stop().await;
}

#[tokio::test]
async fn an_operation_that_panics_is_answered_with_its_reason() {
    let (bench, service) = Bench::ready().await;
    service.stop().await;
    let faulty = Faulty::over(bench.backend.clone());
    let service = soon(FlowService::start(faulty.clone(), bench.config.clone(), "tg", quick())).await.unwrap();
    faulty.panic_once(Call::Limits, "");
    let error = soon(bench.start("one", json!({"size": 1}))).await.unwrap_err();
    let text = weir_pubsub::chain(&error);
    assert!(faulty.has_panicked() && text.contains("ordered by a test"), "{text}");
    soon(bench.start("two", json!({"size": 1}))).await.unwrap();
    assert!(service.is_running());
    service.stop().await;
}
