//! `weir dead-letters ...`.

use std::time::Duration;

use clap::{Args, Subcommand};

use weir_config::units::parse_time;

/// `weir dead-letters ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// List the oldest dead letters without removing them
    List {
        /// The maximum number to list
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only those of this flow
        #[arg(long)]
        flow: Option<String>,
        /// Only those of this processor
        #[arg(long)]
        processor: Option<String>,
    },
    /// Show dead letters with their whole bodies, their properties and the reason, without removing them
    Show {
        #[command(flatten)]
        letters: DeadLetterSelection,
    },
    /// Resend dead letters, each to the queue that it came from, under the message's id. Exit code 1 if one could not be sent
    Redrive(Redrive),
    /// Delete dead letters. Exit code 1 if one could not be deleted
    Delete {
        #[command(flatten)]
        letters: DeadLetterSelection,
    },
}

/// Which dead letters: ids, a flow or a processor of it, or all.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct DeadLetterSelection {
    /// Positions in the list or message ids; `weir dead-letters list` shows both. An id selects all letters of the message
    #[arg(value_name = "ID", conflicts_with_all = ["flow", "processor", "all"])]
    pub(crate) ids: Vec<String>,
    /// All of this flow
    #[arg(long, conflicts_with = "all")]
    pub(crate) flow: Option<String>,
    /// All of this processor
    #[arg(long, conflicts_with = "all")]
    pub(crate) processor: Option<String>,
    /// All current dead letters
    #[arg(long)]
    pub(crate) all: bool,
}

/// Arguments of `weir dead-letters redrive`.
///
/// On the broker of `weir up` each letter is sent exactly once: it leaves the dead letters in the same write. Its attempts begin again.
#[derive(Debug, Args)]
pub(crate) struct Redrive {
    #[command(flatten)]
    pub(crate) letters: DeadLetterSelection,
    /// Swap the letters' processor to this deployment first and wait until it runs, as `weir swap --wait` does: NAME@VERSION, or NAME for
    /// its newest version. Nothing is sent if the swap fails
    #[arg(long, value_name = "NAME@VERSION")]
    pub(crate) to: Option<String>,
    /// Also swap it in other flows that share the processor's entry
    #[arg(long, requires = "to")]
    pub(crate) shared: bool,
    /// How long to wait for the swap, for example 10s, 500ms or 2m
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_time, requires = "to")]
    pub(crate) timeout: Duration,
}
