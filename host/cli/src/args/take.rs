//! Arguments of `weir take`.

use std::time::Duration;

use clap::Args;
use weir_config::units::parse_time;

pub(super) const HELP: &str = "\
Without --count and --follow, the command ends when the exit is empty.

A message is removed from the exit once the output has received it: a file once it is written, a pipe once its reader has read it. All others stay in the exit, in order, however the command ends: Ctrl-C, a reader that exits, a full disk, a lost connection. After kill -9 or a lost connection at most one batch of 64 KiB is duplicated.

Use --count N to take exactly N messages. `| head -N` reads ahead: messages that it read but did not print have left the exit.";

/// Arguments of `weir take`.
#[derive(Debug, Args)]
pub(crate) struct Take {
    /// The flow's id
    pub(crate) flow: String,
    /// The interface's name
    pub(crate) interface: String,
    /// Wait for exactly this many messages, then end
    #[arg(long, short = 'n')]
    pub(crate) count: Option<u64>,
    /// Keep waiting when the exit is empty, until Ctrl-C or until the reader of the output exits
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
    /// How long the output, or this command, may stall before its messages are returned to the exit and the command fails, for example 60s
    /// or 10m: 100ms to 1h
    /// [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) lease: Option<Duration>,
}
