//! A flow of one echo component on the embedded broker, against the same log without broker and component.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::Instant;
use weir_config::names::processor_subscription;
use weir_pubsub::embedded::{BareLog, EmbeddedBroker};
use weir_pubsub::{Backend, ConsumerOptions, Message, MessageId, Output, Queue, Routing, Subscription, Topic};

use crate::fixture::{PRELOAD_COUNT, WeirFixture, preload};
use crate::{body, fixture};

pub(crate) const BLUEPRINT: &str = r#"{
    "blueprint": {},
    "flow": {"echo:{id}": {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}, "component": "echo@1.0.0"}},
    "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}}
}"#;

/// The result of one run of a flow.
pub(crate) struct Run {
    pub(crate) rate: f64,
    mean_group: f64,
}

pub(crate) async fn run(echo: &[u8], messages: u32, rounds: u32) -> anyhow::Result<()> {
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let folder = tempfile::tempdir()?;
        let flow = flow_run(echo, messages, &folder.path().join("flow")).await?;
        let broker = broker_run(messages, &folder.path().join("broker")).await?;
        let log_rate = log_run(messages, flow.mean_group, &folder.path().join("log"))?;
        let log_rate_of_broker = log_run(messages, broker.mean_group, &folder.path().join("log-2"))?;
        println!(
            "round {round}: flow {:.0}/s in groups of {:.0}, log alone {log_rate:.0}/s, ratio {:.2}; without a component {:.0}/s in groups of {:.0}, log alone {log_rate_of_broker:.0}/s, ratio {:.2}",
            flow.rate,
            flow.mean_group,
            flow.rate / log_rate,
            broker.rate,
            broker.mean_group,
            broker.rate / log_rate_of_broker,
        );
        ratios.push((flow.rate / log_rate, flow.rate, log_rate));
    }
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ratio, rate, log_rate) = ratios[ratios.len() / 2];
    println!("flow of echo, 1 KiB, {messages} messages, median of {rounds}: {rate:.0}/s against {log_rate:.0}/s, ratio {ratio:.2}");
    Ok(())
}

/// Preloads, then starts the host, and times from the first settle to the last.
pub(crate) async fn flow_run(echo: &[u8], messages: u32, folder: &Path) -> anyhow::Result<Run> {
    let fixture = WeirFixture::open(folder).await?;
    fixture.deploy("echo@1.0.0", echo, |_| {}).await?;
    fixture.start_flow(BLUEPRINT).await?;
    let input: Topic = fixture::INPUT.parse()?;
    preload(&fixture.broker, &input, messages).await?;
    let queue = Queue::new(input, processor_subscription("echo", "bench", "input")?)?;
    let host = fixture.start_host().await?;
    let run = drain(&fixture.broker, &queue, messages).await?;
    let out = fixture.broker.queues().into_iter().find(|(queue, _)| queue.topic().as_str() == fixture::OUTPUT);
    let out = out.context("there is no exit")?.1;
    let out_count = out.depth_count.context("it is not counted")?;
    ensure!(out_count == u64::from(messages), "{out_count} of {messages} messages came out");
    fixture.close(host).await;
    Ok(run)
}

/// The same without a component: a task that receives and settles with one output.
async fn broker_run(messages: u32, folder: &Path) -> anyhow::Result<Run> {
    let broker = fixture::broker(folder)?;
    let (input, output): (Topic, Topic) = (fixture::INPUT.parse()?, fixture::OUTPUT.parse()?);
    let subscription: Subscription = "bench".parse()?;
    let queue = Queue::new(input.clone(), subscription.clone())?;
    broker.create_queue(&weir_pubsub::QueueSpec::new(queue.clone())).await?;
    broker.create_queue(&weir_pubsub::QueueSpec::new(Queue::new(output.clone(), subscription.clone())?)).await?;
    preload(&broker, &input, messages).await?;
    let consumer = broker.consumer(&input, &subscription, ConsumerOptions::default()).await?;
    let backend = broker.clone();
    let work = tokio::spawn(async move {
        let mut pending = std::collections::VecDeque::new();
        for _ in 0..messages {
            let delivery = consumer.receive().await?;
            let message = Message { id: Some(delivery.message.id.unwrap_or(MessageId(0)).of_output("output", 0)), ..delivery.message };
            let output = Output { topic: output.clone(), message, routing: Routing::Required };
            pending.push_back(backend.settle(&delivery.receipt, vec![output]));
            if pending.len() == 256 {
                pending.pop_front().context("it is full")?.await?;
            }
        }
        for outcome in pending {
            outcome.await?;
        }
        anyhow::Ok(())
    });
    let run = drain(&broker, &queue, messages).await?;
    work.await??;
    broker.close().await;
    Ok(run)
}

/// Watches a queue from its first settle to its last.
async fn drain(broker: &EmbeddedBroker, queue: &Queue, messages: u32) -> anyhow::Result<Run> {
    let mut first = None;
    let mut look = tokio::time::interval(Duration::from_micros(500));
    loop {
        look.tick().await;
        let depth = broker.inspect().stats(queue).await?.depth_count.context("it is not counted")?;
        let now = (Instant::now(), broker.commit_stats(), depth);
        if depth == u64::from(messages) {
            continue;
        }
        let (began, stats, depth_then) = *first.get_or_insert(now);
        if depth == 0 {
            let settled = (depth_then - depth) as f64;
            let groups = (now.1.groups_count - stats.groups_count).max(1) as f64;
            return Ok(Run { rate: settled / (now.0 - began).as_secs_f64(), mean_group: settled / groups });
        }
    }
}

/// Only the log: the same number of appends and removals, in groups of this mean size.
fn log_run(messages: u32, mean_group: f64, folder: &Path) -> anyhow::Result<f64> {
    let mut log = BareLog::open(folder, &fixture::options())?;
    let group = (mean_group.round() as usize).max(1);
    let make = |count: usize| (0..count).map(|at| Message { id: Some(MessageId(at as u128)), ..Message::new(body()) }).collect::<Vec<_>>();
    let mut left = messages as usize;
    while left > 0 {
        let count = left.min(PRELOAD_COUNT);
        log.commit(make(count), 0)?;
        left -= count;
    }
    let begin = Instant::now();
    let mut left = messages as usize;
    while left > 0 {
        let count = left.min(group);
        log.commit(make(count), count)?;
        left -= count;
    }
    Ok(f64::from(messages) / begin.elapsed().as_secs_f64())
}
