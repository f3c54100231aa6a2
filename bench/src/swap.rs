//! The longest gap between outputs in the second after a swap of a cached component under full load, beside seconds without one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::sync::mpsc;
use tokio::time::Instant;
use weir_config::names::processor_subscription;
use weir_flow::plan::SwapRequest;
use weir_pubsub::embedded::EmbeddedBroker;
use weir_pubsub::{Backend, ConsumerOptions, Queue, Subscription, Topic};

use crate::fixture::{self, WeirFixture, preload, quantile};
use crate::flow::BLUEPRINT;

/// The minimum of waiting messages during a measurement, so that the component is never idle.
const BACKLOG_COUNT: u64 = 10_000;
/// Buffered outputs: more than arrive in two seconds.
const OUTPUTS_COUNT: usize = 1 << 20;
const SECOND: Duration = Duration::from_secs(1);

pub(crate) async fn run(echo: &[u8], swaps: u32) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let fixture = WeirFixture::open(folder.path()).await?;
    let mut other = echo.to_vec();
    // A custom section: the digest differs, all else is the same.
    other.extend([0, 6, 4, b'm', b'a', b'r', b'k', b'2']);
    fixture.deploy("echo@1.0.0", echo, |_| {}).await?;
    fixture.deploy("echo@2.0.0", &other, |_| {}).await?;
    fixture.start_flow(BLUEPRINT).await?;
    let host = fixture.start_host().await?;
    let stop = Arc::new(AtomicBool::new(false));
    let feeding = tokio::spawn(feed(fixture.broker.clone(), stop.clone()));
    let (sender, mut outputs) = mpsc::channel(OUTPUTS_COUNT);
    let reading = tokio::spawn(read(fixture.broker.clone(), sender));
    let mut order = SwapRequest { flow: "bench".to_owned(), processor: "echo".to_owned(), ..SwapRequest::default() };
    // Both are compiled and have run before the measurement.
    for version in [2, 1] {
        order.component = format!("echo@{version}.0.0");
        fixture.flows.swap(order.clone()).await?;
        longest_gap(&mut outputs, Instant::now()).await?;
    }
    let (mut with, mut without) = (Vec::new(), Vec::new());
    let mut rate = 0;
    for swap in 0..swaps {
        let (gap, count) = longest_gap(&mut outputs, Instant::now()).await?;
        without.push(gap);
        rate += count;
        order.component = format!("echo@{}.0.0", 2 - swap % 2);
        let began = Instant::now();
        fixture.flows.swap(order.clone()).await?;
        with.push(longest_gap(&mut outputs, began).await?.0);
        let runs = |component: &weir_config::records::ComponentRef| component.key() == order.component;
        let status = host.status();
        ensure!(
            status.processors.iter().all(|status| status.component.as_ref().is_some_and(runs)),
            "the swap was not taken over: {status:?}"
        );
        ensure!(status.processors.iter().all(|status| status.failed_count == 0), "something failed: {status:?}");
    }
    stop.store(true, Ordering::Relaxed);
    feeding.await??;
    reading.abort();
    fixture.close(host).await;
    for (what, gaps) in [("without a swap", &mut without), ("with a swap", &mut with)] {
        gaps.sort();
        let ms = |share: f64| quantile(gaps, share).as_secs_f64() * 1_000.0;
        println!("longest gap in a second {what}: median {:.1} ms, p99 {:.1} ms ({} seconds)", ms(0.5), ms(0.99), gaps.len());
    }
    println!("outputs without a swap: {}/s", rate / u64::from(swaps));
    Ok(())
}

/// Keeps the input full.
async fn feed(broker: Arc<EmbeddedBroker>, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    let input: Topic = fixture::INPUT.parse()?;
    let queue = Queue::new(input.clone(), processor_subscription("echo", "bench", "input")?)?;
    while !stop.load(Ordering::Relaxed) {
        if broker.inspect().stats(&queue).await?.depth_count < Some(2 * BACKLOG_COUNT) {
            preload(&broker, &input, 2_000).await?;
        } else {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(())
}

/// Receives the outputs and reports when each arrived.
async fn read(broker: Arc<EmbeddedBroker>, sender: mpsc::Sender<Instant>) -> anyhow::Result<()> {
    let subscription: Subscription = "gateway--bench--out".parse()?;
    let options = ConsumerOptions { window: 1_024.try_into()?, ..ConsumerOptions::default() };
    let consumer = broker.consumer(&fixture::OUTPUT.parse()?, &subscription, options).await?;
    loop {
        let delivery = consumer.receive().await?;
        sender.send(Instant::now()).await?;
        drop(broker.settle(&delivery.receipt, Vec::new()));
    }
}

/// The longest time between two outputs in the second after a moment, and how many there were.
async fn longest_gap(outputs: &mut mpsc::Receiver<Instant>, began: Instant) -> anyhow::Result<(Duration, u64)> {
    let (mut last, mut longest, mut count) = (began, Duration::ZERO, 0);
    loop {
        let at = outputs.recv().await.context("the outputs ended")?;
        if at < began {
            continue;
        }
        if at > began + SECOND {
            return Ok((longest, count));
        }
        longest = longest.max(at - last);
        last = at;
        count += 1;
    }
}
