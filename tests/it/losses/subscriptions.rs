//! Subscriptions that are lost alone, and permissions that are temporarily missing.

use std::num::NonZeroU32;
use std::time::Duration;

use weir_config::records::ProcessorStatus;
use weir_config::{ConfigClient, ConfigService, Store};
use weir_flow::FlowClient;
use weir_flow::protocol::Request;
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions};
use weir_pubsub::{Backend, Message, Queue, Requester, Topic};
use weir_runtime::Host;
use weir_tests::cutting::Cutting;
use weir_tests::look::depth;
use weir_tests::wait::{DEADLINE, eventually, pass, within};

use super::fixture::WeirFixture;
use super::lines::Lines;
use crate::host_fixture::queue;

fn topic(name: &str) -> Topic {
    name.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flow_service_keeps_its_requests_when_it_loses_host_reports() {
    let fixture = WeirFixture::new().await;
    let (requests, reports) = (topic("request:tg:flow"), topic("notify:tg:weir-status"));
    let counts = || (fixture.cutting.made_count(&requests), fixture.cutting.made_count(&reports));
    assert_eq!(counts(), (1, 1));
    for round in 2..5 {
        fixture.cutting.end_consumers_of(&reports);
        fixture.until("the subscription to the reports", async || counts().1 == round).await;
        assert_eq!(counts(), (1, round), "the queue of requests was not lost");
        fixture.flows.list_flows().await.unwrap();
    }
    // And the other way round.
    fixture.cutting.end_consumers_of(&requests);
    fixture.until("the queue of requests", async || counts().0 == 2).await;
    fixture.until("an answer", async || fixture.flows.list_flows().await.is_ok()).await;
    assert_eq!(counts(), (2, 4));
}

/// A flow of echo, `one`, through which a message has passed.
async fn echoing() -> (WeirFixture, Host) {
    let fixture = WeirFixture::new().await;
    fixture.deploy_between("echo").await;
    let host = fixture.host().await;
    fixture.start("echo", "one").await;
    fixture.send("flow:tg:in:one", "1".to_owned()).await;
    fixture.until("a message", async || fixture.depth("flow:tg:out:one", "gateway--one--out").await == 1).await;
    (fixture, host)
}

/// Whether the status of a processor shows this error as unresolved.
fn shows(host: &Host, error: &str) -> bool {
    let has =
        |status: &ProcessorStatus| status.last_error_over_ms.is_none() && status.last_error.as_deref().is_some_and(|e| e.contains(error));
    host.status().processors.iter().any(has)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_works_again_once_permissions_are_restored() {
    let (fixture, host) = echoing().await;
    fixture.cutting.deny();
    fixture.cutting.cut();
    // What an operator must change is in the status, and in the error of a request, which does not wait for it.
    fixture.until("the refusal in the status", async || shows(&host, "has no rights")).await;
    let refusal = async || fixture.flows.list_flows().await.err().filter(|error| weir_pubsub::chain(error).contains("give it rights"));
    fixture.until("a refusal that names what to change", async || refusal().await.is_some()).await;
    fixture.cutting.allow();
    fixture.send("flow:tg:in:one", "2".to_owned()).await;
    fixture.until("the next message", async || fixture.depth("flow:tg:out:one", "gateway--one--out").await == 2).await;
    fixture.until("a service", async || fixture.flows.list_flows().await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_settle_is_refused_is_settled_once_permissions_are_restored() {
    let (fixture, host) = echoing().await;
    fixture.cutting.deny();
    // Bypasses the permissions of this user.
    let producer = fixture.broker.producer(&topic("flow:tg:in:one")).await.unwrap();
    producer.publish_confirmed(Message::new("2")).await.unwrap();
    fixture.until("the refusal in the status", async || shows(&host, "cannot be settled yet: the broker refused the operation")).await;
    assert_eq!(fixture.depth("flow:tg:out:one", "gateway--one--out").await, 1);
    fixture.cutting.allow();
    fixture.until("the message", async || fixture.depth("flow:tg:out:one", "gateway--one--out").await == 2).await;
    fixture.until("its end", async || fixture.depth("flow:tg:in:one", "echo--one--input").await == 0).await;
}

/// Calls a service whose publishes fail from before its answer until it has settled the request.
async fn answered_late<T>(broker: &EmbeddedBroker, cutting: &Cutting, queue: &Queue, ask: impl Future<Output = T>) -> T {
    let requests = broker.inspect().tap(queue.topic(), NonZeroU32::MIN).await.unwrap();
    cutting.publishing_down();
    let repairing = async {
        within("the request", requests.receive()).await.unwrap();
        let is_settled = || async { (depth(broker, queue).await == 0).then_some(()) };
        eventually(DEADLINE, "its settle", is_settled).await;
        cutting.up();
    };
    within("the answer", async { tokio::join!(ask, repairing) }).await.0
}

// Without a flow service: a request of its own whose answer cannot be sent would end the session of the config service.
#[tokio::test(flavor = "multi_thread")]
async fn an_unsent_answer_of_the_config_service_is_retried() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::open(&folder.path().join("queues"), EmbeddedOptions::default()).unwrap();
    let cutting = Cutting::over(broker.clone());
    let store = Store::open(&folder.path().join("config.sqlite")).await.unwrap();
    let _service = ConfigService::start(cutting.clone(), "tg", store).await.unwrap();
    // A client that loses nothing.
    let config = ConfigClient::connect(broker.clone(), "tg").await.unwrap();
    let queue = queue("request:tg:config", "config-svc");
    let values = answered_late(&broker, &cutting, &queue, config.values("a")).await.unwrap();
    assert!(values.value.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsent_answer_of_the_flow_service_is_retried() {
    let fixture = WeirFixture::new().await;
    // A client that loses nothing.
    let flows = FlowClient::connect(fixture.broker.clone(), "tg").await.unwrap();
    let request = Request::new("unknown");
    let queue = queue("request:tg:flow", "flow-svc");
    let answer = answered_late(&fixture.broker, &fixture.cutting, &queue, flows.request_raw(&request)).await.unwrap();
    assert!(answer.error.unwrap().message.contains("unknown"));
}

// In one thread, whose log is captured.
#[tokio::test]
async fn an_outage_is_logged_at_its_begin_and_end_and_a_refusal_once() {
    let (lines, _logged) = Lines::of_this_thread();
    let folder = tempfile::tempdir().unwrap();
    let cutting = Cutting::over(EmbeddedBroker::open(folder.path(), EmbeddedOptions::default()).unwrap());
    let answers = topic("response:tg:a");
    let _requester = Requester::connect(cutting.clone(), &topic("request:tg:a"), &answers, &"test".parse().unwrap()).await.unwrap();
    let made = async |count| {
        let is_made = || async { (cutting.made_count(&answers) == count).then_some(()) };
        eventually(DEADLINE, "the subscription", is_made).await;
        // Its log line follows immediately.
        tokio::task::yield_now().await;
    };
    for round in 2..5 {
        cutting.down();
        // Several attempts fail.
        pass(Duration::from_millis(300)).await;
        cutting.up();
        made(round).await;
        let found = lines.take("subscription to answers");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("WARN") && found[0].contains("unavailable, retrying"), "{found:?}");
        assert!(found[1].contains("INFO") && found[1].contains("available again"), "{found:?}");
    }
    cutting.deny();
    cutting.cut();
    let refused = || async { lines.contain("ERROR").then_some(()) };
    eventually(DEADLINE, "the refusal in the log", refused).await;
    pass(Duration::from_millis(1_500)).await;
    cutting.allow();
    made(5).await;
    let found = lines.take("subscription to answers");
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[1].contains("refused by the broker") && found[1].contains("give it rights"), "{found:?}");
}
