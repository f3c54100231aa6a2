//! The gateway: imports, exits, requests and the status.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use weir_gateway::{GatewayParts, GatewaySettings};
use weir_tests::wait::{pass, seed};

use super::fixture::{DEADLINE, LONGEST_PAUSE, LOSSES_COUNT, WeirFixture};

/// A gateway over the connection that is cut.
pub(super) struct Gateway {
    pub(super) address: String,
    pub(super) http: Client,
    ends: DropGuard,
}

impl Gateway {
    pub(super) async fn over(fixture: &WeirFixture) -> Self {
        let parts = GatewayParts {
            backend: fixture.cutting.clone(),
            config: fixture.config.clone(),
            components: fixture.components.clone().into(),
            inspect: Arc::new(|_, _| Err("nothing is deployed here".to_owned())),
            defaults: Default::default(),
            unused_code: Arc::new(|_| Ok(Vec::new())),
            topicspace: "tg".to_owned(),
            contract: weir_runtime::WORLD_VERSION,
            dropped_log_lines: || 0,
            settings: GatewaySettings { interface_timeout: Duration::from_secs(2), ..GatewaySettings::default() },
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let token = CancellationToken::new();
        tokio::spawn(weir_gateway::serve(listener, parts, token.clone()));
        let http = weir_tests::http::client().timeout(DEADLINE).build().unwrap();
        Gateway { address, http, ends: token.drop_guard() }
    }

    /// Ends it, as on shutdown.
    pub(super) fn stop(&self) {
        self.ends.token().cancel();
    }

    /// Whether an import is in progress.
    pub(super) async fn is_importing(&self) -> bool {
        let metrics = self.http.get(format!("{}/metrics", self.address)).send().await.unwrap().text().await.unwrap();
        metrics.contains("weir_gateway_streams{kind=\"import\"} 1")
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Option<Response> {
        self.post_as("application/json", path, body).await
    }

    pub(super) async fn post_as(&self, media_type: &str, path: &str, body: &Value) -> Option<Response> {
        let sent = self.http.post(format!("{}{path}", self.address)).header("content-type", media_type).body(body.to_string());
        sent.send().await.ok().filter(|answer| answer.status() == 200)
    }

    pub(super) async fn get(&self, path: &str) -> Option<Value> {
        let sent = self.http.get(format!("{}{path}", self.address)).send().await.ok().filter(|answer| answer.status() == 200)?;
        sent.json().await.ok()
    }

    /// Takes from the exit of flow `one` until stopped; the acknowledged numbers are added to the set.
    async fn take(&self, taken: &mut BTreeSet<u64>, end: &AtomicBool) {
        while !end.load(Ordering::SeqCst) {
            let Some(mut stream) = self.post("/api/v1/weir/flows/one/exits/out/take", &json!({"wait-ms": 300})).await else {
                pass(Duration::from_millis(20)).await;
                continue;
            };
            let (mut lease, mut read) = (String::new(), Vec::new());
            while let Ok(Some(piece)) = stream.chunk().await {
                read.extend_from_slice(&piece);
                let mut last = 0;
                while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                    let line: Value = serde_json::from_slice(&read[..end]).unwrap();
                    read.drain(..=end);
                    if let Some(id) = line["lease"].as_str() {
                        lease = id.to_owned();
                    }
                    if let Some(receipt) = line["receipt"].as_u64() {
                        taken.insert(line["body"].as_u64().unwrap());
                        last = receipt;
                    }
                }
                if last > 0 {
                    self.post("/api/v1/weir/flows/one/exits/out/acknowledge", &json!({"lease": lease, "through": last})).await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_pass_the_gateway_in_and_out_across_lost_connections() {
    let fixture = WeirFixture::new().await;
    fixture.deploy_between("echo").await;
    let _host = fixture.host().await;
    let gateway = Gateway::over(&fixture).await;
    fixture.start("echo", "one").await;
    let cuts = fixture.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    let (mut taken, end) = (BTreeSet::new(), AtomicBool::new(false));
    let mut count = 0;
    let sending = async {
        while count < 300 || fixture.cutting.losses_count() < LOSSES_COUNT {
            let number = json!(count);
            count += 1;
            let path = "/api/v1/weir/flows/one/interfaces/in/messages";
            let send = || gateway.post_as("application/x-ndjson", path, &number);
            fixture.until("a stored message", async || send().await.is_some()).await;
        }
        cuts.end(&fixture.cutting).await;
        // Everything has been taken once nothing is left anywhere.
        fixture.until("an empty input", async || fixture.numbers("flow:tg:in:one", "echo--one--input").await.is_empty()).await;
        fixture.until("an empty exit", async || fixture.depth("flow:tg:out:one", "gateway--one--out").await == 0).await;
        end.store(true, Ordering::SeqCst);
    };
    tokio::join!(sending, gateway.take(&mut taken, &end));
    assert_eq!(taken, (0..count).collect());
    let status = fixture.until_some("the status", async || gateway.get("/api/v1/weir/status").await).await;
    assert_eq!((status["hosts"].as_array().unwrap().len(), &status["flows"][0]["status"]), (1, &json!("running")));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_between_components_work_again_after_a_broker_restart() {
    let fixture = WeirFixture::new().await;
    let asks = json!({
        "input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}", "service-request": "request:tg:ask", "service-response": "response:tg:ask",
    });
    fixture.deploy("request", &asks, &json!({"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}})).await;
    let answers = json!({"request": "request:tg:ask", "response": "response:tg:ask"});
    fixture.deploy("parts", &answers, &json!({"ask": {"request": "request:tg:ask", "response": "response:tg:ask"}})).await;
    let _host = fixture.host().await;
    let gateway = Gateway::over(&fixture).await;
    for (blueprint, flow) in [("parts", "answering"), ("request", "asking")] {
        fixture.start(blueprint, flow).await;
    }
    for round in 1..=3 {
        // By the gateway.
        let question = json!({"parts": 1});
        let ask = || gateway.post("/api/v1/flow/answering/service/ask", &question);
        fixture.until("an answer to the gateway", async || ask().await.is_some()).await;
        // By a component, whose answer has no error once the connection is restored.
        let answered = async || {
            fixture.send("flow:tg:in:asking", json!({"parts": 1}).to_string()).await;
            pass(Duration::from_millis(100)).await;
            fixture.bodies("flow:tg:out:asking", "gateway--asking--out").await.iter().filter(|body| body.contains("\"parts\"")).count()
                >= round
        };
        fixture.until("an answer to the component", answered).await;
        fixture.cutting.restart().await;
    }
}
