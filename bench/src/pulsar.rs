//! A flow of one echo component on Apache Pulsar, against a client of the crate `pulsar` that does the same in a separate process; a flow
//! of three stages; and the time to create and delete queues, and to start and stop a flow of 20 of them.

mod ends;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use tokio::time::{Instant, timeout};
use weir_pubsub::{Backend, Delete, Limits, Provision, PulsarBroker, PulsarSettings, Queue, QueueSpec, TlsFiles};

use self::ends::Stats;
use crate::network::{Against, Ends, NetworkFixture, Workload, print_median};
use crate::opponent::Opponent;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The broker; its tenant `tg` is made if it is missing.
    #[arg(long)]
    url: String,
    /// Its admin API.
    #[arg(long)]
    pulsar_admin: String,
    /// A file with an administrator's token.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// The client of the crate `pulsar`: `cargo build --release -p weir-pulsar-peer`.
    #[arg(long)]
    peer: PathBuf,
    /// How many messages are in flight at a time.
    #[arg(long, default_value_t = 1_000)]
    window: u32,
    /// The window of the client, if another one suits it better.
    #[arg(long)]
    peer_window: Option<u32>,
    /// Messages.
    #[arg(long, default_value_t = 20_000)]
    messages: u32,
    /// Rounds, of which the median counts.
    #[arg(long, default_value_t = 7)]
    rounds: u32,
}

/// The time-out of one step.
const STEP_TIME: Duration = Duration::from_secs(300);
const QUEUES_COUNT: usize = 100;

/// The configuration of the client.
#[derive(Clone, Copy)]
struct Variant {
    name: &'static str,
    connections: u32,
    /// How many messages its producer may put into one entry of the topic. A client that must lose nothing may use no more than one: the
    /// crate acknowledges only whole entries.
    batch: u32,
}

const VARIANTS: [Variant; 3] = [
    Variant { name: "the crate pulsar", connections: 2, batch: 1 },
    Variant { name: "the crate pulsar on one connection", connections: 1, batch: 1 },
    Variant { name: "the crate pulsar with batches", connections: 2, batch: 100 },
];

pub(crate) async fn run(echo: &[u8], options: &Options) -> anyhow::Result<()> {
    let Options { url, pulsar_admin, token_file, window, messages, rounds, .. } = options;
    let settings = PulsarSettings { admin: Some(pulsar_admin.clone()), token_file: token_file.clone(), ..PulsarSettings::default() };
    let backend = PulsarBroker::connect(url, Limits::default(), &TlsFiles::default(), &settings).await?;
    backend.policies("tg", Provision::Set).await?;
    let fixture = NetworkFixture::open(backend.clone(), echo, *window).await?;
    let stats = Stats::of(backend.clone(), pulsar_admin, token_file.as_deref())?;
    let peer = Peer { options, stats: &stats, backend: backend.clone() };
    let (one, three) = (Workload::one()?, Workload::three()?);
    let mut against: Vec<Vec<Against>> = VARIANTS.iter().map(|_| Vec::new()).collect();
    let mut stages = Vec::new();
    for round in 0..*rounds {
        let flow = fixture.flow_run(&stats, &one, *messages).await?;
        println!("round {round}: flow {}", flow.shown());
        for (variant, against) in VARIANTS.iter().zip(&mut against) {
            let rate = timeout(STEP_TIME, peer.run(*variant)).await.context("the client hangs")??;
            println!("round {round}: {} {rate:.0}/s, ratio {:.2}", variant.name, flow.rate / rate);
            against.push(Against::of(flow.rate, rate));
        }
        let through = fixture.flow_run(&stats, &three, *messages / 2).await?;
        println!("round {round}: three stages {}, ratio to one {:.2}", through.shown(), through.rate / flow.rate);
        stages.push(Against::of(through.rate, flow.rate));
    }
    let what = format!("flow of echo on Pulsar, 1 KiB, window {window}, {messages} messages");
    for (variant, rounds) in VARIANTS.iter().zip(against) {
        print_median(&what, variant.name, rounds);
    }
    print_median(&what, "(three stages) one", stages);
    make_and_delete(&backend).await?;
    let (start, stop) = timeout(STEP_TIME, fixture.start_and_stop()).await.context("a start or stop hangs")??;
    println!("a flow of 20 queues: started in {} ms, stopped in {} ms (medians of 5)", start.as_millis(), stop.as_millis());
    fixture.end().await;
    Ok(())
}

/// Creates and deletes queues, each on its own topic: sequentially and concurrently.
async fn make_and_delete(backend: &Arc<PulsarBroker>) -> anyhow::Result<()> {
    let queues = (0..QUEUES_COUNT).map(|at| anyhow::Ok(Queue::new(format!("flow:tg:many-{at}").parse()?, "reader".parse()?)?));
    let queues: Vec<Queue> = queues.collect::<anyhow::Result<_>>()?;
    let one_by_one = async {
        let begin = Instant::now();
        for queue in &queues {
            backend.create_queue(&QueueSpec::new(queue.clone())).await?;
        }
        let (made, begin) = (begin.elapsed(), Instant::now());
        for queue in &queues {
            backend.delete_queue(queue, Delete::Always).await?;
        }
        anyhow::Ok((made, begin.elapsed()))
    };
    let (made, deleted) = timeout(STEP_TIME, one_by_one).await.context("creating and deleting queues hangs")??;
    println!("{QUEUES_COUNT} queues one after the other: created in {} ms, deleted in {} ms", made.as_millis(), deleted.as_millis());
    let together = async {
        let begin = Instant::now();
        let specs: Vec<QueueSpec> = queues.iter().map(|queue| QueueSpec::new(queue.clone())).collect();
        try_join_all(specs.iter().map(|spec| backend.create_queue(spec))).await?;
        let (made, begin) = (begin.elapsed(), Instant::now());
        try_join_all(queues.iter().map(|queue| backend.delete_queue(queue, Delete::Always))).await?;
        anyhow::Ok((made, begin.elapsed()))
    };
    let (made, deleted) = timeout(STEP_TIME, together).await.context("creating and deleting queues in parallel hangs")??;
    println!("{QUEUES_COUNT} queues in parallel: created in {} ms, deleted in {} ms", made.as_millis(), deleted.as_millis());
    for queue in &queues {
        ensure!(!backend.queue_exists(queue).await?, "{queue} still exists");
    }
    Ok(())
}

/// The client of the crate `pulsar`.
struct Peer<'a> {
    options: &'a Options,
    stats: &'a Stats,
    backend: Arc<PulsarBroker>,
}

impl Peer<'_> {
    /// Its rate between two queues created for it, from the first output to the last; all inputs are then acknowledged.
    async fn run(&self, variant: Variant) -> anyhow::Result<f64> {
        let (input, output): (Queue, Queue) = (queue("weir-bench-in", "peer")?, queue("weir-bench-out", "reader")?);
        for queue in [&input, &output] {
            self.backend.create_queue(&QueueSpec::new(queue.clone())).await?;
        }
        self.stats.preload(&input, self.options.messages).await?;
        let mut client = Opponent::start(self.command(variant, &input, &output))?;
        let (rate, ()) = tokio::try_join!(self.stats.filled(&output, self.options.messages), client.ended())?;
        let left = self.stats.backlog(&input).await?;
        ensure!(left == 0, "the client has not acknowledged {left} messages");
        for queue in [&input, &output] {
            self.backend.delete_queue(queue, Delete::Always).await?;
        }
        Ok(rate)
    }

    fn command(&self, variant: Variant, input: &Queue, output: &Queue) -> Command {
        let Options { url, token_file, peer, window, peer_window, messages, .. } = self.options;
        let url_of = |queue: &Queue| format!("persistent://{}/flow/{}", queue.topic().topicspace(), queue.topic().name());
        let mut command = Command::new(peer);
        command.arg(url).arg(token_file.as_deref().unwrap_or(Path::new("-")));
        command.args([url_of(input), input.subscription().to_string(), url_of(output), messages.to_string()]);
        command.args([peer_window.unwrap_or(*window).to_string(), variant.connections.to_string(), variant.batch.to_string()]);
        command.stdin(Stdio::null());
        command
    }
}

fn queue(name: &str, subscription: &str) -> anyhow::Result<Queue> {
    Ok(Queue::new(format!("flow:tg:{name}").parse()?, subscription.parse()?)?)
}
