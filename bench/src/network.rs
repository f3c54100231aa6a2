//! What the benches of network brokers share: services and a host in this process, flows of one and of three echo components, and how they
//! are timed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use weir_config::names::{exit_subscription, processor_subscription};
use weir_config::records::{COMPONENT_TYPE, ComponentRecord};
use weir_config::{Batch, ComponentFolder, ConfigClient, ConfigService, Store};
use weir_flow::{FlowClient, FlowService, FlowSettings, StartFlow};
use weir_pubsub::{Backend, Queue};
use weir_runtime::Host;

use crate::fixture::host_settings;
use crate::flow;

/// A flow of three echo components in a row.
const STAGES: &str = r#"{
    "blueprint": {},
    "flow": {
        "echo:one-{id}": {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:second:{id}"}, "component": "echo@1.0.0"},
        "echo:two-{id}": {"topics": {"input": "flow:tg:second:{id}", "output": "flow:tg:third:{id}"}, "component": "echo@1.0.0"},
        "echo:three-{id}": {"topics": {"input": "flow:tg:third:{id}", "output": "flow:tg:out:{id}"}, "component": "echo@1.0.0"}
    },
    "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}}
}"#;

/// One KiB in the form of TrustGraph's text completion requests, which all of them can read.
pub(crate) fn body() -> Vec<u8> {
    let text = |size: usize| format!(r#"{{"system": "", "prompt": "{}"}}"#, "x".repeat(size));
    text(1024 - text(0).len()).into_bytes()
}

/// The value of `weir-from` in the messages of a Weir processor.
pub(crate) const FROM: &str = "chunker 0f3a5c7d9e1b 1795869967 1";

/// The queues at the ends of flows, as used by a client without Weir.
pub(crate) trait Ends {
    /// Fills a queue, durably, with messages like those of Weir's senders.
    async fn preload(&self, queue: &Queue, messages: u32) -> anyhow::Result<()>;

    /// Watches a queue from its first message to the last; returns messages per second.
    async fn filled(&self, queue: &Queue, messages: u32) -> anyhow::Result<f64>;
}

/// A flow between two queues; its blueprint has the same name.
pub(crate) struct Workload {
    flow: &'static str,
    input: Queue,
    output: Queue,
}

impl Workload {
    /// One echo component.
    pub(crate) fn one() -> anyhow::Result<Self> {
        Workload::of("bench", "bench")
    }

    /// Three in a row.
    pub(crate) fn three() -> anyhow::Result<Self> {
        Workload::of("stages", "one-stages")
    }

    fn of(flow: &'static str, first_variant: &str) -> anyhow::Result<Self> {
        let input = Queue::new(format!("flow:tg:in:{flow}").parse()?, processor_subscription("echo", first_variant, "input")?)?;
        let output = Queue::new(format!("flow:tg:out:{flow}").parse()?, exit_subscription(flow, "out")?)?;
        Ok(Workload { flow, input, output })
    }
}

/// The result of one run of a flow.
pub(crate) struct Run {
    pub(crate) rate: f64,
    /// CPU time of this process per message, in microseconds.
    cpu_us: f64,
}

impl Run {
    pub(crate) fn shown(&self) -> String {
        format!("{:.0}/s, {:.0} us per message, {:.0} us of them on this process's cores", self.rate, 1e6 / self.rate, self.cpu_us)
    }
}

/// The rate of a flow against another rate.
pub(crate) struct Against {
    ratio: f64,
    ours: f64,
    other: f64,
}

impl Against {
    pub(crate) fn of(ours: f64, other: f64) -> Self {
        Against { ratio: ours / other, ours, other }
    }
}

/// Prints the median, with the lowest and the highest ratio.
pub(crate) fn print_median(what: &str, against: &str, mut rounds: Vec<Against>) {
    rounds.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    let (Some(lowest), Some(highest), Some(Against { ratio, ours, other })) = (rounds.first(), rounds.last(), rounds.get(rounds.len() / 2))
    else {
        return;
    };
    let count = rounds.len();
    println!(
        "{what}, median of {count}: {ours:.0}/s against {other:.0}/s of {against}, ratio {ratio:.2} ({:.2} to {:.2})",
        lowest.ratio, highest.ratio
    );
}

/// CPU time of this process until now.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The services of a Weir over a broker.
pub(crate) struct NetworkFixture {
    backend: Arc<dyn Backend>,
    config: ConfigClient,
    pub(crate) flows: FlowClient,
    services: (ConfigService, FlowService),
    components: ComponentFolder,
    folder: tempfile::TempDir,
}

impl NetworkFixture {
    /// `window` is that of the component.
    pub(crate) async fn open(backend: Arc<dyn Backend>, echo: &[u8], window: u32) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let store = Store::open(&folder.path().join("config.sqlite")).await?;
        let config_service = ConfigService::start(backend.clone(), "tg", store).await?;
        let config = ConfigClient::connect(backend.clone(), "tg").await?;
        let settings = FlowSettings { exit_limit_bytes: 8 << 30, ..FlowSettings::default() };
        let flow_service = FlowService::start(backend.clone(), config.clone(), "tg", settings).await?;
        let flows = FlowClient::connect(backend.clone(), "tg").await?;
        let components = ComponentFolder::new(folder.path().join("components"));
        components.put(echo).await?;
        let mut record = ComponentRecord::from(weir_runtime::inspect(echo)?);
        record.window = Some(window);
        config.apply(Batch::new().put(COMPONENT_TYPE, "echo@1.0.0", serde_json::to_string(&record)?)).await?;
        flows.put_blueprint("bench", flow::BLUEPRINT).await?;
        flows.put_blueprint("stages", STAGES).await?;
        Ok(NetworkFixture { backend, config, flows, services: (config_service, flow_service), components, folder })
    }

    pub(crate) fn start(id: &str) -> StartFlow {
        StartFlow { id: id.to_owned(), blueprint: id.to_owned(), ..StartFlow::default() }
    }

    /// Fills the input of a flow, starts a host, and times from the first output to the last.
    pub(crate) async fn flow_run(&self, ends: &impl Ends, course: &Workload, messages: u32) -> anyhow::Result<Run> {
        self.flows.start_flow(Self::start(course.flow)).await?;
        ends.preload(&course.input, messages).await?;
        let settings = host_settings(self.folder.path(), &self.components);
        let host = Host::start(self.backend.clone(), self.config.clone(), settings).await?;
        let before = cpu();
        let rate = ends.filled(&course.output, messages).await?;
        let cpu_us = (cpu() - before).as_secs_f64() * 1e6 / f64::from(messages);
        self.flows.stop_flow(course.flow).await?;
        host.stop(Duration::from_secs(10)).await;
        Ok(Run { rate, cpu_us })
    }

    /// The medians of starting and of stopping a flow of 20 queues.
    pub(crate) async fn start_and_stop(&self) -> anyhow::Result<(Duration, Duration)> {
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
            self.flows.start_flow(Self::start("long")).await?;
            starts.push(begin.elapsed());
            let begin = Instant::now();
            self.flows.stop_flow("long").await?;
            stops.push(begin.elapsed());
        }
        starts.sort();
        stops.sort();
        Ok((starts[2], stops[2]))
    }

    pub(crate) async fn end(self) {
        self.services.1.stop().await;
        self.services.0.stop().await;
        self.backend.close().await;
    }
}
