//! What is measured, how, and against what: see `bench/README.md`. Every figure is a ratio against a limit measured in the same run.

mod bare;
mod fixture;
mod flow;
mod flows;
mod gateway;
mod handle;
mod import;
mod neighbours;
mod network;
mod opponent;
mod outputs;
mod plugin;
mod post;
mod pulsar;
mod rabbitmq;
mod request;
mod running;
mod start;
mod status;
mod straggler;
mod swap;
mod take;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// Runs one of the benches of `bench/README.md` and prints its figures.
#[derive(Parser)]
struct Arguments {
    /// The folder with the components of the tests.
    #[arg(long)]
    guests: PathBuf,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// One `handle` of the echo component, or of another one, against a bare call of it
    Handle {
        /// Rounds, of which the fastest counts.
        #[arg(long, default_value_t = 25)]
        rounds: u32,
        /// A component that takes {"id", "text"} and sends one message for each, as those of `weir new` do
        #[arg(long, value_name = "FILE")]
        component: Option<PathBuf>,
    },
    /// A flow of one echo component against the log alone
    Flow {
        /// Messages.
        #[arg(long, default_value_t = 50_000)]
        messages: u32,
        /// Rounds, of which the median counts.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
    /// A flow of one echo component on RabbitMQ against a bare client and a processor of TrustGraph, three stages, and the start of a flow of 20
    /// queues
    Rabbitmq {
        /// The broker, with an empty virtual host.
        #[arg(long)]
        url: String,
        /// How many messages are in flight at a time.
        #[arg(long, default_value_t = 256)]
        window: u16,
        /// Messages.
        #[arg(long, default_value_t = 50_000)]
        messages: u32,
        /// Rounds, of which the median counts.
        #[arg(long, default_value_t = 7)]
        rounds: u32,
        /// A Python with TrustGraph's packages, to measure its echo processor too.
        #[arg(long)]
        python: Option<PathBuf>,
    },
    /// A flow of one echo component on Apache Pulsar against a client of the crate `pulsar`, three stages, 100 queues, and the start of a flow of 20
    /// queues
    Pulsar(pulsar::Options),
    /// Messages posted to an interface by 64 clients, against a bare axum server
    Post {
        /// Messages.
        #[arg(long, default_value_t = 200_000)]
        messages: usize,
        /// Rounds, of which the median counts.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Messages imported over a WebSocket, against the rate of a flow of one echo component
    Import {
        /// Messages.
        #[arg(long, default_value_t = 100_000)]
        messages: u32,
        /// Rounds, of which the median counts.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
    /// `weir take` of an exit into a file, against the rate of a flow of one echo component; `weir` must lie beside this binary
    Take {
        /// Messages.
        #[arg(long, default_value_t = 50_000)]
        messages: u32,
        /// Rounds, of which the median counts.
        #[arg(long, default_value_t = 7)]
        rounds: u32,
    },
    /// The longest gap between outputs after a swap under full load, beside seconds without one
    Swap {
        /// Swaps, each with a second before and a second after it.
        #[arg(long, default_value_t = 50)]
        swaps: u32,
    },
    /// Requests that a component answers, beside the same without one
    Request {
        /// Requests in each case.
        #[arg(long, default_value_t = 64_000)]
        requests: usize,
    },
    /// The start of `weir up` to the settle of a message that waits; `weir` must lie beside this binary
    Start {
        /// Starts.
        #[arg(long, default_value_t = 20)]
        rounds: u32,
    },
    /// The command `weir status` of a Weir with many flows of three processors; `weir` must lie beside this binary
    Status {
        /// Flows.
        #[arg(long, default_value_t = 200)]
        flows: u32,
        /// Calls.
        #[arg(long, default_value_t = 20)]
        rounds: u32,
    },
    /// Starting and stopping one more flow beside 10 and beside many; `weir` must lie beside this binary
    Flows {
        /// Flows of the larger side.
        #[arg(long, default_value_t = 1_000)]
        flows: u32,
        /// Rounds, of which the median counts.
        #[arg(long, default_value_t = 7)]
        rounds: u32,
    },
    /// The disk that the log takes beside messages that nothing reads, while a busy neighbour sends through it
    Straggler {
        /// What the neighbour sends, in MiB.
        #[arg(long, default_value_t = 10_240)]
        mib: u64,
        /// The size of a segment of the log, in MiB.
        #[arg(long, default_value_t = 32)]
        segment_mib: u64,
        /// Messages that nothing reads in the second case, in MiB.
        #[arg(long, default_value_t = 256)]
        backlog_mib: u64,
    },
    /// A healthy echo beside components that spin, take memory, trap or flood the log; `weir` must lie beside this binary
    Neighbours {
        /// Rounds, of which the median counts.
        #[arg(long, default_value_t = 7)]
        rounds: u32,
        /// Only neighbours whose name contains this, for example `flood`.
        #[arg(long)]
        only: Option<String>,
    },
    /// The memory of `weir up` while 200 messages each send 1,000 of 16 KB; `weir` must lie beside this binary
    Outputs {
        /// Messages.
        #[arg(long, default_value_t = 200)]
        messages: u32,
        /// Rounds, of which the median counts.
        #[arg(long, default_value_t = 7)]
        rounds: u32,
    },
    /// Any component on any texts: time per KiB, and memory
    Plugin(plugin::Options),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let guest = |name: &str| {
        let path = arguments.guests.join(format!("{name}.wasm"));
        std::fs::read(&path).with_context(|| path.display().to_string())
    };
    let echo = || guest("echo");
    let weir = || std::env::current_exe().map(|bench| bench.with_file_name("weir"));
    // As in `weir up`.
    let runtime = tokio::runtime::Builder::new_multi_thread().event_interval(1).global_queue_interval(1).enable_all().build()?;
    match arguments.bench {
        Bench::Handle { rounds, component: None } => runtime.block_on(handle::run(&handle::Subject::echo(echo()?), rounds)),
        Bench::Handle { rounds, component: Some(file) } => runtime.block_on(handle::run(&handle::Subject::of_file(&file)?, rounds)),
        Bench::Flow { messages, rounds } => runtime.block_on(flow::run(&echo()?, messages, rounds)),
        Bench::Rabbitmq { url, window, messages, rounds, python } => {
            runtime.block_on(rabbitmq::run(&echo()?, &rabbitmq::Options { url, window, messages, rounds, python }))
        }
        Bench::Pulsar(options) => runtime.block_on(pulsar::run(&echo()?, &options)),
        Bench::Post { messages, rounds } => runtime.block_on(post::run(messages, rounds)),
        Bench::Import { messages, rounds } => runtime.block_on(import::run(&echo()?, messages, rounds)),
        Bench::Take { messages, rounds } => runtime.block_on(take::run(&weir()?, &echo()?, messages, rounds)),
        Bench::Swap { swaps } => runtime.block_on(swap::run(&echo()?, swaps)),
        Bench::Request { requests } => runtime.block_on(request::run(&guest("parts")?, requests)),
        Bench::Start { rounds } => runtime.block_on(start::run(&weir()?, &echo()?, rounds)),
        Bench::Status { flows, rounds } => runtime.block_on(status::run(&weir()?, &arguments.guests.join("echo.wasm"), flows, rounds)),
        Bench::Flows { flows, rounds } => runtime.block_on(flows::run(&weir()?, &arguments.guests.join("echo.wasm"), flows, rounds)),
        Bench::Straggler { mib, segment_mib, backlog_mib } => runtime.block_on(straggler::run(mib, segment_mib, backlog_mib)),
        Bench::Neighbours { rounds, only } => runtime.block_on(neighbours::run(&weir()?, &arguments.guests, rounds, only.as_deref())),
        Bench::Outputs { messages, rounds } => runtime.block_on(outputs::run(&weir()?, &guest("big_output")?, messages, rounds)),
        Bench::Plugin(options) => runtime.block_on(plugin::run(&options)),
    }
}

/// The body of every message: 1 KiB.
fn body() -> bytes::Bytes {
    bytes::Bytes::from((0..1024_u32).map(|at| b'a' + (at % 26) as u8).collect::<Vec<u8>>())
}
