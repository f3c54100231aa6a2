//! Exits: messages are taken under a lease, and unacknowledged ones are redelivered.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_gateway::GatewaySettings;
use weir_pubsub::Backend;
use weir_tests::wait::{DEADLINE, eventually, within};

use super::fixture::{GatewayFixture, error_of, settings};
use super::taker::{EXITS, Taker};

const OUT: &str = "flow:tg:out:one";
const EXIT: &str = "gateway--one--out";
const STREAMS: &str = "weir_gateway_streams";

async fn with_messages(count: u64) -> GatewayFixture {
    let fixture = GatewayFixture::with_flow().await;
    for at in 0..count {
        fixture.publish(OUT, &at.to_string()).await;
    }
    fixture
}

/// Receipts and bodies from a first receipt and a first body on.
fn numbered(receipt: u64, body: u64, count: u64) -> Vec<(u64, Value)> {
    (0..count).map(|at| (receipt + at, json!(body + at))).collect()
}

async fn depth_becomes(fixture: &GatewayFixture, expected: u64) {
    let look = || async { (fixture.depth(OUT, EXIT).await == expected).then_some(()) };
    eventually(DEADLINE, format!("{expected} messages in the exit"), look).await;
}

#[tokio::test]
async fn a_message_leaves_its_exit_only_when_acknowledged() {
    let fixture = with_messages(5).await;
    let mut taker = Taker::take(&fixture, json!({})).await;
    assert_eq!(taker.messages(5).await, numbered(1, 0, 5));
    assert_eq!(fixture.depth(OUT, EXIT).await, 5);
    assert_eq!(taker.acknowledge(&fixture, 3).await, (200, json!({"acknowledged-count": 3})));
    assert_eq!(fixture.depth(OUT, EXIT).await, 2);
    assert_eq!(taker.acknowledge(&fixture, 3).await, (200, json!({"acknowledged-count": 0})));
    assert_eq!(taker.acknowledge(&fixture, 1).await, (200, json!({"acknowledged-count": 0})));
    fixture.figure_becomes(STREAMS, "exit", 1.0).await;
    drop(taker);
    fixture.figure_becomes(STREAMS, "exit", 0.0).await;
    let mut taker = Taker::take(&fixture, json!({"wait-ms": 0})).await;
    assert_eq!(taker.all(&fixture).await, [json!(3), json!(4)]);
    assert_eq!(fixture.depth(OUT, EXIT).await, 0);
    fixture.figure_becomes(STREAMS, "exit", 0.0).await;
}

#[tokio::test]
async fn messages_of_a_lost_connection_are_redelivered_at_once_in_order() {
    let fixture = with_messages(300).await;
    for round in 0..3 {
        let mut taker = Taker::take(&fixture, json!({})).await;
        assert_eq!(taker.messages(20).await, numbered(1, round * 10, 20));
        assert_eq!(taker.acknowledge(&fixture, 10).await.0, 200);
        // The connection ends with the rest in transit.
        drop(taker);
        fixture.figure_becomes(STREAMS, "exit", 0.0).await;
    }
    let mut taker = Taker::take(&fixture, json!({"wait-ms": 0})).await;
    assert_eq!(taker.all(&fixture).await, (30..300).map(|at| json!(at)).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_expired_lease_requeues_its_messages() {
    let fixture = with_messages(3).await;
    let mut late = Taker::take(&fixture, json!({"lease-ms": 200})).await;
    assert_eq!(late.messages(3).await, numbered(1, 0, 3));
    let last = late.next().await.unwrap();
    expect_test::expect![
        "lease ID has ended: it expired, its stream was closed, the flow was stopped, or no lease has this id; \
         unacknowledged messages are redelivered: take them under a new lease"
    ]
    .assert_eq(&error_of(&last, "lease-ended").replace(&late.lease, "ID"));
    assert_eq!(late.next().await, None);
    let (status, answer) = late.acknowledge(&fixture, 1).await;
    assert_eq!((status, error_of(&answer, "lease-ended").is_empty()), (410, false));
    let mut taker = Taker::take(&fixture, json!({"wait-ms": 0})).await;
    assert_eq!(taker.all(&fixture).await, [json!(0), json!(1), json!(2)]);
}

#[tokio::test]
async fn an_acknowledgement_renews_the_lease_and_an_empty_one_does_not_expire() {
    let fixture = with_messages(20).await;
    let mut taker = Taker::take(&fixture, json!({"lease-ms": 2000})).await;
    assert_eq!(taker.messages(20).await, numbered(1, 0, 20));
    for through in 1..=20 {
        // In total they take longer than the lease.
        weir_tests::wait::pass(Duration::from_millis(150)).await;
        assert_eq!(taker.acknowledge(&fixture, through).await, (200, json!({"acknowledged-count": 1})));
    }
    weir_tests::wait::pass(Duration::from_millis(2500)).await;
    fixture.publish(OUT, "20").await;
    assert_eq!(taker.messages(1).await, numbered(21, 20, 1));
    assert_eq!(taker.acknowledge(&fixture, 0).await, (200, json!({"acknowledged-count": 0})), "0 renews it");
    assert_eq!(taker.acknowledge(&fixture, 21).await, (200, json!({"acknowledged-count": 1})));
}

#[tokio::test]
async fn at_most_1024_messages_are_unacknowledged() {
    let fixture = with_messages(1100).await;
    let mut taker = Taker::take(&fixture, json!({})).await;
    assert_eq!(taker.messages(1024).await, numbered(1, 0, 1024));
    assert_eq!(taker.acknowledge(&fixture, 10).await, (200, json!({"acknowledged-count": 10})));
    assert_eq!(taker.messages(10).await, numbered(1025, 1024, 10));
    assert_eq!(taker.end(&fixture, 1034).await, (200, json!({"acknowledged-count": 1024})));
    assert_eq!(taker.next().await, None, "no more were handed out");
    assert_eq!(fixture.depth(OUT, EXIT).await, 66);
}

#[tokio::test]
async fn at_most_1_mib_is_unacknowledged_but_always_one_message() {
    let fixture = GatewayFixture::with_flow().await;
    let (large, small) = (json!("x".repeat(3 << 20)), json!("y".repeat(300 << 10)));
    for body in [&large, &large, &small, &small, &small, &small] {
        fixture.publish(OUT, &body.to_string()).await;
    }
    let mut taker = Taker::take(&fixture, json!({})).await;
    for through in [1, 2] {
        assert_eq!(taker.messages(1).await, [(through, large.clone())]);
        assert_eq!(taker.acknowledge(&fixture, through).await, (200, json!({"acknowledged-count": 1})));
    }
    assert_eq!(taker.messages(3).await, [(3, small.clone()), (4, small.clone()), (5, small.clone())]);
    assert_eq!(taker.end(&fixture, 5).await, (200, json!({"acknowledged-count": 3})));
    assert_eq!(taker.next().await, None, "the sixth would have been above it");
    assert_eq!(fixture.depth(OUT, EXIT).await, 1);
}

#[tokio::test]
async fn at_most_the_count_is_delivered_and_the_stream_ends_once_all_is_acknowledged() {
    let fixture = with_messages(5).await;
    let mut taker = Taker::take(&fixture, json!({"count": 3})).await;
    assert_eq!(taker.messages(3).await, numbered(1, 0, 3));
    let mut other = Taker::take(&fixture, json!({"wait-ms": 0})).await;
    assert_eq!(other.all(&fixture).await, [json!(3), json!(4)]);
    assert_eq!(taker.acknowledge(&fixture, 3).await, (200, json!({"acknowledged-count": 3})));
    assert_eq!(taker.next().await, None);
    let (status, answer) = taker.acknowledge(&fixture, 3).await;
    assert_eq!((status, &answer["error"]["type"]), (410, &json!("lease-ended")));
    assert_eq!(Taker::take(&fixture, json!({"count": 0})).await.next().await, None);
}

#[tokio::test]
async fn ending_a_lease_requeues_the_rest_before_the_response() {
    let fixture = with_messages(100).await;
    let mut taker = Taker::take(&fixture, json!({})).await;
    taker.messages(50).await;
    assert_eq!(taker.end(&fixture, 10).await, (200, json!({"acknowledged-count": 10})));
    let mut next = Taker::take(&fixture, json!({"count": 90})).await;
    assert_eq!(next.all(&fixture).await, (10..100).map(|at| json!(at)).collect::<Vec<_>>());
    while taker.next().await.is_some() {}
}

#[tokio::test]
async fn takers_of_one_exit_share_its_messages() {
    let fixture = with_messages(600).await;
    let mut takers = [Taker::take(&fixture, json!({"wait-ms": 0})).await, Taker::take(&fixture, json!({"wait-ms": 0})).await];
    let [one, two] = &mut takers;
    let (mut all, other) = within("both to end", async { tokio::join!(one.all(&fixture), two.all(&fixture)) }).await;
    all.extend(other);
    all.sort_unstable_by_key(|body| body.as_u64());
    assert_eq!(all, (0..600).map(|at| json!(at)).collect::<Vec<_>>());
}

#[tokio::test]
async fn bodies_pass_byte_for_byte_and_unusual_ones_end_nothing() {
    let fixture = GatewayFixture::with_flow().await;
    let deep = format!("{}1{}", "[".repeat(130), "]".repeat(130));
    let odd = [
        r#"{"id":"a","big":123456789012345678901234567890,"dec":1.10,"exp":1.50e3,"neg":-0}"#,
        r#"{"id":"big","n":1e400}"#,
        &deep,
        r#"{"id":"first","n":1,"id":"second","n":2}"#,
        r#"{"id":"cut","text":"half of an emoji: \ud83d"}"#,
    ];
    for body in odd {
        fixture.publish(OUT, body).await;
    }
    fixture.publish(OUT, "not JSON").await;
    let mut taker = Taker::take(&fixture, json!({})).await;
    for (at, body) in odd.iter().enumerate() {
        let line = taker.next_line().await.unwrap();
        assert!(line.starts_with(&format!("{{\"receipt\":{},\"id\":\"", at + 1)), "{line}");
        assert!(line.ends_with(&format!(",\"properties\":{{}},\"body\":{body}}}")), "{line}");
    }
    let line = taker.next_line().await.unwrap();
    assert!(line.ends_with(r#","properties":{},"text":"not JSON"}"#), "{line}");
}

#[tokio::test]
async fn a_stream_ends_with_the_reason_when_its_flow_or_weir_stops() {
    let mut fixture = with_messages(1).await;
    fixture.start_flow("two").await;
    fixture.publish("flow:tg:out:two", "1").await;
    let mut one = Taker::take(&fixture, json!({})).await;
    let mut two = Taker::take_at(&fixture, "/api/v1/weir/flows/two/exits/out/take", json!({})).await;
    one.messages(1).await;
    two.messages(1).await;
    fixture.stop_flow("one").await;
    let last = one.next().await.unwrap();
    assert_eq!(error_of(&last, "flow-stopped"), "flow `one` was stopped; `weir flow start` starts it again");
    assert_eq!(one.next().await, None);
    assert_eq!(one.acknowledge(&fixture, 1).await.0, 410);
    let ended = fixture.end_gateway();
    error_of(&two.next().await.unwrap(), "unavailable");
    assert_eq!(two.next().await, None);
    drop(two);
    within("the gateway to end", ended).await.unwrap().unwrap();
    let requeued = || async { (fixture.bodies("flow:tg:out:two", "gateway--two--out").await == ["1"]).then_some(()) };
    eventually(DEADLINE, "what was not acknowledged to be given back", requeued).await;
}

#[tokio::test]
async fn invalid_takes_and_acknowledgements_are_refused_by_field() {
    let fixture = with_messages(1).await;
    let take = format!("{EXITS}/take");
    for (wanted, words) in [
        (
            json!({"counts": 1}),
            "the body: must be a JSON object with \"count\", \"wait-ms\" and \"lease-ms\", all of them optional: unknown field `counts`",
        ),
        (json!({"count": -1}), "the body: must be"),
        (json!({"lease-ms": 99}), "lease-ms: must be from 100 to 3600000 milliseconds, is 99"),
        (json!({"lease-ms": 3_600_001}), "lease-ms: must be from 100"),
        (json!([]), "the body: must be a JSON object"),
    ] {
        let (status, answer) = fixture.post(&take, &wanted).await;
        let message = error_of(&answer, "bad-request");
        assert!(status == 400 && message.starts_with(words), "{wanted}: {message}");
    }
    let refused = fixture.post_request(&take, "text/plain", "{}").send().await.unwrap();
    assert_eq!(refused.status(), 415);
    let (status, answer) = fixture.post("/api/v1/weir/flows/one/exits/in/take", &json!({})).await;
    assert_eq!(status, 400);
    expect_test::expect!["interface `in` of flow `one` has no exit, since it is consumed within the flow; `weir tail` shows its messages"]
        .assert_eq(&error_of(&answer, "wrong-interface"));
    assert_eq!(fixture.post("/api/v1/weir/flows/two/exits/out/take", &json!({})).await.0, 404);

    let mut taker = Taker::take(&fixture, json!({})).await;
    taker.messages(1).await;
    let unknown = "0".repeat(32);
    for (asked, status, words) in [
        (json!({"lease": taker.lease, "through": 2}), 400, "through: receipt 2 does not exist: the last one is 1"),
        (json!({"lease": taker.lease}), 400, "the body: must be a JSON object with \"lease\" and \"through\": missing field `through`"),
        (json!({"lease": taker.lease, "through": 1, "until": 1}), 400, "the body: must be"),
        (json!({"lease": "mine", "through": 1}), 400, "lease: must be the 32 hexadecimal digits"),
        (json!({"lease": unknown, "through": 1}), 410, "lease 00000000000000000000000000000000 has ended"),
    ] {
        let (actual, answer) = fixture.post(&format!("{EXITS}/acknowledge"), &asked).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(actual == status && message.starts_with(words), "{asked}: {actual} {message}");
    }
    let (status, answer) = fixture.post("/api/v1/weir/flows/one/exits/in/acknowledge", &json!({"lease": taker.lease, "through": 1})).await;
    assert!(status == 400 && error_of(&answer, "bad-request").contains("is not a lease on exit `in` of flow `one`"), "{answer}");
    assert_eq!(fixture.depth(OUT, EXIT).await, 1);
    assert_eq!(taker.acknowledge(&fixture, 1).await, (200, json!({"acknowledged-count": 1})));
}

#[tokio::test]
async fn get_on_an_exit_names_the_replacement_and_takes_nothing() {
    let fixture = with_messages(2).await;
    for path in [EXITS.to_owned(), format!("{EXITS}?count=1"), format!("{EXITS}/take"), format!("{EXITS}/acknowledge")] {
        let response = fixture.get_request(&path).send().await.unwrap();
        assert_eq!((response.status().as_u16(), &response.headers()["allow"]), (405, &"POST".parse().unwrap()));
        let message = error_of(&response.json().await.unwrap(), "wrong-method");
        assert!(message.contains("weir take one out") && message.contains("/exits/out/take"), "{message}");
    }
    assert_eq!(fixture.depth(OUT, EXIT).await, 2);
}

/// A request over a separate connection, whose answer is not read.
async fn never_reads(fixture: &GatewayFixture, request: String) -> TcpStream {
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_http_reader_is_disconnected() {
    let fixture = GatewayFixture::with(GatewaySettings { unread_timeout: Duration::from_millis(500), ..settings() }).await;
    fixture.start_flow("one").await;
    let mut tap = never_reads(&fixture, format!("GET /api/v1/weir/flows/one/taps/in HTTP/1.1\r\nHost: {}\r\n\r\n", fixture.address)).await;
    fixture.figure_becomes(STREAMS, "tap", 1.0).await;
    let body = json!("x".repeat(1 << 20)).to_string();
    for _ in 0..24 {
        fixture.publish("flow:tg:in:one", &body).await;
    }
    // Nothing is written to it any more: it ends because it does not read.
    fixture.figure_becomes(STREAMS, "tap", 0.0).await;
    let mut rest = Vec::new();
    let read = within("the connection to be closed", tap.read_to_end(&mut rest)).await;
    assert!(read.is_err() || rest.len() < 24 << 20, "{} bytes", rest.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_taker_keeps_its_messages_only_for_its_lease() {
    let fixture = with_messages(10).await;
    let body = r#"{"lease-ms": 300}"#;
    let request = format!(
        "POST {EXITS}/take HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        fixture.address,
        body.len()
    );
    let _stalls = never_reads(&fixture, request).await;
    fixture.figure_becomes(STREAMS, "exit", 1.0).await;
    fixture.figure_becomes(STREAMS, "exit", 0.0).await;
    let mut taker = Taker::take(&fixture, json!({"wait-ms": 0})).await;
    assert_eq!(taker.all(&fixture).await, (0..10).map(|at| json!(at)).collect::<Vec<_>>());
    depth_becomes(&fixture, 0).await;
}

#[tokio::test]
async fn a_refused_stop_ends_no_reader_and_a_completed_one_ends_all() {
    let fixture = with_messages(1).await;
    let mut taker = Taker::take(&fixture, json!({})).await;
    let mut tap = fixture.get_request("/api/v1/weir/flows/one/taps/in").send().await.unwrap();
    let input: weir_pubsub::Topic = "flow:tg:in:one".parse().unwrap();
    let worker = fixture.backend.consumer(&input, &"worker--one--input".parse().unwrap(), Default::default()).await.unwrap();
    assert_eq!(taker.messages(1).await, numbered(1, 0, 1));
    let refuse = json!({"operation": "stop-flow", "flow-id": "one", "backlog": "refuse"});
    // The worker leaves only once the stop is in progress with an open outcome: it is not refused before that.
    let stop = async { fixture.post("/api/v1/flow", &refuse).await.1 };
    let look =
        || async { (fixture.post("/api/v1/flow/one/service/in", &json!(1)).await.1["error"]["type"] == "unavailable").then_some(()) };
    let undecided = async {
        eventually(DEADLINE, "the stop to be under way", look).await;
        drop(worker);
    };
    let (answer, ()) = tokio::join!(stop, undecided);
    assert!(answer["error"]["message"].as_str().unwrap().contains("is not stopped"), "{answer}");
    fixture.publish(OUT, "1").await;
    assert_eq!(taker.messages(1).await, numbered(2, 1, 1), "it goes on");
    assert_eq!(taker.acknowledge(&fixture, 2).await, (200, json!({"acknowledged-count": 2})));
    eventually(DEADLINE, "the flow to take messages", || async {
        (fixture.post("/api/v1/flow/one/service/in", &json!("seen")).await.1 == json!({})).then_some(())
    })
    .await;
    let mut seen = String::new();
    while !seen.contains("\"body\":\"seen\"") {
        seen.push_str(std::str::from_utf8(&within("a line of the tap", tap.chunk()).await.unwrap().unwrap()).unwrap());
    }
    assert!(!seen.contains("error"), "{seen}");
    fixture.stop_flow("one").await;
    error_of(&taker.next().await.unwrap(), "flow-stopped");
    let mut last = Vec::new();
    while let Some(chunk) = within("the end of the tap", tap.chunk()).await.unwrap() {
        last.extend_from_slice(&chunk);
    }
    error_of(&serde_json::from_slice(&last).unwrap(), "flow-stopped");
}
