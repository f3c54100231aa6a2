//! A flow of one echo component on RabbitMQ, against a bare client that consumes, publishes, waits for the confirmation and acknowledges; and how
//! long it takes to start and stop a flow of 20 queues.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use futures_util::future::{join_all, try_join_all};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, QueueDeclareOptions,
    QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, PublisherConfirm};
use serde_json::json;
use tokio::time::Instant;
use weir_config::records::{COMPONENT_TYPE, ComponentRecord};
use weir_config::{Batch, ComponentFolder, ConfigClient, ConfigService, Store};
use weir_flow::{FlowClient, FlowService, FlowSettings, StartFlow};
use weir_pubsub::{Backend, Limits, RabbitBroker, TlsFiles};
use weir_runtime::{Host, HostSettings, Served};

use crate::{body, flow};

/// The queues of the bench's flow, and of the bare client.
const INPUT: &str = "tg.flow.in:bench.echo--bench--input";
const OUTPUT: &str = "tg.flow.out:bench.gateway--bench--out";
const BARE_INPUT: &str = "weir-bench-in";
const BARE_OUTPUT: &str = "weir-bench-out";

pub(crate) async fn run(url: &str, echo: &[u8], window: u16, messages: u32, rounds: u32) -> anyhow::Result<()> {
    let whole = Whole::open(url, echo, window).await?;
    let client = Client::connect(url).await?;
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let bare = client.bare_run(window, messages).await?;
        let flow = whole.flow_run(&client, messages).await?;
        println!("round {round}: flow {flow:.0}/s, bare client {bare:.0}/s, ratio {:.2}", flow / bare);
        ratios.push((flow / bare, flow, bare));
    }
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ratio, flow, bare) = ratios[ratios.len() / 2];
    println!(
        "flow of echo on RabbitMQ, 1 KiB, window {window}, {messages} messages, median of {rounds}: {flow:.0}/s against {bare:.0}/s, ratio {ratio:.2}"
    );
    let (start, stop) = whole.start_and_stop().await?;
    println!("a flow of 20 queues: started in {} ms, stopped in {} ms (medians of 5)", start.as_millis(), stop.as_millis());
    whole.end().await;
    Ok(())
}

/// The services of a Weir over RabbitMQ.
struct Whole {
    backend: Arc<RabbitBroker>,
    config: ConfigClient,
    flows: FlowClient,
    services: (ConfigService, FlowService),
    components: ComponentFolder,
    folder: tempfile::TempDir,
}

impl Whole {
    async fn open(url: &str, echo: &[u8], window: u16) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let backend = RabbitBroker::connect(url, Limits::default(), &TlsFiles::default()).await?;
        let store = Store::open(&folder.path().join("config.sqlite")).await?;
        let config_service = ConfigService::start(backend.clone(), "tg", store).await?;
        let config = ConfigClient::connect(backend.clone(), "tg").await?;
        let settings = FlowSettings { exit_limit_bytes: 8 << 30, ..FlowSettings::default() };
        let flow_service = FlowService::start(backend.clone(), config.clone(), "tg", settings).await?;
        let flows = FlowClient::connect(backend.clone(), "tg").await?;
        let components = ComponentFolder::new(folder.path().join("components"));
        components.put(echo).await?;
        let mut record = ComponentRecord::from(weir_runtime::inspect(echo)?);
        record.window = Some(window.into());
        config.apply(Batch::new().put(COMPONENT_TYPE, "echo@1.0.0", serde_json::to_string(&record)?)).await?;
        flows.put_blueprint("bench", flow::BLUEPRINT).await?;
        Ok(Whole { backend, config, flows, services: (config_service, flow_service), components, folder })
    }

    fn flow(id: &str, blueprint: &str) -> StartFlow {
        StartFlow { id: id.to_owned(), blueprint: blueprint.to_owned(), ..StartFlow::default() }
    }

    async fn flow_run(&self, client: &Client, messages: u32) -> anyhow::Result<f64> {
        self.flows.start_flow(Self::flow("bench", "bench")).await?;
        client.preload(INPUT, messages).await?;
        let settings = HostSettings {
            id: "bench".to_owned(),
            topicspace: "tg".to_owned(),
            components: Arc::new(self.components.clone()),
            code_cache: self.folder.path().join("cache"),
            served: Served::All,
            instances_count: 64,
            outputs_bytes: weir_runtime::DEFAULT_OUTPUTS_BYTES,
            dead_letters_max_bytes: 256 << 20,
            defaults: Default::default(),
        };
        let host = Host::start(self.backend.clone(), self.config.clone(), settings).await?;
        let rate = client.filled(OUTPUT, messages).await?;
        self.flows.stop_flow("bench").await?;
        host.stop(Duration::from_secs(10)).await;
        Ok(rate)
    }

    /// The medians of starting and of stopping a flow of 20 queues.
    async fn start_and_stop(&self) -> anyhow::Result<(Duration, Duration)> {
        let entries = (0..19).map(|at| {
            let topics = json!({"input": format!("flow:tg:q{at}:{{id}}"), "output": format!("flow:tg:q{}:{{id}}", at + 1)});
            (format!("p{at}:{{id}}"), json!({"topics": topics, "component": "echo@1.0.0"}))
        });
        let entries: serde_json::Map<_, _> = entries.collect();
        let blueprint = json!({"blueprint": {}, "flow": entries, "interfaces": {"out": {"flow": "flow:tg:q19:{id}"}}});
        self.flows.put_blueprint("long", &blueprint.to_string()).await?;
        let (mut starts, mut stops) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let begin = Instant::now();
            self.flows.start_flow(Self::flow("long", "long")).await?;
            starts.push(begin.elapsed());
            let begin = Instant::now();
            self.flows.stop_flow("long").await?;
            stops.push(begin.elapsed());
        }
        starts.sort();
        stops.sort();
        Ok((starts[2], stops[2]))
    }

    async fn end(self) {
        self.services.1.stop().await;
        self.services.0.stop().await;
        self.backend.close().await;
    }
}

/// A client without Weir.
struct Client {
    connection: Connection,
    channel: Channel,
}

impl Client {
    async fn connect(url: &str) -> anyhow::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Client { connection, channel })
    }

    async fn preload(&self, queue: &str, messages: u32) -> anyhow::Result<()> {
        let properties = BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into());
        let mut left = messages;
        while left > 0 {
            let count = left.min(500);
            let sent = (0..count).map(|_| async {
                let body = body();
                let options = BasicPublishOptions::default();
                self.channel.basic_publish("".into(), queue.into(), options, &body, properties.clone()).await?.await
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

    /// Watches a queue from its first message to the last; returns messages a second.
    async fn filled(&self, queue: &str, messages: u32) -> anyhow::Result<f64> {
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

    /// The same work without Weir and component: bursts are published together, and what is confirmed is acknowledged together.
    async fn bare_run(&self, window: u16, messages: u32) -> anyhow::Result<f64> {
        for queue in [BARE_INPUT, BARE_OUTPUT] {
            self.channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), FieldTable::default()).await?;
            self.channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await?;
        }
        self.preload(BARE_INPUT, messages).await?;
        let (consuming, publishing) = (self.connection.create_channel().await?, self.connection.create_channel().await?);
        publishing.confirm_select(ConfirmSelectOptions::default()).await?;
        consuming.basic_qos(window, BasicQosOptions::default()).await?;
        let stream = consuming.basic_consume(BARE_INPUT.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
        let (sender, receiver) = tokio::sync::mpsc::channel(usize::from(window));
        let acknowledging = tokio::spawn(acknowledge(consuming, receiver));
        let repeating = tokio::spawn(async move {
            let mut bursts = stream.ready_chunks(usize::from(window));
            while let Some(burst) = bursts.next().await {
                let burst: Vec<_> = burst.into_iter().collect::<lapin::Result<_>>()?;
                let sent = burst.iter().map(|delivery| {
                    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
                    publishing.basic_publish("".into(), BARE_OUTPUT.into(), options, &delivery.data, delivery.properties.clone())
                });
                for (delivery, confirm) in burst.iter().zip(join_all(sent).await) {
                    sender.send((delivery.delivery_tag, confirm?)).await?;
                }
            }
            anyhow::Ok(())
        });
        let rate = self.filled(BARE_OUTPUT, messages).await?;
        repeating.abort();
        acknowledging.await.context("it panicked")??;
        for queue in [BARE_INPUT, BARE_OUTPUT] {
            self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
        }
        Ok(rate)
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
