//! What is measured, how, and against what: see `bench/README.md`. Every figure is a ratio against a limit measured in the same run.

mod bare;
mod flow;
mod handle;
mod stage;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Runs one of the benches of `bench/README.md` and prints its figures.
#[derive(Parser)]
struct Arguments {
    /// The component that sends on what comes in.
    #[arg(long)]
    echo: PathBuf,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// One `handle` of the echo component against a bare call of it
    Handle {
        /// Rounds, of which the fastest counts.
        #[arg(long, default_value_t = 25)]
        rounds: u32,
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
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let echo = std::fs::read(&arguments.echo)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.bench {
        Bench::Handle { rounds } => runtime.block_on(handle::run(&echo, rounds)),
        Bench::Flow { messages, rounds } => runtime.block_on(flow::run(&echo, messages, rounds)),
    }
}

/// The body of every message: 1 KiB.
fn body() -> bytes::Bytes {
    bytes::Bytes::from((0..1024_u32).map(|at| b'a' + (at % 26) as u8).collect::<Vec<u8>>())
}
