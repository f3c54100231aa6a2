//! The gateway's own tasks panic once, and continue; a gateway that has ended is not healthy.

use std::sync::Arc;

use serde_json::{Value, json};
use weir_config::records::HostStatus;
use weir_pubsub::embedded::EmbeddedOptions;
use weir_pubsub::{Backend, Message};
use weir_tests::wait::{DEADLINE, eventually};

use super::fixture::{GatewayFixture, settings};
use crate::config::faulty::{Call, Fault, Faulty};

/// A gateway over a broker whose calls can panic.
async fn fixture() -> (GatewayFixture, Arc<Faulty>) {
    let mut faulty = None;
    let mut fixture =
        GatewayFixture::over(settings(), EmbeddedOptions::default(), |backend| faulty.insert(Faulty::over(backend)).clone()).await;
    fixture.start_services().await;
    (fixture, faulty.unwrap())
}

/// Publishes reports like a host until the gateway shows it.
async fn report(fixture: &GatewayFixture, host: &str) {
    let status = HostStatus { host: host.into(), version: "0".into(), config_version: 1, ..HostStatus::default() };
    let producer = fixture.backend.producer(&"notify:tg:weir-status".parse().unwrap()).await.unwrap();
    eventually(DEADLINE, format!("the report of {host}"), || async {
        producer.publish_confirmed(Message::new(serde_json::to_vec(&status).unwrap())).await.unwrap();
        let (_, status) = fixture.get("/api/v1/weir/status").await;
        status["hosts"].as_array().unwrap().iter().any(|shown| shown["host"] == host).then_some(())
    })
    .await;
}

#[tokio::test]
async fn host_reports_are_received_again_after_a_panic_or_a_lost_subscription() {
    let (fixture, faulty) = fixture().await;
    report(&fixture, "first").await;
    faulty.panic_once(Call::Receive, "notify:tg:weir-status");
    report(&fixture, "second").await;
    assert!(faulty.has_panicked());
    faulty.fault(Fault::NotifiesCut);
    report(&fixture, "third").await;
    faulty.panic_once(Call::Consumer, "notify:tg:weir-status");
    faulty.fault(Fault::NotifiesCut);
    report(&fixture, "fourth").await;
    assert!(faulty.has_panicked());
}

#[tokio::test]
async fn flows_are_followed_and_services_answer_after_a_panic() {
    let (fixture, faulty) = fixture().await;
    fixture.start_flow("one").await;
    for (call, topic, flow) in [
        (Call::Receive, "notify:tg:config", "two"),
        (Call::Receive, "response:tg:config", "three"),
        (Call::Receive, "response:tg:flow", "four"),
    ] {
        faulty.panic_once(call, topic);
        // The answer that the panic interrupted is lost with it.
        let (list, flows) = (json!({"operation": "list", "type": "flow"}), json!({"operation": "list-flows"}));
        let asked = async { tokio::join!(fixture.post("/api/v1/config", &list), fixture.post("/api/v1/flow", &flows)) };
        let _: Result<_, _> = tokio::time::timeout(std::time::Duration::from_millis(200), asked).await;
        fixture.start_flow(flow).await;
        let (status, answer) = fixture.post(&format!("/api/v1/flow/{flow}/service/in"), &Value::Null).await;
        assert!(faulty.has_panicked() && status == 200, "{topic}: {status} {answer}");
    }
}

#[tokio::test]
async fn a_stopping_gateway_does_not_report_itself_healthy() {
    let (mut fixture, _) = fixture().await;
    assert_eq!(fixture.get("/healthz").await.0, 200);
    let ended = fixture.end_gateway();
    ended.await.unwrap().unwrap();
    assert!(reqwest::get(format!("http://{}/healthz", fixture.address)).await.is_err());
}
