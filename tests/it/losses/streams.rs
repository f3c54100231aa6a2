//! The gateway's streams: WebSockets in both directions, imports and taps.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use weir_pubsub::{Backend, Message};
use weir_tests::wait::{pass, seed, within};

use super::fixture::{LONGEST_PAUSE, LOSSES_COUNT, WeirFixture};
use super::gateway::Gateway;

const INPUT: (&str, &str) = ("flow:tg:in:one", "echo--one--input");
const EXIT: (&str, &str) = ("flow:tg:out:one", "gateway--one--out");
const IMPORT: &str = "/api/v1/weir/flows/one/interfaces/in/messages";

async fn echoing() -> (WeirFixture, Gateway) {
    let fixture = WeirFixture::new().await;
    fixture.deploy_between("echo").await;
    let gateway = Gateway::over(&fixture).await;
    fixture.start("echo", "one").await;
    fixture.until("an open interface", async || gateway.post(IMPORT, &json!([])).await.is_some()).await;
    (fixture, gateway)
}

/// A WebSocket, if it is opened.
async fn open(gateway: &Gateway, path: &str) -> Option<WebSocketStream<TcpStream>> {
    let host = gateway.address.trim_start_matches("http://");
    let request = format!("ws://{host}{path}").into_client_request().unwrap();
    let connection = TcpStream::connect(host).await.unwrap();
    within("the handshake", tokio_tungstenite::client_async(request, connection)).await.ok().map(|(socket, _)| socket)
}

/// Sends numbers over one WebSocket; returns how many of them are stored, from the first on.
async fn import(gateway: &Gateway, numbers: &[u64]) -> usize {
    let Some(mut socket) = open(gateway, "/api/v1/flow/one/import/in").await else {
        pass(Duration::from_millis(20)).await;
        return 0;
    };
    for number in numbers {
        if socket.feed(Frame::text(number.to_string())).await.is_err() {
            break;
        }
    }
    let _ = socket.close(None).await;
    let mut stored_count = None;
    let mut is_acknowledged = false;
    while let Some(Ok(frame)) = within("the end of an import", socket.next()).await {
        match frame {
            Frame::Text(text) => stored_count = serde_json::from_str::<Value>(&text).unwrap()["count"].as_u64(),
            Frame::Close(_) => is_acknowledged = true,
            _ => {}
        }
    }
    match stored_count {
        Some(count) => count as usize,
        None if is_acknowledged => numbers.len(),
        None => 0,
    }
}

/// Reads the exit over WebSockets, opened again when lost, until everything is there.
async fn export(gateway: &Gateway, all: &BTreeSet<u64>, fixture: &WeirFixture) {
    let mut seen = BTreeSet::new();
    while seen != *all || fixture.depth(EXIT.0, EXIT.1).await > 0 {
        let Some(mut socket) = open(gateway, "/api/v1/flow/one/export/out").await else {
            pass(Duration::from_millis(20)).await;
            continue;
        };
        // Until it ends, or nothing arrives for some time.
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(Duration::from_secs(2), socket.next()).await {
            if let Frame::Text(text) = frame {
                seen.insert(text.parse().unwrap());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_lose_nothing_across_lost_connections() {
    let (fixture, gateway) = echoing().await;
    let _host = fixture.host().await;
    let cuts = fixture.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    let all: BTreeSet<u64> = (0..300).collect();
    let sending = async {
        let mut left: Vec<u64> = all.iter().copied().collect();
        while !left.is_empty() || fixture.cutting.losses_count() < LOSSES_COUNT {
            let stored_count = import(&gateway, &left[..left.len().min(25)]).await;
            left.drain(..stored_count);
        }
        cuts.end(&fixture.cutting).await;
    };
    let reading = export(&gateway, &all, &fixture);
    super::fixture::in_time("all messages", async { tokio::join!(sending, reading) }).await;
    assert_eq!(fixture.depth(INPUT.0, INPUT.1).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_counts_only_messages_before_the_first_one_in_doubt() {
    let (fixture, gateway) = echoing().await;
    let body = (0..200).map(|n| format!("{n}\n")).collect::<String>();
    let url = format!("{}{IMPORT}", gateway.address);
    for answers in ["", "?answers=true"] {
        // The first one is stored, and its confirmation is lost with those of everything in transit.
        fixture.cutting.lose_next_confirm(Some(INPUT.0.parse().unwrap()));
        let request = gateway.http.post(format!("{url}{answers}")).header("content-type", "application/x-ndjson").body(body.clone());
        let answer = within("the answer", async { request.send().await.unwrap().text().await.unwrap() }).await;
        let last: Value = serde_json::from_str(answer.lines().last().unwrap()).unwrap();
        let told: BTreeSet<u64> = answer.lines().filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["line"].as_u64()).collect();
        assert_eq!(last["count"], 0, "{answer}");
        assert!(last["unconfirmed"].as_u64().unwrap() > 0 && last["error"]["message"].is_string(), "{answer}");
        assert!(!told.contains(&1), "{answer}");
        assert!(fixture.numbers(INPUT.0, INPUT.1).await.contains(&0), "it is stored all the same");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_waits_for_the_broker_ends_when_the_gateway_stops() {
    for media_type in ["application/x-ndjson", "application/json"] {
        let (fixture, gateway) = echoing().await;
        fixture.cutting.block(Duration::from_secs(3_600));
        let request = gateway.http.post(format!("{}{IMPORT}", gateway.address)).header("content-type", media_type);
        let body = if media_type == "application/json" { "[1, 2]" } else { "1\n2\n" };
        let asking = async { request.body(body).send().await.unwrap().json::<Value>().await.unwrap() };
        let stopping = async {
            fixture.until("the import", async || gateway.is_importing().await).await;
            gateway.stop();
        };
        let (answer, ()) = within("the end of the import", async { tokio::join!(asking, stopping) }).await;
        assert_eq!(answer["count"], 0, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("shutting down"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn taps_show_every_message_or_report_a_gap() {
    let (fixture, gateway) = echoing().await;
    let url = format!("{}/api/v1/weir/flows/one/taps/in", gateway.address);
    let mut tap = gateway.http.get(url).timeout(super::fixture::DEADLINE).send().await.unwrap();
    let cuts = fixture.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    let mut count = 0;
    let sending = async {
        while count < 300 || fixture.cutting.losses_count() < LOSSES_COUNT {
            fixture.send(INPUT.0, count.to_string()).await;
            count += 1;
        }
        cuts.end(&fixture.cutting).await;
    };
    let mut text = String::new();
    let shown = async {
        while !text.contains("\"last\"") {
            text.push_str(std::str::from_utf8(&tap.chunk().await.unwrap().unwrap()).unwrap());
        }
    };
    let ending = async {
        sending.await;
        let producer = fixture.broker.producer(&INPUT.0.parse().unwrap()).await.unwrap();
        loop {
            producer.publish_confirmed(Message::new("\"last\"")).await.unwrap();
            pass(Duration::from_millis(50)).await;
        }
    };
    super::fixture::in_time("the last message", async {
        tokio::select! {
            () = shown => {}
            () = ending => {}
        }
    })
    .await;
    let (mut next, mut may_miss, mut losses_count) = (0, false, 0);
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line.get("missed").is_some() {
            (may_miss, losses_count) = (true, losses_count + 1);
        } else if let Some(number) = line["body"].as_u64() {
            assert!(number <= next || may_miss, "{next} to {number} are missing without a word");
            (next, may_miss) = (next.max(number + 1), false);
        }
    }
    assert!(losses_count > 0 && (next == count || may_miss), "{next} of {count}, {losses_count} losses");
}

#[tokio::test(flavor = "multi_thread")]
async fn taps_and_exits_time_out_without_a_connection() {
    let (fixture, gateway) = echoing().await;
    let tap = gateway.http.get(format!("{}/api/v1/weir/flows/one/taps/in?wait-ms=500", gateway.address)).send().await.unwrap();
    let take = gateway.post("/api/v1/weir/flows/one/exits/out/take", &json!({"wait-ms": 500})).await.unwrap();
    fixture.cutting.down();
    let (tapped, taken) = within("the end of both", async { tokio::join!(tap.text(), take.text()) }).await;
    assert_eq!(tapped.unwrap(), "{\"missed\":null}\n");
    let taken = taken.unwrap();
    assert!(taken.lines().last().unwrap().contains("reading the exit failed"), "an exit that is not known to be empty: {taken}");
}
