//! What the gateway knows of flows: when one becomes reachable, what ends with it, and what it requests from the config service for that.

use std::convert::Infallible;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use weir_pubsub::embedded::EmbeddedOptions;
use weir_pubsub::{Backend, CORRELATION_ID, ConsumerOptions, Message, Queue, QueueSpec};
use weir_tests::wait::{DEADLINE, eventually, within};

use super::fixture::{GatewayFixture, NDJSON, error_of, settings};
use crate::config::fake::{Fake, notify, notify_keys};

const DISPATCHERS: &str = "weir_gateway_dispatchers";
const STREAMS: &str = "weir_gateway_streams";

#[tokio::test]
async fn a_gateway_started_first_is_ready_once_the_services_are() {
    let mut fixture = GatewayFixture::without_services(settings(), EmbeddedOptions::default()).await;
    assert_eq!(fixture.get("/healthz").await.0, 200);
    let (status, body) = fixture.get("/readyz").await;
    assert_eq!(status, 503);
    let reason = body["reason"].as_str().unwrap();
    for missing in ["the config service does not answer", "the flow service does not answer", "the flows have not been read yet"] {
        assert!(reason.contains(missing), "{reason}");
    }
    let (_, body) = fixture.post("/api/v1/flow/one/service/in", &json!(1)).await;
    error_of(&body, "config-error");
    fixture.start_services().await;
    let host_only = || async {
        let (_, body) = fixture.get("/readyz").await;
        (body["reason"] == "no host is reporting (hosts report every 5 s)").then_some(())
    };
    eventually(DEADLINE, "all but a host of processors to be ready", host_only).await;
    fixture.start_flow("one").await;
    assert_eq!(fixture.post("/api/v1/flow/one/service/in", &json!(1)).await, (200, json!({})));
}

#[tokio::test]
async fn a_flow_is_reachable_as_soon_as_its_start_is_answered() {
    let fixture = GatewayFixture::with_flow().await;
    for at in 0..20 {
        let id = format!("later-{at}");
        fixture.start_flow(&id).await;
        assert_eq!(fixture.post(&format!("/api/v1/flow/{id}/service/in"), &json!(at)).await, (200, json!({})), "{id}");
        assert_eq!(fixture.depth(&format!("flow:tg:in:{id}"), &format!("worker--{id}--input")).await, 1);
    }
}

/// A scripted config service at version 5 with flow `f`.
async fn scripted() -> (GatewayFixture, Fake) {
    let fixture = GatewayFixture::without_services(settings(), EmbeddedOptions::default()).await;
    let backend: Arc<dyn Backend> = fixture.backend.clone();
    for topic in ["flow:tg:f", "flow:tg:g"] {
        let queue = Queue::new(topic.parse().unwrap(), "reader".parse().unwrap()).unwrap();
        backend.ensure_queue(&QueueSpec::new(queue)).await.unwrap();
    }
    let fake = Fake::start(&backend, 5, &[("flow", "f", &record("f"))]).await;
    // Without a config service the follower waits at most 2 s before it retries.
    let known = || async { fake.requests().contains(&"getvalues flow".to_owned()).then_some(()) };
    eventually(DEADLINE, "the flows to be read", known).await;
    (fixture, fake)
}

fn record(id: &str) -> String {
    json!({"blueprint-name": "b", "interfaces": {"in": {"flow": format!("flow:tg:{id}")}}}).to_string()
}

#[tokio::test]
async fn a_known_flow_is_reached_without_a_config_request() {
    let (fixture, fake) = scripted().await;
    let path = "/api/v1/flow/f/service/in";
    // The first may arrive before what was fetched is applied.
    assert_eq!(fixture.post(path, &json!(0)).await, (200, json!({})));
    fake.requests();
    for at in 1..10 {
        assert_eq!(fixture.post(path, &json!(at)).await, (200, json!({})));
    }
    assert_eq!(fake.requests(), Vec::<String>::new());
    assert_eq!((fixture.depth("flow:tg:f", "reader").await, fixture.figure(DISPATCHERS, &[("kind", "producer")]).await), (10, 1.0));
}

#[tokio::test]
async fn a_flow_without_a_notify_yet_is_awaited() {
    let (fixture, fake) = scripted().await;
    fake.set(6, "flow", "g", &record("g"));
    let post = tokio::spawn(fixture.post_request("/api/v1/flow/g/service/in", "application/json", "1").send());
    let asked = || async { fake.requests().contains(&"get flow/g".to_owned()).then_some(()) };
    eventually(DEADLINE, "the flow to be asked for", asked).await;
    fake.notify(notify(6, &["flow"])).await;
    let response = within("an answer", post).await.unwrap().unwrap();
    assert_eq!(response.json::<Value>().await.unwrap(), json!({}));
    assert_eq!(fixture.depth("flow:tg:g", "reader").await, 1);
}

#[tokio::test]
async fn a_change_of_other_types_only_advances_the_version() {
    let (fixture, fake) = scripted().await;
    assert_eq!(fixture.post("/api/v1/flow/f/service/in", &json!(0)).await, (200, json!({})));
    fake.requests();
    fake.move_to(6);
    fake.notify(notify(6, &["other"])).await;
    // For the version right after, only the key is fetched: everything would be fetched, had a version in between been missed.
    fake.set(7, "flow", "g", &record("g"));
    fake.notify(notify_keys(7, &[("flow", &["g"])])).await;
    let asked =
        eventually(DEADLINE, "the change to be fetched", || async { Some(fake.requests()).filter(|asked| !asked.is_empty()) }).await;
    assert_eq!(asked, ["get flow/g"]);
    assert_eq!(fixture.post("/api/v1/flow/g/service/in", &json!(1)).await, (200, json!({})));
}

#[tokio::test]
async fn requests_share_one_subscription_and_find_their_own_answers() {
    let fixture = GatewayFixture::with_flow().await;
    let subscription = "worker--one--request".parse().unwrap();
    let requests =
        fixture.backend.consumer(&"request:tg:ask:one".parse().unwrap(), &subscription, ConsumerOptions::default()).await.unwrap();
    let answers = fixture.backend.producer(&"response:tg:ask:one".parse().unwrap()).await.unwrap();
    let worker = async {
        let mut received = Vec::new();
        while received.len() < 20 {
            received.push(requests.receive().await.unwrap());
        }
        assert_eq!(fixture.figure(DISPATCHERS, &[("kind", "requester")]).await, 1.0);
        for request in received.into_iter().rev() {
            let id = request.message.properties.get(CORRELATION_ID).unwrap().to_owned();
            answers.publish_confirmed(Message::new(request.message.body).with(CORRELATION_ID, id)).await.unwrap();
            fixture.backend.settle(&request.receipt, Vec::new()).await.unwrap();
        }
    };
    let callers = futures_util::future::join_all((0..20).map(|at| {
        let fixture = &fixture;
        async move { assert_eq!(fixture.post("/api/v1/flow/one/service/ask", &json!(at)).await, (200, json!(at))) }
    }));
    within("all answers", async { tokio::join!(worker, callers) }).await;
}

/// A body that does not end on its own.
fn open_body() -> (mpsc::Sender<&'static str>, reqwest::Body) {
    let (sender, pieces) = mpsc::channel(16);
    let stream = futures_util::stream::unfold(pieces, |mut pieces: mpsc::Receiver<&'static str>| async move {
        pieces.recv().await.map(|piece| (Ok::<_, Infallible>(piece), pieces))
    });
    (sender, reqwest::Body::wrap_stream(stream))
}

#[tokio::test]
async fn users_of_a_flow_end_when_it_is_stopped() {
    let fixture = GatewayFixture::with_flow().await;
    fixture.post("/api/v1/flow/one/service/in", &json!(0)).await;
    let tap = fixture.get_request("/api/v1/weir/flows/one/taps/in").send().await.unwrap();
    let exit = fixture.post_request("/api/v1/weir/flows/one/exits/out/take", "application/json", "{}").send().await.unwrap();
    let (sender, body) = open_body();
    let import = tokio::spawn(fixture.post_request("/api/v1/weir/flows/one/interfaces/in/messages", NDJSON, body).send());
    sender.send("1\n").await.unwrap();
    let ask = tokio::spawn(fixture.post_request("/api/v1/flow/one/service/ask", "application/json", "1").send());
    let parts = "/api/v1/weir/flows/one/interfaces/ask/requests";
    let parts = tokio::spawn(fixture.post_request(parts, "application/json", "1").send());
    for (name, kind) in [(STREAMS, "tap"), (STREAMS, "exit"), (STREAMS, "import"), (DISPATCHERS, "producer"), (DISPATCHERS, "requester")] {
        fixture.figure_becomes(name, kind, 1.0).await;
    }
    let waiting = || async { (fixture.depth("request:tg:ask:one", "worker--one--request").await == 2).then_some(()) };
    eventually(DEADLINE, "both requests to wait", waiting).await;
    fixture.stop_flow("one").await;
    for stream in [tap, exit] {
        let text = within("a stream to end", stream.text()).await.unwrap();
        assert_stopped(&serde_json::from_str(text.lines().last().unwrap()).unwrap());
    }
    for (request, status) in [(import, 410), (ask, 200), (parts, 410)] {
        let response = within("an answer", request).await.unwrap().unwrap();
        assert_eq!(response.status(), status);
        assert_stopped(&response.json().await.unwrap());
    }
    for (name, kind) in [(STREAMS, "tap"), (STREAMS, "exit"), (STREAMS, "import"), (DISPATCHERS, "producer"), (DISPATCHERS, "requester")] {
        fixture.figure_becomes(name, kind, 0.0).await;
    }
}

#[track_caller]
fn assert_stopped(answer: &Value) {
    assert_eq!(error_of(answer, "flow-stopped"), "flow `one` was stopped; `weir flow start` starts it again");
}

#[tokio::test]
async fn a_stopped_flow_is_reported_as_such_until_restarted() {
    let fixture = GatewayFixture::with_flow().await;
    let path = "/api/v1/flow/one/service/in";
    fixture.stop_flow("one").await;
    assert_stopped(&fixture.post(path, &json!(1)).await.1);
    let (status, body) = fixture.get("/api/v1/weir/flows/one/taps/in").await;
    assert_eq!(status, 410);
    assert_stopped(&body);
    fixture.start_flow("one").await;
    assert_eq!(fixture.post(path, &json!(1)).await, (200, json!({})));
}
