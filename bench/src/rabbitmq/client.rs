//! A client without Weir or a component.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use futures_util::future::{join_all, try_join_all};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, PublisherConfirm};
use tokio::time::Instant;
use weir_pubsub::{Queue, WEIR_FROM, WEIR_ID};

use crate::network::{Ends, FROM, body};

const BARE_INPUT: &str = "weir-bench-in";
const BARE_OUTPUT: &str = "weir-bench-out";
/// The exchange of the flow, and the routing key of the bare client.
const EXCHANGE: &str = "tg";
const BARE_KEY: &str = "flow.weir-bench";

/// The properties of a message sent by a Weir processor.
fn properties(number: u32) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(WEIR_ID.into(), AMQPValue::LongString(format!("{number:032x}").into()));
    headers.insert(WEIR_FROM.into(), AMQPValue::LongString(FROM.into()));
    BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into()).with_headers(headers)
}

/// The number of connections of the bare client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connections {
    /// One for all.
    One,
    /// One to publish, one to consume and acknowledge, as recommended by RabbitMQ's guides and done by Weir: under a memory alarm the
    /// broker reads nothing from connections that publish, acknowledgements included.
    Two,
}

/// Its connections and a channel.
pub(super) struct Client {
    connection: Connection,
    consuming: Connection,
    channel: Channel,
}

impl Client {
    pub(super) async fn connect(url: &str) -> anyhow::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let consuming = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Client { connection, consuming, channel })
    }

    /// Fills a queue, bypassing its exchange.
    async fn fill(&self, queue: &str, messages: u32) -> anyhow::Result<()> {
        let mut left = messages;
        while left > 0 {
            let count = left.min(500);
            let sent = (0..count).map(|at| async move {
                let body = body();
                let options = BasicPublishOptions::default();
                self.channel.basic_publish("".into(), queue.into(), options, &body, properties(left - at)).await?.await
            });
            try_join_all(sent).await?;
            left -= count;
        }
        Ok(())
    }

    async fn ready(&self, queue: &str) -> anyhow::Result<u32> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        Ok(self.channel.queue_declare(queue.into(), passive, FieldTable::default()).await?.message_count())
    }

    /// See [`Ends::filled`].
    async fn watch(&self, queue: &str, messages: u32) -> anyhow::Result<f64> {
        let mut look = tokio::time::interval(Duration::from_millis(5));
        let mut first = None;
        loop {
            look.tick().await;
            let count = self.ready(queue).await?;
            if count == 0 {
                continue;
            }
            let (began, count_then) = *first.get_or_insert((Instant::now(), count));
            if count >= messages {
                ensure!(count == messages, "{count} of {messages} messages came out");
                return Ok(f64::from(messages - count_then) / began.elapsed().as_secs_f64());
            }
        }
    }

    /// The same work without Weir or a component: bursts are published together, and confirmed messages are acknowledged together.
    pub(super) async fn bare_run(&self, connections: Connections, window: u16, messages: u32) -> anyhow::Result<f64> {
        for queue in [BARE_INPUT, BARE_OUTPUT] {
            self.channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), FieldTable::default()).await?;
            self.channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await?;
        }
        // Routed like the flow's messages.
        self.channel
            .queue_bind(BARE_OUTPUT.into(), EXCHANGE.into(), BARE_KEY.into(), QueueBindOptions::default(), FieldTable::default())
            .await?;
        self.fill(BARE_INPUT, messages).await?;
        let consuming = if connections == Connections::One { &self.connection } else { &self.consuming };
        let (consuming, publishing) = (consuming.create_channel().await?, self.connection.create_channel().await?);
        publishing.confirm_select(ConfirmSelectOptions::default()).await?;
        consuming.basic_qos(window, BasicQosOptions::default()).await?;
        let stream = consuming.basic_consume(BARE_INPUT.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
        let (sender, receiver) = tokio::sync::mpsc::channel(usize::from(window));
        let acknowledging = tokio::spawn(acknowledge(consuming, receiver));
        let repeating = tokio::spawn(async move {
            let mut bursts = stream.ready_chunks(usize::from(window));
            let mut left = messages as usize;
            while left > 0 {
                let burst = bursts.next().await.context("the consumer has ended")?;
                let burst: Vec<_> = burst.into_iter().collect::<lapin::Result<_>>()?;
                left -= burst.len();
                let sent = burst.iter().map(|delivery| {
                    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
                    publishing.basic_publish(EXCHANGE.into(), BARE_KEY.into(), options, &delivery.data, delivery.properties.clone())
                });
                for (delivery, confirm) in burst.iter().zip(join_all(sent).await) {
                    sender.send((delivery.delivery_tag, confirm?)).await?;
                }
            }
            anyhow::Ok((bursts, publishing))
        });
        let rate = self.watch(BARE_OUTPUT, messages).await?;
        // The consumer and its channels stay until all is acknowledged.
        let channels = repeating.await.context("it panicked")??;
        acknowledging.await.context("it panicked")??;
        drop(channels);
        for queue in [BARE_INPUT, BARE_OUTPUT] {
            self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
        }
        Ok(rate)
    }
}

/// The bare client forwards the properties of messages.
impl Ends for Client {
    async fn preload(&self, queue: &Queue, messages: u32) -> anyhow::Result<()> {
        self.fill(&queue.wire_name(), messages).await
    }

    async fn filled(&self, queue: &Queue, messages: u32) -> anyhow::Result<f64> {
        self.watch(&queue.wire_name(), messages).await
    }
}

async fn acknowledge(channel: Channel, mut written: tokio::sync::mpsc::Receiver<(u64, PublisherConfirm)>) -> anyhow::Result<()> {
    let mut batch = Vec::new();
    while written.recv_many(&mut batch, 256).await > 0 {
        let mut last = None;
        for (tag, confirm) in batch.drain(..) {
            ensure!(confirm.await?.is_ack(), "a message was refused");
            last = Some(tag);
        }
        if let Some(tag) = last {
            channel.basic_ack(tag, BasicAckOptions { multiple: true }).await?;
        }
    }
    Ok(())
}
