//! The whole command `weir status` of a Weir with many flows: from its start as a process to its end.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fixture::quantile;
use crate::running::Running;

const LONGEST_SETUP: Duration = Duration::from_secs(300);

pub(crate) async fn run(weir: &Path, echo: &Path, flows: u32, rounds: u32) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path();
    let mut running = Running::start(weir, data)?;
    let url = loop {
        match running.url()? {
            Some(url) => break url,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let command = |arguments: &[&str]| {
        let mut command = Command::new(weir);
        command.arg("--data").arg(data).args(arguments).env_remove("WEIR_TOKEN").env_remove("WEIR_GATEWAY");
        command
    };
    let deployed = command(&["deploy", "echo@1.0.0", echo.to_str().context("the guests' folder has no plain name")?]).output()?;
    ensure!(deployed.status.success(), "{}", String::from_utf8_lossy(&deployed.stderr));
    start_flows(&url, flows).await?;
    let mut calls = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        let output = command(&["status"]).output()?;
        calls.push(began.elapsed());
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success() && said.contains(&format!(" {flows} flows")), "the status does not show {flows} flows: {said}");
    }
    calls.sort();
    let ms = |share: f64| quantile(&calls, share).as_secs_f64() * 1_000.0;
    println!("weir status with {flows} flows of 3 processors, {rounds} calls: {:.0} ms (median), {:.0} ms (longest)", ms(0.5), ms(1.0));
    Ok(())
}

/// Starts flows of one blueprint and waits until all their processors run.
async fn start_flows(url: &str, flows: u32) -> anyhow::Result<()> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let ask = async |request: Value| -> anyhow::Result<()> {
        let answer: Value = http.post(format!("{url}/api/v1/flow")).json(&request).send().await?.json().await?;
        ensure!(answer.get("error").is_none(), "{answer}");
        Ok(())
    };
    let entry = |from: &str, to: &str| {
        let topics = json!({"input": format!("flow:tg:{from}:{{id}}"), "output": format!("flow:tg:{to}:{{id}}")});
        json!({"component": "echo@1.0.0", "topics": topics})
    };
    let blueprint = json!({
        "blueprint": {},
        "flow": {"first:{id}": entry("a", "b"), "second:{id}": entry("b", "c"), "third:{id}": entry("c", "d")},
        "interfaces": {"in": {"flow": "flow:tg:a:{id}"}, "out": {"flow": "flow:tg:d:{id}"}},
    });
    ask(json!({"operation": "put-blueprint", "blueprint-name": "chain", "blueprint-definition": blueprint.to_string()})).await?;
    for at in 0..flows {
        ask(json!({"operation": "start-flow", "blueprint-name": "chain", "flow-id": format!("flow-{at}"), "description": "one of many"}))
            .await?;
    }
    let began = Instant::now();
    loop {
        let status: Value = http.get(format!("{url}/api/v1/weir/status")).send().await?.json().await?;
        let processors = status["hosts"].as_array().into_iter().flatten().filter_map(|host| host["processors"].as_array()).flatten();
        if processors.filter(|processor| processor["state"] == "running").count() as u32 == 3 * flows {
            return Ok(());
        }
        ensure!(began.elapsed() < LONGEST_SETUP, "the processors of {flows} flows do not run");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
