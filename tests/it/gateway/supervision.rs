//! The gateway's own tasks panic once, and go on; a gateway that ends is not healthy.

use std::sync::Arc;

use serde_json::{Value, json};
use weir_config::records::HostStatus;
use weir_pubsub::embedded::EmbeddedOptions;
use weir_pubsub::{Backend, Message};
use weir_tests::wait::{DEADLINE, eventually};

use super::bed::{Bed, settings};
use crate::config::faulty::{Call, Fault, Faulty};

/// A gateway over a broker whose calls can panic.
async fn bed() -> (Bed, Arc<Faulty>) {
    let mut faulty = None;
    let mut bed = Bed::over(settings(), EmbeddedOptions::default(), |backend| faulty.insert(Faulty::over(backend)).clone()).await;
    bed.start_services().await;
    (bed, faulty.unwrap())
}

/// Reports as a host does until the gateway shows it.
async fn report(bed: &Bed, host: &str) {
    let status = HostStatus { host: host.into(), version: "0".into(), config_version: 1, ..HostStatus::default() };
    let producer = bed.backend.producer(&"notify:tg:weir-status".parse().unwrap()).await.unwrap();
    eventually(DEADLINE, format!("the report of {host}"), || async {
        producer.publish_confirmed(Message::new(serde_json::to_vec(&status).unwrap())).await.unwrap();
        let (_, status) = bed.get("/api/v1/weir/status").await;
        status["hosts"].as_array().unwrap().iter().any(|shown| shown["host"] == host).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_reports_of_hosts_are_heard_again_after_a_panic_and_after_a_lost_subscription() {
    let (bed, faulty) = bed().await;
    report(&bed, "first").await;
    faulty.panic_once(Call::Receive, "notify:tg:weir-status");
    report(&bed, "second").await;
    assert!(faulty.has_panicked());
    faulty.fault(Fault::NotifiesCut);
    report(&bed, "third").await;
    faulty.panic_once(Call::Consumer, "notify:tg:weir-status");
    faulty.fault(Fault::NotifiesCut);
    report(&bed, "fourth").await;
    assert!(faulty.has_panicked());
}

#[tokio::test]
async fn flows_are_followed_and_services_answer_after_a_panic() {
    let (bed, faulty) = bed().await;
    bed.start_flow("one").await;
    for (call, topic, flow) in [
        (Call::Receive, "notify:tg:config", "two"),
        (Call::Receive, "response:tg:config", "three"),
        (Call::Receive, "response:tg:flow", "four"),
    ] {
        faulty.panic_once(call, topic);
        // The answer that the panic took is lost with it.
        let (list, flows) = (json!({"operation": "list", "type": "flow"}), json!({"operation": "list-flows"}));
        let asked = async { tokio::join!(bed.post("/api/v1/config", &list), bed.post("/api/v1/flow", &flows)) };
        let _: Result<_, _> = tokio::time::timeout(std::time::Duration::from_millis(200), asked).await;
        bed.start_flow(flow).await;
        let (status, answer) = bed.post(&format!("/api/v1/flow/{flow}/service/in"), &Value::Null).await;
        assert!(faulty.has_panicked() && status == 200, "{topic}: {status} {answer}");
    }
}

#[tokio::test]
async fn a_gateway_that_ends_does_not_call_itself_healthy() {
    let (mut bed, _) = bed().await;
    assert_eq!(bed.get("/healthz").await.0, 200);
    let ended = bed.end_gateway();
    ended.await.unwrap().unwrap();
    assert!(reqwest::get(format!("http://{}/healthz", bed.address)).await.is_err());
}
