//! Repeats messages of one topic on another with the crate `pulsar`, as a processor does that loses nothing: consumes, publishes, waits for the
//! receipt, and acknowledges. `weir-bench pulsar --peer` runs it; it ends when all messages are acknowledged.
//!
//! `weir-pulsar-peer URL TOKEN-FILE|- INPUT SUBSCRIPTION OUTPUT MESSAGES WINDOW CONNECTIONS BATCH`, where BATCH above 1 lets the producer put so
//! many messages into one entry.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::StreamExt;
use pulsar::consumer::{InitialPosition, Message};
use pulsar::producer::{self, SendFuture};
use pulsar::proto::MessageIdData;
use pulsar::{Authentication, Consumer, ConsumerOptions, Producer, ProducerOptions, Pulsar, SubType, TokioExecutor};

/// How long a batch waits for further messages.
const BATCH_TIME: Duration = Duration::from_millis(1);
/// How long the broker may take for what was acknowledged last: the crate requests no response to an acknowledgement.
const LAST_TIME: Duration = Duration::from_millis(300);

/// What to do.
struct Work {
    url: String,
    token: Option<String>,
    input: String,
    subscription: String,
    output: String,
    messages: usize,
    window: u32,
    connections: u32,
    batch: u32,
}

impl Work {
    fn parse(words: Vec<String>) -> anyhow::Result<Self> {
        let Ok([url, token_file, input, subscription, output, messages, window, connections, batch]) = <[String; 9]>::try_from(words)
        else {
            bail!("weir-pulsar-peer URL TOKEN-FILE|- INPUT SUBSCRIPTION OUTPUT MESSAGES WINDOW CONNECTIONS BATCH");
        };
        let token = match token_file.as_str() {
            "-" => None,
            file => Some(std::fs::read_to_string(file).with_context(|| file.to_owned())?.trim().to_owned()),
        };
        let (messages, window) = (messages.parse().context("MESSAGES")?, window.parse().context("WINDOW")?);
        let (connections, batch) = (connections.parse().context("CONNECTIONS")?, batch.parse().context("BATCH")?);
        Ok(Work { url, token, input, subscription, output, messages, window, connections, batch })
    }

    async fn connect(&self) -> anyhow::Result<Pulsar<TokioExecutor>> {
        let mut builder = Pulsar::builder(&self.url, TokioExecutor).with_outbound_channel_size(4 * self.window as usize);
        if let Some(token) = &self.token {
            builder = builder.with_auth(Authentication { name: "token".to_owned(), data: token.clone().into_bytes() });
        }
        Ok(builder.build().await?)
    }

    async fn producer(&self, connection: &Pulsar<TokioExecutor>) -> anyhow::Result<Producer<TokioExecutor>> {
        let mut options = ProducerOptions { block_queue_if_full: true, ..ProducerOptions::default() };
        if self.batch > 1 {
            options.batch_size = Some(self.batch);
            options.batch_timeout = Some(BATCH_TIME);
        }
        Ok(connection.producer().with_topic(&self.output).with_options(options).build().await?)
    }

    async fn consumer(&self, connection: &Pulsar<TokioExecutor>) -> anyhow::Result<Consumer<Vec<u8>, TokioExecutor>> {
        let options = ConsumerOptions { initial_position: InitialPosition::Earliest, ..ConsumerOptions::default() };
        let builder = connection.consumer().with_topic(&self.input).with_subscription(&self.subscription).with_options(options);
        Ok(builder.with_subscription_type(SubType::Shared).with_batch_size(self.window).build().await?)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let work = Work::parse(std::env::args().skip(1).collect())?;
    let publishing = work.connect().await?;
    let consuming = if work.connections > 1 { work.connect().await? } else { publishing.clone() };
    let mut producer = work.producer(&publishing).await?;
    let mut consumer = work.consumer(&consuming).await?;
    let mut under_way: VecDeque<(SendFuture, MessageIdData)> = VecDeque::new();
    let (mut to_come, mut to_settle) = (work.messages, work.messages);
    while to_settle > 0 {
        let has_room = to_come > 0 && under_way.len() < work.window as usize;
        tokio::select! {
            message = consumer.next(), if has_room => {
                let message = message.context("the consumer has ended")??;
                let id = message.message_id().clone();
                under_way.push_back((producer.send_non_blocking(repeated(message)).await?, id));
                to_come -= 1;
            }
            receipt = first(&mut under_way), if !under_way.is_empty() => {
                receipt?;
                let (_, id) = under_way.pop_front().context("what has a receipt was under way")?;
                consumer.ack_with_id(&work.input, id).await?;
                to_settle -= 1;
            }
        }
    }
    ensure!(under_way.is_empty(), "messages are left");
    // The acknowledgements are queued in the crate; an answer to a later command of the same connection says that they were sent.
    consumer.check_connection().await?;
    tokio::time::sleep(LAST_TIME).await;
    Ok(())
}

/// The receipt of the message that was published first.
async fn first(under_way: &mut VecDeque<(SendFuture, MessageIdData)>) -> Result<(), pulsar::Error> {
    match under_way.front_mut() {
        Some((receipt, _)) => receipt.await.map(|_| ()),
        None => std::future::pending().await,
    }
}

/// The same message, with its properties.
fn repeated(message: Message<Vec<u8>>) -> producer::Message {
    let properties = message.payload.metadata.properties.into_iter().map(|property| (property.key, property.value)).collect();
    producer::Message { payload: message.payload.data, properties, ..producer::Message::default() }
}
