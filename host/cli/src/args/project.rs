//! Arguments of the commands for authors: `weir new`, `weir build`, `weir test`, `weir replay`, `weir dev`.

use std::path::PathBuf;

use clap::Args;
use weir_project::{Language, language};

use super::flow::parse_parameter;

/// The additional help of `weir help build`.
pub(super) const BUILD_HELP: &str = "\
The folder contains weir.toml, which names the language, the component and its inputs, outputs and parameters. Nothing is installed outside \
the folder: Python's tools go into .weir/venv, those of JavaScript and TypeScript into node_modules. Tools missing on this machine are \
reported, with how to install them. The component is checked as `weir deploy` checks it.";

/// The additional help of `weir help test`.
pub(super) const TEST_HELP: &str = "\
Each file tests/*.json is a fixture: parameters, configuration, answers of services, and messages with the expected result of each. The \
component runs in the real runtime under its limits, without a broker. Fixtures run in parallel, the messages of one in order in one \
instance. Exit code 1 if one differs.";

/// Arguments of `weir new`.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The language: rust, python, js or ts
    #[arg(long, value_name = "LANGUAGE", value_parser = language)]
    pub(crate) lang: &'static Language,
    /// The folder to create. Its name becomes the component's: lower-case words joined by `-`
    #[arg(value_name = "NAME")]
    pub(crate) folder: PathBuf,
}

/// Arguments of `weir build`.
#[derive(Debug, Args)]
pub(crate) struct Build {
    /// The project's folder
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,
    /// Where to write the component [default: NAME.wasm in the folder]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Arguments of `weir test`.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The project's folder
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,
    /// Test this component instead of the project's own, without building
    #[arg(long, value_name = "FILE.wasm")]
    pub(crate) component: Option<PathBuf>,
    /// Run only fixtures whose name contains this string. May be repeated
    #[arg(long = "fixture", value_name = "NAME")]
    pub(crate) fixtures: Vec<String>,
    /// Write the actual results into the fixtures that differ, as the expected ones
    #[arg(long)]
    pub(crate) update: bool,
}

/// The additional help of `weir help replay`.
pub(super) const REPLAY_HELP: &str = "\
Runs the message of a dead letter through a component on this machine, in the real runtime, with the current parameters of the processor's \
entry and the current configuration. Nothing is sent, and the letter stays: what would be sent is printed. Requests to services fail as \
unavailable.";

/// Arguments of `weir replay`.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The letter: its position in `weir dead-letters list`, or a message id
    pub(crate) letter: String,
    /// Replay it with the component in this file, instead of the one that the processor runs
    #[arg(long, value_name = "FILE.wasm", conflicts_with = "deployment")]
    pub(crate) component: Option<PathBuf>,
    /// Replay it with this deployment
    #[arg(long, value_name = "NAME@VERSION")]
    pub(crate) deployment: Option<String>,
}

/// The additional help of `weir help dev`.
pub(super) const DEV_HELP: &str = "\
On each change the component is built (faster and less optimised than by weir build), its fixtures are run, and it is deployed as \
VERSION-dev.DIGEST and swapped into the flow without downtime. If a step fails, the flow keeps running the previous version. Without \
--flow, a Weir is started only for this command, in a temporary folder, with a flow `dev` that has the processor and an interface for each \
of its inputs and outputs; it is removed on exit (Ctrl-C).";

/// Arguments of `weir dev`.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// The project's folder
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,
    /// A running flow that has the processor
    #[arg(long, value_name = "FLOW")]
    pub(crate) flow: Option<String>,
    /// The processor in that flow: NAME, or NAME:VARIANT [default: the component's name]
    #[arg(long, value_name = "NAME", requires = "flow")]
    pub(crate) processor: Option<String>,
    /// A parameter in the flow that this command starts. May be repeated
    #[arg(short = 'p', long = "parameter", value_name = "NAME=VALUE", value_parser = parse_parameter, conflicts_with = "flow")]
    pub(crate) parameters: Vec<(String, String)>,
}
