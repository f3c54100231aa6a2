//! The time from the start of `weir up`, with a cached component, a running flow and a waiting message, to the message's settle.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::Instant;
use weir_config::names::processor_subscription;
use weir_pubsub::{Backend, Queue};

use crate::fixture::{self, WeirFixture, preload, quantile};
use crate::flow::BLUEPRINT;
use crate::running::Running;

const LONGEST_START: Duration = Duration::from_secs(20);

/// One start, observed from outside.
struct Start {
    answers: Duration,
    settled: Duration,
}

pub(crate) async fn run(weir: &Path, echo: &[u8], rounds: u32) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path();
    // An initial start: it caches the compiled code.
    let fixture = WeirFixture::open(data).await?;
    fixture.deploy("echo@1.0.0", echo, |_| {}).await?;
    fixture.start_flow(BLUEPRINT).await?;
    let host = fixture.start_host().await?;
    fixture.close(host).await;
    let mut starts = Vec::new();
    for round in 0..=rounds {
        let broker = fixture::broker(&data.join("queues"))?;
        preload(&broker, &fixture::INPUT.parse()?, 1).await?;
        broker.close().await;
        let start = start(weir, data).await?;
        // The first one compiles for `weir`, whose engine has other settings.
        if round > 0 {
            starts.push(start);
        }
    }
    let out = {
        let broker = fixture::broker(&data.join("queues"))?;
        let depth = broker
            .inspect()
            .stats(&Queue::new(fixture::OUTPUT.parse()?, "gateway--bench--out".parse()?)?)
            .await?
            .depth_count
            .unwrap_or_default();
        broker.close().await;
        depth
    };
    ensure!(out == u64::from(rounds) + 1, "{out} messages came out of {} starts", rounds + 1);
    let ms = |of: fn(&Start) -> Duration, share: f64| {
        let mut all: Vec<_> = starts.iter().map(of).collect();
        all.sort();
        quantile(&all, share).as_secs_f64() * 1_000.0
    };
    println!(
        "start of weir up, {rounds} rounds: its gateway answers after {:.0} ms (median), the waiting message is settled after {:.0} ms (median), {:.0} ms (longest)",
        ms(|start| start.answers, 0.5),
        ms(|start| start.settled, 0.5),
        ms(|start| start.settled, 1.0),
    );
    Ok(())
}

/// Starts `weir up`, polls until the message is gone from its queue, and ends it.
async fn start(weir: &Path, data: &Path) -> anyhow::Result<Start> {
    // Before the clock starts: reading the system's certificate authorities takes some milliseconds.
    let http = reqwest::Client::builder().no_proxy().build()?;
    let began = Instant::now();
    let mut running = Running::start(weir, data)?;
    let (mut url, mut answers) = (None, None);
    let queue = Queue::new(fixture::INPUT.parse()?, processor_subscription("echo", "bench", "input")?)?;
    loop {
        ensure!(began.elapsed() < LONGEST_START, "weir up does not settle the message");
        tokio::time::sleep(Duration::from_millis(1)).await;
        if url.is_none() {
            url = running.url()?.map(|url| format!("{url}/api/v1/weir/queues"));
        }
        let Some(url) = &url else { continue };
        let Ok(answer) = http.get(url).send().await else { continue };
        answers.get_or_insert_with(|| began.elapsed());
        let queues: serde_json::Value = serde_json::from_slice(&answer.bytes().await?)?;
        let all = queues["queues"].as_array().context("the gateway lists no queues")?;
        let found = all.iter().find(|found| found["topic"] == fixture::INPUT && found["subscription"] == queue.subscription().as_str());
        if found.is_some_and(|found| found["depth-count"] == 0) {
            return Ok(Start { answers: answers.unwrap_or_default(), settled: began.elapsed() });
        }
    }
}
