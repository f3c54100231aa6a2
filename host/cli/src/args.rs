//! The command line's arguments. The doc comments here are its documentation: `weir help COMMAND` shows them.

mod access;
mod broker;
mod components;
mod dead_letters;
mod flow;
mod project;
mod reach;
mod run;
mod settings;
mod take;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use weir_config::records::GivenLimits;
use weir_config::units::parse_time;

#[cfg(test)]
pub(crate) use self::access::AccessFlags;
pub(crate) use self::broker::BrokerFlags;
pub(crate) use self::components::{Components, ComponentsCommand, Prune};
pub(crate) use self::dead_letters::{DeadLetterSelection, DeadLetters, Redrive};
pub(crate) use self::flow::Flow;
pub(crate) use self::project::{Build, Dev, New, Replay, Test};
pub(crate) use self::reach::Reach;
use self::run::parse_served;
pub(crate) use self::run::{Run, ServedProcessor};
pub(crate) use self::settings::{RoleFlags, SettingFlags};
pub(crate) use self::take::Take;

/// Runs message processors as sandboxed WebAssembly components between durable queues.
///
/// `weir up` starts everything on this machine; the other commands connect to it.
#[derive(Debug, Parser)]
#[command(name = "weir", version, max_term_width = 100, arg_required_else_help = true, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The data folder; the other commands read the address of a running Weir from it
    #[arg(long, global = true, value_name = "DIR", env = "WEIR_DATA", default_value = DEFAULT_DATA, help_heading = "Options for every command")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// Print JSON for programs instead of text for people
    #[arg(long, global = true, help_heading = "Options for every command")]
    pub(crate) json: bool,
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The default data folder.
pub(crate) const DEFAULT_DATA: &str = "./weir-data";

const AFTER_HELP: &str = "\
Exit codes: 0 success; 1 Weir refused the request, failed, or has nothing of that name; 64 wrong usage; 65 invalid input (not JSON, not a \
component, too large); 66 a file cannot be read; 69 Weir cannot be reached, is full, or did not answer in time; 73 the data folder \
cannot be used; 77 the gateway requires a token and none was sent, or one with a larger scope; 78 the settings file or a WEIR_... variable \
is invalid; 130 a second signal forced `weir up` to shut down, or Ctrl-C ended `weir take` (143: SIGTERM did).

Environment: WEIR_TOKEN is the token of the gateway: `weir up` requires it from every client, the other commands send it. WEIR_LOG sets what \
`weir up` logs, for example WEIR_LOG=debug or WEIR_LOG=warn,weir_runtime=debug. NO_COLOR turns colours off, CLICOLOR_FORCE turns them on \
where the output is not a terminal. Every setting has a variable; the file that `weir init` writes lists them. WEIR_BROKER_URL is the URL \
of the broker, with its password.";

const INIT_BROKER_HELP: &str = "\
Prepare this broker: create the exchange on RabbitMQ, or the tenant and namespaces on Pulsar, and set policies or print the commands for them \
[env: WEIR_BROKER_URL]";

const INIT_MANAGEMENT_HELP: &str = "The management API of that broker, through which policies are set [env: WEIR_BROKER_MANAGEMENT]";

const SETTINGS_HELP: &str = "\
Sources, each overriding those before it: defaults, settings.toml in the data folder (or --settings FILE), WEIR_... in the environment, \
flags of `weir up`. `weir init` writes a file that explains every setting.";

const COMPLETION_HELP: &str = "\
Where to store it:
  bash   weir completion bash > ~/.local/share/bash-completion/completions/weir
  zsh    weir completion zsh > ~/.zfunc/_weir    (and `fpath+=~/.zfunc` before `compinit`)
  fish   weir completion fish > ~/.config/fish/completions/weir.fish";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create the data folder, with a settings file that explains every setting; with an external broker, prepare that too
    Init(Init),
    /// Start Weir on this machine: broker, services, host and gateway in one process
    Up(Up),
    /// Start one role of a Weir that runs in several processes, on one or many machines
    #[command(subcommand, after_help = run::HELP)]
    Run(Run),
    /// Show the effective settings
    #[command(subcommand, after_help = SETTINGS_HELP)]
    Settings(Settings),
    /// Create a project for a processor: a source, weir.toml and fixtures in a new folder
    New(New),
    /// Build the component of a project
    #[command(after_help = project::BUILD_HELP)]
    Build(Build),
    /// Run the fixtures of a project against its component, after building it if a source is newer
    #[command(after_help = project::TEST_HELP)]
    Test(Test),
    /// Build, test and run a project on each change of its sources
    #[command(after_help = project::DEV_HELP)]
    Dev(Dev),
    /// Deploy a component: check it, store it and record it under a name and version
    Deploy(Deploy),
    /// List deployments with their inputs, outputs and parameters, show one with its limits, or remove one
    Components(Components),
    /// Remove component files and compiled code that nothing refers to
    #[command(after_help = components::PRUNE_HELP)]
    Prune(Prune),
    /// Describe a component's inputs, outputs, requests and requirements, without running it and without a running Weir
    Inspect(Inspect),
    /// Store, show, list and delete blueprints, the templates of flows
    #[command(subcommand)]
    Blueprint(Blueprint),
    /// Start, stop, list and show flows
    #[command(subcommand)]
    Flow(Flow),
    /// Replace a processor's component in a running flow without downtime
    Swap(Swap),
    /// Send messages into a flow
    Send(Send),
    /// Send a request to an interface of a flow and print its answer
    Request(Request),
    /// Show the messages that pass through an interface of a flow, without removing any
    Tail(Tail),
    /// Take the messages in the exit of a flow, oldest first; each is acknowledged once the output has received it
    #[command(after_help = take::HELP)]
    Take(Take),
    /// Show hosts, processors, flows, queues and the last errors
    Status(Status),
    /// List the queues with their messages, sizes and subscribers
    Queues(Queues),
    /// Read and change the configuration: values by type and key
    #[command(subcommand)]
    Config(Config),
    /// List, show, resend or delete messages that could not be handled
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Run a dead letter through a component on this machine, with the entry's parameters and the current configuration, without sending
    /// anything
    #[command(after_help = project::REPLAY_HELP)]
    Replay(Replay),
    /// Diagnose problems with the data folder, the disk, the settings and a running Weir, and suggest fixes. Exit code 1 if a check fails
    Doctor(Doctor),
    /// Print the completion script of a shell
    #[command(after_help = COMPLETION_HELP)]
    Completion(Completion),
}

/// Arguments of `weir init`.
#[derive(Clone, Debug, Args)]
#[command(mut_arg("url", |arg| arg.help(INIT_BROKER_HELP)), mut_arg("management", |arg| arg.help(INIT_MANAGEMENT_HELP)))]
pub(crate) struct Init {
    #[command(flatten)]
    pub(crate) broker: BrokerFlags,
    /// The settings file that names the broker, instead of settings.toml in the data folder
    #[arg(long, value_name = "FILE", env = "WEIR_SETTINGS")]
    pub(crate) settings: Option<PathBuf>,
}

/// Arguments of `weir up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) flags: SettingFlags,
    /// Serve only this processor, and ignore all others in the configuration. NAME: its entries without a component run the newest
    /// deployment of that name. NAME=FILE: they run the component in the file, which is deployed first. May be repeated [default: every entry
    /// that names a component]
    #[arg(long = "processor", value_name = "NAME[=FILE]", value_parser = parse_served)]
    pub(crate) processors: Vec<ServedProcessor>,
}

/// Arguments of `weir doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) flags: SettingFlags,
    /// Delete empty queues that Weir created, that no flow uses any more and that have no subscriber
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// With --remove-orphans: also delete those that hold messages, with their messages
    #[arg(long, requires = "remove_orphans")]
    pub(crate) discard: bool,
}

/// `weir settings ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Settings {
    /// Show every setting that `weir up` would use if started now, and its source. Does not query a running Weir
    #[command(after_help = SETTINGS_HELP)]
    Show {
        #[command(flatten)]
        flags: SettingFlags,
    },
}

/// Arguments of `weir deploy`.
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// NAME@VERSION and the file. Name and version default to those in the component's descriptor
    #[arg(num_args = 1..=2, required = true, value_names = ["NAME[@VERSION]", "FILE.wasm"])]
    pub(crate) target_and_file: Vec<String>,
    /// A limit that overrides what the component requests and the setting: memory-bytes, time-ms, sends-count, sends-bytes or
    /// log-bytes-per-minute. May be repeated. It belongs to the version and never changes. Without it, the memory and time that the
    /// component requests are granted, up to component.max-memory and component.max-time
    #[arg(long = "limit", value_name = "NAME=NUMBER", value_parser = parse_limit)]
    pub(crate) limits: Vec<(String, u64)>,
}

/// Arguments of `weir inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The component; `-` for standard input
    #[arg(value_name = "FILE.wasm")]
    pub(crate) file: PathBuf,
}

/// `weir blueprint ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Blueprint {
    /// Store a blueprint, replacing an older one of that name
    Put {
        /// Its name
        name: String,
        /// The file with its JSON; `-` for standard input
        file: PathBuf,
    },
    /// Print a blueprint
    Get {
        /// Its name
        name: String,
    },
    /// List the names of all blueprints
    List,
    /// Delete a blueprint; flows started from it keep running
    Delete {
        /// Its name
        name: String,
    },
}

/// Arguments of `weir swap`.
///
/// The new component is fetched, compiled and set up while the old one keeps working; then each worker finishes its message and switches
/// to the new one. No message is lost or handled twice because of it. A component that cannot run never replaces the old one.
#[derive(Debug, Args)]
pub(crate) struct Swap {
    /// The flow's id
    pub(crate) flow: String,
    /// The processor: NAME, or NAME:VARIANT where the flow has several of that name
    pub(crate) processor: String,
    /// The deployment to switch to: NAME@VERSION, or NAME for its newest version
    pub(crate) component: String,
    /// Wait until all hosts of the processor run it; if one cannot, the error states why
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait, for example 10s, 500ms or 2m
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_time, requires = "wait")]
    pub(crate) timeout: Duration,
    /// Also swap it in other flows that share the processor's entry
    #[arg(long)]
    pub(crate) shared: bool,
}

/// Arguments of `weir send`.
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The flow's id
    pub(crate) flow: String,
    /// The interface's name
    pub(crate) interface: String,
    /// JSON files, one message each; a folder means all files in it; `-` for standard input
    #[arg(value_name = "FILE", conflicts_with = "text")]
    pub(crate) files: Vec<PathBuf>,
    /// Send {"text": TEXT}
    #[arg(long)]
    pub(crate) text: Option<String>,
    /// Treat each line as a message, not each file
    #[arg(long, conflicts_with_all = ["text", "as_text"])]
    pub(crate) each_line: bool,
    /// Print the id of each message once it is stored, one per line. The id identifies the message in the log and among the dead letters
    #[arg(long)]
    pub(crate) ids: bool,
    /// The files are plain text: send each as {"id": PATH, "title": NAME, "text": CONTENT}
    #[arg(long, conflicts_with = "text")]
    pub(crate) as_text: bool,
}

/// Arguments of `weir request`.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// The flow's id
    pub(crate) flow: String,
    /// The interface's name
    pub(crate) interface: String,
    /// The request as JSON; `-` for standard input, which is also the default
    pub(crate) body: Option<String>,
    /// How long to wait for the complete answer, for example 30s, 500ms or 2m. Default and maximum: the time that the gateway waits
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) timeout: Option<Duration>,
}

/// Arguments of `weir tail`.
#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// The flow's id
    pub(crate) flow: String,
    /// The interface's name
    pub(crate) interface: String,
    /// No longer supported: see `weir take`
    #[arg(long, hide = true)]
    pub(crate) from_exit: bool,
    /// End after this many messages
    #[arg(long, short = 'n')]
    pub(crate) count: Option<u64>,
    /// End after this many milliseconds without a message
    #[arg(long, value_name = "MILLISECONDS")]
    pub(crate) idle_ms: Option<u64>,
}

/// Arguments of `weir status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Refresh every second until Ctrl-C: in place on a terminal, otherwise appended, with --json one line each
    #[arg(long)]
    pub(crate) watch: bool,
    /// Show all flows, processors and queues; without it, long lists show only those that need attention, and how many more there are.
    /// --json has all
    #[arg(long)]
    pub(crate) all: bool,
}

/// Arguments of `weir queues`.
#[derive(Debug, Args)]
pub(crate) struct Queues {
    /// Only queues of this flow
    pub(crate) flow: Option<String>,
}

/// `weir config ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print a stored value
    Get {
        /// Its type, for example `parameter-type`
        #[arg(value_name = "TYPE")]
        config_type: String,
        /// Its key
        key: String,
    },
    /// Store a value, replacing an older one
    Put(ConfigPut),
    /// Delete a value
    Delete {
        /// Its type
        #[arg(value_name = "TYPE")]
        config_type: String,
        /// Its key
        key: String,
        /// Delete it even if Weir manages its type
        #[arg(long)]
        force: bool,
    },
    /// List the types, or the values of one type
    List {
        /// The type
        #[arg(value_name = "TYPE")]
        config_type: Option<String>,
    },
    /// Print a line for each key that changes from now on, until Ctrl-C. It polls once a second: of several changes to a key it reports
    /// the last
    Watch {
        /// Only this type
        #[arg(value_name = "TYPE")]
        config_type: Option<String>,
    },
}

/// Arguments of `weir config put`.
#[derive(Debug, Args)]
pub(crate) struct ConfigPut {
    /// Its type; a new type needs no declaration
    #[arg(value_name = "TYPE")]
    pub(crate) config_type: String,
    /// Its key
    pub(crate) key: String,
    /// The value as JSON; `-` for standard input
    #[arg(allow_negative_numbers = true)]
    pub(crate) value: String,
    /// Store VALUE as a plain string, even if it is not JSON
    #[arg(long)]
    pub(crate) text: bool,
    /// Wait until every host has applied it, and report a processor that cannot use it
    #[arg(long)]
    pub(crate) wait: bool,
    /// Store it even if Weir manages its type
    #[arg(long)]
    pub(crate) force: bool,
    /// How long to wait, for example 10s, 500ms or 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, requires = "wait")]
    pub(crate) timeout: Duration,
}

/// Arguments of `weir completion`.
#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// A shell that has completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// GNU bash.
    Bash,
    /// Z shell.
    Zsh,
    /// Fish.
    Fish,
}

fn parse_limit(text: &str) -> Result<(String, u64), String> {
    let limit = text.split_once('=').and_then(|(name, number)| Some((name.to_owned(), number.parse().ok()?)));
    let (name, number) = limit.ok_or_else(|| "a limit must be NAME=NUMBER, for example --limit sends-count=20000".to_owned())?;
    GivenLimits::check(&name, number).map_err(|error| error.to_string())?;
    Ok((name, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn limits_are_numbers() {
        assert_eq!(parse_limit("sends-count=20"), Ok(("sends-count".to_owned(), 20)));
        for wrong in
            ["sends-count", "sends-count=many", "sends-count=-1", "memory-bytes=3", "memory-bytes=268435457", "time-ms=0", "sends=1"]
        {
            assert!(parse_limit(wrong).is_err(), "{wrong}");
        }
    }
}
