//! The memory of `weir up` while messages of one input each send the maximum: from idle to the peak counted by the kernel.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fixture::WeirFixture;
use crate::running::Running;

const BLUEPRINT: &str = r#"{
    "blueprint": {},
    "flow": {"big:{id}": {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}, "component": "big-output@1.0.0"}},
    "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}}
}"#;
/// The number of messages that each message sends.
const OUTPUTS_COUNT: u32 = 1_000;
const OUTPUT_BYTES: u32 = 16_000;
/// The most that a run may take above idle.
const LIMIT_MIB: u64 = 384;
const LONGEST_RUN: Duration = Duration::from_secs(600);

pub(crate) async fn run(weir: &Path, component: &[u8], messages: u32, rounds: u32) -> anyhow::Result<()> {
    let mut over_idle = Vec::new();
    for round in 0..rounds.max(1) {
        let folder = tempfile::tempdir()?;
        let fixture = WeirFixture::open(folder.path()).await?;
        fixture.deploy("big-output@1.0.0", component, |_| {}).await?;
        fixture.start_flow(BLUEPRINT).await?;
        fixture.end().await;
        let (idle, peak) = measure(weir, folder.path(), messages).await?;
        println!("round {round}: {idle} MiB when idle, {peak} MiB at most");
        over_idle.push(peak.saturating_sub(idle));
    }
    over_idle.sort_unstable();
    let (median, most) = (over_idle[over_idle.len() / 2], over_idle[over_idle.len() - 1]);
    println!(
        "{messages} messages that each send {OUTPUTS_COUNT} of {OUTPUT_BYTES} bytes, {} rounds: {median} MiB over idle (median), {most} MiB at most; limit {LIMIT_MIB} MiB",
        over_idle.len()
    );
    ensure!(median <= LIMIT_MIB, "that is above the limit");
    Ok(())
}

/// MiB when idle, and the peak until all messages are handled.
async fn measure(weir: &Path, data: &Path, messages: u32) -> anyhow::Result<(u64, u64)> {
    let mut running = Running::start(weir, data)?;
    let began = Instant::now();
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = loop {
        match running.url()? {
            Some(url) => break url,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let post = async || -> anyhow::Result<()> {
        let body = json!({"count": OUTPUTS_COUNT, "bytes": OUTPUT_BYTES});
        http.post(format!("{url}/api/v1/flow/bench/service/in")).json(&body).send().await?.error_for_status()?;
        Ok(())
    };
    let until_handled = async |count: u64| -> anyhow::Result<()> {
        loop {
            let status: Value = http.get(format!("{url}/api/v1/weir/status")).send().await?.json().await?;
            let handled = status.pointer("/hosts/0/processors/0/handled-count").and_then(Value::as_u64);
            if handled == Some(count) {
                return Ok(());
            }
            ensure!(began.elapsed() < LONGEST_RUN, "{handled:?} of {count} messages were handled: {status}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    until_handled(0).await?;
    let pid = running.pid();
    let idle = mib(pid, "VmRSS")?;
    // From here on the kernel records the peak.
    fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
    for _ in 0..messages {
        post().await?;
    }
    until_handled(u64::from(messages)).await?;
    Ok((idle, mib(pid, "VmHWM")?))
}

/// A figure of the kernel about a process.
fn mib(pid: u32, name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib: u64 = line.and_then(|line| line.split_whitespace().next()).context("the kernel has no such figure")?.parse()?;
    Ok(kib / 1024)
}
