//! The throughput of a healthy echo beside components that spin, take memory, trap, or flood the log.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fixture::quantile;
use crate::running::Running;

/// Messages of 1 KiB through echo in one run.
const MESSAGES_COUNT: usize = 30_000;
/// The work of a bad neighbour lasts longer than a run.
const LONGEST: Duration = Duration::from_secs(120);

/// What runs beside echo: name for display, component, the message that makes it bad, how many of them each flow gets, and how many flows.
struct Case {
    name: &'static str,
    guest: &'static str,
    message: fn() -> Value,
    messages_count: usize,
    flows_count: usize,
}

fn cases() -> Vec<Case> {
    let spin = || json!({"spin": true});
    vec![
        Case { name: "one that spins", guest: "spin", message: spin, messages_count: 1, flows_count: 1 },
        Case {
            name: "one that takes all memory",
            guest: "grow_memory",
            message: || json!({"grow": true}),
            messages_count: 2_000,
            flows_count: 1,
        },
        Case { name: "one that traps", guest: "trap", message: || json!({"trap": true}), messages_count: 30_000, flows_count: 1 },
        Case { name: "one that floods the log", guest: "flood", message: || json!({"flood": true}), messages_count: 1, flows_count: 1 },
        Case { name: "two that spin", guest: "spin", message: spin, messages_count: 1, flows_count: 2 },
        Case { name: "ten that spin", guest: "spin", message: spin, messages_count: 1, flows_count: 10 },
    ]
}

pub(crate) async fn run(weir: &Path, guests: &Path, rounds: u32, only: Option<&str>) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let fixture = NeighboursFixture::open(weir, guests, folder.path()).await?;
    fixture.echo_rate().await?;
    let cases: Vec<Case> = cases().into_iter().filter(|case| only.is_none_or(|only| case.name.contains(only))).collect();
    let mut ratios: Vec<Vec<f64>> = cases.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        for (case, ratios) in cases.iter().zip(&mut ratios) {
            let alone = fixture.echo_rate().await?;
            let beside = fixture.rate_beside(case).await?;
            println!("round {round}: beside {}: {beside:.0}/s, alone {alone:.0}/s, ratio {:.2}", case.name, beside / alone);
            ratios.push(beside / alone);
        }
    }
    for (case, ratios) in cases.iter().zip(&mut ratios) {
        ratios.sort_by(f64::total_cmp);
        let (median, last) = (quantile(ratios, 0.5), ratios.len() - 1);
        println!("echo beside {}: ratio {median:.2} (median of {rounds}; {:.2} to {:.2})", case.name, ratios[0], ratios[last]);
    }
    Ok(())
}

/// A `weir up` with a healthy flow `echo`.
struct NeighboursFixture {
    _running: Running,
    http: reqwest::Client,
    url: String,
}

impl NeighboursFixture {
    async fn open(weir: &Path, guests: &Path, data: &Path) -> anyhow::Result<Self> {
        let mut running = Running::start(weir, data)?;
        let url = loop {
            match running.url()? {
                Some(url) => break url,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let fixture = NeighboursFixture { _running: running, http: reqwest::Client::builder().no_proxy().build()?, url };
        for guest in ["echo", "spin", "grow_memory", "trap", "flood"] {
            let file = guests.join(format!("{guest}.wasm"));
            let name = format!("{}@1.0.0", processor(guest));
            let file = file.to_str().context("the guests' folder has no plain name")?;
            let output = Command::new(weir).arg("--data").arg(data).env_remove("WEIR_GATEWAY").args(["deploy", &name, file]).output()?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let blueprint = json!({
                "blueprint": {},
                "flow": {
                    format!("{}:{{id}}", processor(guest)): {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}}
                },
                "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
            });
            let put = json!({"operation": "put-blueprint", "blueprint-name": guest, "blueprint-definition": blueprint.to_string()});
            fixture.ask(&put).await?;
        }
        fixture.start("echo", "echo").await?;
        Ok(fixture)
    }

    async fn ask(&self, request: &Value) -> anyhow::Result<()> {
        let answer: Value = self.http.post(format!("{}/api/v1/flow", self.url)).json(request).send().await?.json().await?;
        ensure!(answer.get("error").is_none(), "{answer}");
        Ok(())
    }

    async fn start(&self, blueprint: &str, id: &str) -> anyhow::Result<()> {
        self.ask(&json!({"operation": "start-flow", "blueprint-name": blueprint, "flow-id": id, "description": "bench"})).await
    }

    /// Messages of a flow that are not handled yet.
    async fn waiting_count(&self, flow: &str) -> anyhow::Result<u64> {
        let queues: Value = self.http.get(format!("{}/api/v1/weir/queues", self.url)).send().await?.json().await?;
        let topic = format!("flow:tg:in:{flow}");
        let queue = queues["queues"].as_array().into_iter().flatten().find(|queue| queue["topic"] == *topic);
        queue.and_then(|queue| queue["depth-count"].as_u64()).with_context(|| format!("{topic} is not among {queues}"))
    }

    async fn send(&self, flow: &str, lines: String) -> anyhow::Result<()> {
        let url = format!("{}/api/v1/weir/flows/{flow}/interfaces/in/messages", self.url);
        let request = self.http.post(url).header("content-type", "application/x-ndjson").body(lines);
        let answer: Value = request.send().await?.json().await?;
        ensure!(answer.get("error").is_none(), "{answer}");
        Ok(())
    }

    /// From the first message sent until all are handled.
    async fn echo_rate(&self) -> anyhow::Result<f64> {
        let line = format!("{}\n", json!({"text": "x".repeat(1_000)}));
        let lines = line.repeat(MESSAGES_COUNT);
        let began = Instant::now();
        self.send("echo", lines).await?;
        while self.waiting_count("echo").await? > 0 {
            ensure!(began.elapsed() < LONGEST, "echo stands still");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(MESSAGES_COUNT as f64 / began.elapsed().as_secs_f64())
    }

    async fn rate_beside(&self, case: &Case) -> anyhow::Result<f64> {
        let flows: Vec<String> = (0..case.flows_count).map(|at| format!("bad-{at}")).collect();
        for flow in &flows {
            self.start(case.guest, flow).await?;
            self.send(flow, format!("{}\n", (case.message)()).repeat(case.messages_count)).await?;
        }
        // Its start is complete once it has used some CPU time.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let rate = self.echo_rate().await?;
        for flow in &flows {
            ensure!(self.waiting_count(flow).await? > 0, "{} had nothing to do any more", case.name);
        }
        // Concurrently: each waits for some seconds for a component that does not return.
        let stops = flows.iter().map(|flow| json!({"operation": "stop-flow", "flow-id": flow})).collect::<Vec<_>>();
        try_join_all(stops.iter().map(|stop| self.ask(stop))).await?;
        Ok(rate)
    }
}

/// The name of a processor for a guest of the tests.
fn processor(guest: &str) -> String {
    guest.replace('_', "-")
}
