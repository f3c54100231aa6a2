//! A flow of one echo component on RabbitMQ, against a bare client that consumes, publishes, waits for the confirmation and acknowledges, and
//! against a processor of TrustGraph; a flow of three stages; and how long it takes to start and stop a flow of 20 queues.

mod client;
mod python;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use weir_config::records::{COMPONENT_TYPE, ComponentRecord};
use weir_config::{Batch, ComponentFolder, ConfigClient, ConfigService, Store};
use weir_flow::{FlowClient, FlowService, FlowSettings, StartFlow};
use weir_pubsub::{Backend, Limits, RabbitBroker, TlsFiles};
use weir_runtime::{Host, HostSettings, Served};

use self::client::{Client, Connections};
use crate::flow;

/// The queues of the bench's flow, and of the bare client.
const INPUT: &str = "tg.flow.in:bench.echo--bench--input";
const OUTPUT: &str = "tg.flow.out:bench.gateway--bench--out";
/// A flow of three echo components, one behind the other.
const STAGES: &str = r#"{
    "blueprint": {},
    "flow": {
        "echo:one-{id}": {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:second:{id}"}, "component": "echo@1.0.0"},
        "echo:two-{id}": {"topics": {"input": "flow:tg:second:{id}", "output": "flow:tg:third:{id}"}, "component": "echo@1.0.0"},
        "echo:three-{id}": {"topics": {"input": "flow:tg:third:{id}", "output": "flow:tg:out:{id}"}, "component": "echo@1.0.0"}
    },
    "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}}
}"#;
const STAGES_INPUT: &str = "tg.flow.in:stages.echo--one-stages--input";
const STAGES_OUTPUT: &str = "tg.flow.out:stages.gateway--stages--out";

/// What to measure.
pub(crate) struct Options {
    /// The broker, with an empty virtual host.
    pub(crate) url: String,
    /// How many messages are in work at a time.
    pub(crate) window: u16,
    pub(crate) messages: u32,
    pub(crate) rounds: u32,
    /// A Python with TrustGraph's packages.
    pub(crate) python: Option<std::path::PathBuf>,
}

pub(crate) async fn run(echo: &[u8], options: &Options) -> anyhow::Result<()> {
    let Options { url, window, messages, rounds, python } = options;
    let whole = Whole::open(url, echo, *window).await?;
    let client = Client::connect(url).await?;
    let (mut to_bare, mut to_single, mut to_python, mut stages) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..*rounds {
        let bare = client.bare_run(Connections::Two, *window, *messages).await?;
        let flow = whole.flow_run(&client, ("bench", INPUT, OUTPUT), *messages).await?;
        println!("round {round}: flow {}, bare client {:.0}/s, ratio {:.2}", flow.shown(), bare, flow.rate / bare);
        to_bare.push((flow.rate / bare, flow.rate, bare));
        let single = client.bare_run(Connections::One, *window, *messages).await?;
        println!("round {round}: bare client on one connection {single:.0}/s, ratio {:.2}", flow.rate / single);
        to_single.push((flow.rate / single, flow.rate, single));
        if let Some(python) = python {
            let other = whole.python_run(&client, url, python, *messages / PYTHON_SHARE).await?;
            println!("round {round}: processor of TrustGraph {other:.0}/s, ratio {:.1}", flow.rate / other);
            to_python.push((flow.rate / other, flow.rate, other));
        }
        let three = whole.flow_run(&client, ("stages", STAGES_INPUT, STAGES_OUTPUT), *messages / 2).await?;
        println!("round {round}: three stages {}, ratio to one {:.2}", three.shown(), three.rate / flow.rate);
        stages.push((three.rate / flow.rate, three.rate, flow.rate));
    }
    let all = [
        ("a bare client", to_bare),
        ("a bare client on one connection", to_single),
        ("a processor of TrustGraph", to_python),
        ("(three stages) one", stages),
    ];
    for (against, mut ratios) in all {
        ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((ratio, ours, other)) = ratios.get(ratios.len() / 2) {
            println!(
                "flow of echo on RabbitMQ, 1 KiB, window {window}, {messages} messages, median of {rounds}: {ours:.0}/s against {other:.0}/s of {against}, ratio {ratio:.2}"
            );
        }
    }
    let (start, stop) = whole.start_and_stop().await?;
    println!("a flow of 20 queues: started in {} ms, stopped in {} ms (medians of 5)", start.as_millis(), stop.as_millis());
    whole.end().await;
    Ok(())
}

/// A processor of TrustGraph takes so many times longer for a message.
const PYTHON_SHARE: u32 = 20;

/// What one run of a flow showed.
struct Run {
    rate: f64,
    /// Processor time of this process for each message, in microseconds.
    cpu_us: f64,
}

impl Run {
    fn shown(&self) -> String {
        format!("{:.0}/s, {:.0} us a message, {:.0} us of them of this process's cores", self.rate, 1e6 / self.rate, self.cpu_us)
    }
}

/// Processor time of this process until now.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
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
        let backend = RabbitBroker::connect(url, Limits::default(), &TlsFiles::default(), None).await?;
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
        flows.put_blueprint("stages", STAGES).await?;
        Ok(Whole { backend, config, flows, services: (config_service, flow_service), components, folder })
    }

    fn flow(id: &str, blueprint: &str) -> StartFlow {
        StartFlow { id: id.to_owned(), blueprint: blueprint.to_owned(), ..StartFlow::default() }
    }

    async fn flow_run(&self, client: &Client, (flow, input, output): (&str, &str, &str), messages: u32) -> anyhow::Result<Run> {
        self.flows.start_flow(Self::flow(flow, flow)).await?;
        client.preload(input, messages).await?;
        let settings = HostSettings {
            id: "bench".to_owned(),
            name: "bench".to_owned(),
            machine: String::new(),
            topicspace: "tg".to_owned(),
            components: Arc::new(self.components.clone()),
            code_cache: self.folder.path().join("cache"),
            served: Served::All,
            given: Default::default(),
            cache_bytes: None,
            instances_count: 64,
            outputs_bytes: weir_runtime::DEFAULT_OUTPUTS_BYTES,
            dead_letters_max_bytes: 256 << 20,
            defaults: Default::default(),
        };
        let host = Host::start(self.backend.clone(), self.config.clone(), settings).await?;
        let before = cpu();
        let rate = client.filled(output, messages).await?;
        let cpu_us = (cpu() - before).as_secs_f64() * 1e6 / f64::from(messages);
        self.flows.stop_flow(flow).await?;
        host.stop(Duration::from_secs(10)).await;
        Ok(Run { rate, cpu_us })
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
