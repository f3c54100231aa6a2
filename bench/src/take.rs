//! `weir take` of an exit into a file, each message acknowledged, against the rate of a flow in the same run.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::ensure;
use tokio::time::Instant;

use crate::gateway::Gateway;
use crate::{fixture, flow};

pub(crate) async fn run(weir: &Path, echo: &[u8], messages: u32, rounds: u32) -> anyhow::Result<()> {
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let take_rate = take_run(weir, messages).await?;
        let folder = tempfile::tempdir()?;
        let flow_rate = flow::flow_run(echo, messages, folder.path()).await?.rate;
        println!("round {round}: take {take_rate:.0}/s, flow {flow_rate:.0}/s, ratio {:.2}", take_rate / flow_rate);
        ratios.push((take_rate / flow_rate, take_rate, flow_rate));
    }
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ratio, take_rate, flow_rate) = ratios[ratios.len() / 2];
    println!("weir take of {messages} messages of 1 KiB, median of {rounds}: {take_rate:.0}/s against {flow_rate:.0}/s, ratio {ratio:.2}");
    Ok(())
}

/// The whole command, from its start to its end, once the exit is empty.
async fn take_run(weir: &Path, messages: u32) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let gateway = Gateway::start(folder.path()).await?;
    fixture::preload(&gateway.fixture.broker, &fixture::OUTPUT.parse()?, messages).await?;
    let file = folder.path().join("taken");
    let mut command = Command::new(weir);
    command.arg("--gateway").arg(format!("http://{}", gateway.address)).args(["take", "bench", "out"]);
    command.env_remove("WEIR_TOKEN").stdin(Stdio::null()).stdout(File::create(&file)?);
    let began = Instant::now();
    let status = tokio::task::spawn_blocking(move || command.status()).await??;
    let rate = f64::from(messages) / began.elapsed().as_secs_f64();
    let lines_count = fs::read(&file)?.iter().filter(|byte| **byte == b'\n').count();
    let left_count = gateway.exit_count();
    ensure!(
        status.success() && lines_count == messages as usize && left_count == 0,
        "{status}: {lines_count} of {messages} were taken, {left_count} are left"
    );
    gateway.stop().await?;
    Ok(rate)
}
