//! Requests that a component of the same process answers, over the embedded broker: with one outstanding and with many, beside the same
//! requests answered by a task without a component.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use futures_util::future::try_join_all;
use tokio::time::Instant;
use weir_pubsub::embedded::EmbeddedBroker;
use weir_pubsub::{Backend, CORRELATION_ID, ConsumerOptions, Message, Queue, QueueSpec, Requester, Subscription, Topic};

use crate::fixture::{WeirFixture, quantile};

const BLUEPRINT: &str = r#"{
    "blueprint": {},
    "flow": {"parts:{id}": {"topics": {"request": "request:tg:ask:{id}", "response": "response:tg:ask:{id}"}}},
    "interfaces": {"ask": {"request": "request:tg:ask:{id}", "response": "response:tg:ask:{id}"}}
}"#;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const OUTSTANDING: [usize; 2] = [1, 64];

/// `parts` is the component of the tests that answers `{}` with one part.
pub(crate) async fn run(parts: &[u8], requests: usize) -> anyhow::Result<()> {
    for concurrency in [1, 4] {
        let folder = tempfile::tempdir()?;
        let fixture = WeirFixture::open(folder.path()).await?;
        fixture.deploy("parts@1.0.0", parts, |record| record.concurrency = Some(concurrency)).await?;
        fixture.start_flow(BLUEPRINT).await?;
        let host = fixture.start_host().await?;
        let what = format!("a component, concurrency {concurrency}");
        measure(&fixture.broker, ("request:tg:ask:bench", "response:tg:ask:bench"), requests, &what).await?;
        fixture.close(host).await;
    }
    let folder = tempfile::tempdir()?;
    let broker = crate::fixture::broker(folder.path())?;
    let answering = tokio::spawn(answer(broker.clone()));
    measure(&broker, ("request:tg:bare", "response:tg:bare"), requests, "a task").await?;
    answering.abort();
    broker.close().await;
    Ok(())
}

/// Answers like the component.
async fn answer(broker: Arc<EmbeddedBroker>) -> anyhow::Result<()> {
    let (topic, subscription): (Topic, Subscription) = ("request:tg:bare".parse()?, "bench".parse()?);
    broker.ensure_queue(&QueueSpec::new(Queue::new(topic.clone(), subscription.clone())?)).await?;
    let consumer = broker.consumer(&topic, &subscription, ConsumerOptions::default()).await?;
    let answers = broker.producer(&"response:tg:bare".parse()?).await?;
    loop {
        let delivery = consumer.receive().await?;
        let id = delivery.message.properties.get(CORRELATION_ID).unwrap_or_default().to_owned();
        answers.publish_confirmed(Message::new("0").with(CORRELATION_ID, id)).await?;
        drop(broker.settle(&delivery.receipt, Vec::new()));
    }
}

async fn measure(broker: &Arc<EmbeddedBroker>, topics: (&str, &str), requests: usize, what: &str) -> anyhow::Result<()> {
    let requester = Requester::connect(broker.clone(), &topics.0.parse()?, &topics.1.parse()?, &"bench".parse()?).await?;
    // Until a request is answered, and everything is warm.
    while requester.request(Message::new("{}"), REQUEST_TIMEOUT).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for outstanding in OUTSTANDING {
        let count = requests / outstanding;
        let began = Instant::now();
        let mut latencies = try_join_all((0..outstanding).map(|_| one_after_another(&requester, count))).await?.concat();
        let rate = latencies.len() as f64 / began.elapsed().as_secs_f64();
        latencies.sort();
        let us = |share: f64| quantile(&latencies, share).as_secs_f64() * 1e6;
        println!("answered by {what}, {outstanding} outstanding: median {:.0} us, p99 {:.0} us, {rate:.0}/s", us(0.5), us(0.99));
    }
    Ok(())
}

async fn one_after_another(requester: &Requester, count: usize) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(count);
    for _ in 0..count {
        let began = Instant::now();
        let answer = requester.request(Message::new("{}"), REQUEST_TIMEOUT).await?;
        latencies.push(began.elapsed());
        ensure!(answer.body == "0", "the answer is {:?}", answer.body);
    }
    Ok(latencies)
}
