//! The words of `weir take`.

use std::time::Duration;

use clap::Args;

use crate::settings::units::parse_time;

pub(super) const HELP: &str = "\
Without --count and --follow it ends when the exit is empty.

A message is removed from the exit once the output has it: a file once it is written, a pipe once its reader has read it. Everything else \
stays in the exit, in its order, however the command ends: Ctrl-C, a reader that goes, a full disk, a lost connection. After kill -9 or a lost \
connection at most one batch of 64 KiB comes twice.

Use --count N to take exactly N messages. `| head -N` reads ahead: what it read and did not print has left the exit.";

/// Arguments of `weir take`.
#[derive(Debug, Args)]
pub(crate) struct Take {
    /// The flow's id
    pub(crate) flow: String,
    /// The interface's name
    pub(crate) interface: String,
    /// Wait for this many messages, and end after them: takes exactly as many
    #[arg(long, short = 'n')]
    pub(crate) count: Option<u64>,
    /// Go on when the exit is empty, until Ctrl-C or until the reader of the output goes
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
    /// How long the output, or this command, may stand still before its messages are given back and the command fails, for example 60s or 10m: 100ms to 1h
    /// [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) lease: Option<Duration>,
}
