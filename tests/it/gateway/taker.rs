//! A client that takes from an exit under a lease.

use reqwest::Response;
use serde_json::{Value, json};
use weir_tests::wait::within;

use super::fixture::GatewayFixture;

pub(super) const EXITS: &str = "/api/v1/weir/flows/one/exits/out";

/// The stream of one lease.
pub(super) struct Taker {
    response: Response,
    buffer: Vec<u8>,
    pub(super) lease: String,
}

impl Taker {
    /// Takes from exit `out` of flow `one`.
    pub(super) async fn take(fixture: &GatewayFixture, wanted: Value) -> Self {
        Taker::take_at(fixture, &format!("{EXITS}/take"), wanted).await
    }

    pub(super) async fn take_at(fixture: &GatewayFixture, path: &str, wanted: Value) -> Self {
        let response = fixture.post_request(path, "application/json", wanted.to_string()).send().await.unwrap();
        assert_eq!((response.status().as_u16(), &response.headers()["content-type"]), (200, &"application/x-ndjson".parse().unwrap()));
        let mut taker = Taker { response, buffer: Vec::new(), lease: String::new() };
        let first = taker.next().await.unwrap();
        taker.lease = first["lease"].as_str().unwrap().to_owned();
        assert_eq!((taker.lease.len(), first.as_object().unwrap().len()), (32, 1), "{first}");
        taker
    }

    /// The next line, unparsed; `None` at the end.
    pub(super) async fn next_line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=at).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            match within("a line", self.response.chunk()).await.unwrap() {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => return None,
            }
        }
    }

    pub(super) async fn next(&mut self) -> Option<Value> {
        self.next_line().await.map(|line| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// The next messages: receipt and body of each.
    pub(super) async fn messages(&mut self, count: usize) -> Vec<(u64, Value)> {
        let mut messages = Vec::new();
        while messages.len() < count {
            let line = self.next().await.expect("the stream ended early");
            messages.push((line["receipt"].as_u64().unwrap_or_else(|| panic!("no message: {line}")), line["body"].clone()));
        }
        messages
    }

    /// All messages until the stream ends, acknowledged one by one.
    pub(super) async fn all(&mut self, fixture: &GatewayFixture) -> Vec<Value> {
        let mut bodies = Vec::new();
        while let Some(line) = self.next().await {
            assert_eq!(self.acknowledge(fixture, line["receipt"].as_u64().unwrap()).await, (200, json!({"acknowledged-count": 1})));
            bodies.push(line["body"].clone());
        }
        bodies
    }

    pub(super) async fn acknowledge(&self, fixture: &GatewayFixture, through: u64) -> (u16, Value) {
        fixture.post(&format!("{EXITS}/acknowledge"), &json!({"lease": self.lease, "through": through})).await
    }

    /// Acknowledges, and ends the lease.
    pub(super) async fn end(&self, fixture: &GatewayFixture, through: u64) -> (u16, Value) {
        fixture.post(&format!("{EXITS}/acknowledge"), &json!({"lease": self.lease, "through": through, "end": true})).await
    }
}
