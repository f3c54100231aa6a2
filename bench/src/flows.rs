//! Starting and stopping one more flow beside few flows and beside many.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fixture::quantile;
use crate::running::Running;

/// The number of flows of the smaller side.
const FEW_COUNT: u32 = 10;
/// Starts and stops of one round and side.
const PAIRS_COUNT: u32 = 20;
const LONGEST_SETUP: Duration = Duration::from_secs(600);

/// A Weir with some flows.
struct Side {
    _running: Running,
    _folder: tempfile::TempDir,
    http: reqwest::Client,
    url: String,
    flows: u32,
}

pub(crate) async fn run(weir: &Path, echo: &Path, flows: u32, rounds: u32) -> anyhow::Result<()> {
    let few = Side::open(weir, echo, FEW_COUNT).await?;
    let many = Side::open(weir, echo, flows).await?;
    let (mut of_few, mut of_many, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        let (small, large) = (few.round().await?, many.round().await?);
        println!("round {round}: {:.1} ms beside {FEW_COUNT}, {:.1} ms beside {flows}", ms(small), ms(large));
        of_few.push(small);
        of_many.push(large);
        ratios.push(large.as_secs_f64() / small.as_secs_f64());
    }
    [&mut of_few, &mut of_many].into_iter().for_each(|all| all.sort());
    ratios.sort_by(f64::total_cmp);
    println!(
        "start and stop of flow {}: {:.1} ms, of flow {}: {:.1} ms (medians of {rounds} rounds of {PAIRS_COUNT}): {:.2} times",
        FEW_COUNT + 1,
        ms(quantile(&of_few, 0.5)),
        flows + 1,
        ms(quantile(&of_many, 0.5)),
        ratios[ratios.len() / 2],
    );
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

impl Side {
    async fn open(weir: &Path, echo: &Path, flows: u32) -> anyhow::Result<Side> {
        let folder = tempfile::tempdir()?;
        let mut running = Running::start(weir, folder.path())?;
        let url = loop {
            match running.url()? {
                Some(url) => break url,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let mut command = Command::new(weir);
        command.arg("--data").arg(folder.path()).env_remove("WEIR_TOKEN").env_remove("WEIR_GATEWAY");
        let deployed = command.args(["deploy", "echo@1.0.0", echo.to_str().context("the guests' folder has no plain name")?]).output()?;
        ensure!(deployed.status.success(), "{}", String::from_utf8_lossy(&deployed.stderr));
        let http = reqwest::Client::builder().no_proxy().build()?;
        let side = Side { _running: running, _folder: folder, http, url, flows };
        let blueprint = json!({
            "blueprint": {},
            "flow": {"echo:{id}": {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}}},
            "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
        });
        side.ask(&json!({"operation": "put-blueprint", "blueprint-name": "b", "blueprint-definition": blueprint.to_string()})).await?;
        for at in 0..flows {
            side.start(&format!("flow-{at}")).await?;
        }
        side.until_running().await?;
        Ok(side)
    }

    async fn ask(&self, request: &Value) -> anyhow::Result<()> {
        let answer: Value = self.http.post(format!("{}/api/v1/flow", self.url)).json(request).send().await?.json().await?;
        ensure!(answer.get("error").is_none(), "{answer}");
        Ok(())
    }

    async fn start(&self, id: &str) -> anyhow::Result<()> {
        self.ask(&json!({"operation": "start-flow", "blueprint-name": "b", "flow-id": id, "description": "one of many"})).await
    }

    /// Waits until all processors run.
    async fn until_running(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let status: Value = self.http.get(format!("{}/api/v1/weir/status", self.url)).send().await?.json().await?;
            let processors = status["hosts"].as_array().into_iter().flatten().filter_map(|host| host["processors"].as_array()).flatten();
            if processors.filter(|processor| processor["state"] == "running").count() as u32 == self.flows {
                return Ok(());
            }
            ensure!(began.elapsed() < LONGEST_SETUP, "the processors of {} flows do not run", self.flows);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The median of several starts and stops of one more flow.
    async fn round(&self) -> anyhow::Result<Duration> {
        let mut times = Vec::new();
        for _ in 0..PAIRS_COUNT {
            let began = Instant::now();
            self.start("one-more").await?;
            self.ask(&json!({"operation": "stop-flow", "flow-id": "one-more"})).await?;
            times.push(began.elapsed());
        }
        times.sort();
        Ok(quantile(&times, 0.5))
    }
}
