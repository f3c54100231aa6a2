//! The binary `weir`: all roles of a running Weir, and the command line that connects to one.

mod args;
mod client;
mod commands;
mod disk_reserve;
mod folder;
mod holder;
mod hosts;
mod input;
mod logging;
mod message;
mod output;
mod permissions;
mod problem;
mod progress;
mod report;
mod roles;
mod screen;
mod settings;
mod shutdown;
mod sink;
mod space;
mod supervisor;
mod token;

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use args::{Arguments, Command};
use client::Client;
use commands::{Session, suggest::Names, up::Ended};
use output::Format;
use problem::{Exit, Problem};

/// The exit code of `weir up` after a second signal: 128 plus the number of SIGINT, as in shells.
const LEFT_AT_ONCE: u8 = 130;

fn main() -> ExitCode {
    let _last_lines = logging::LastLines;
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let shown = if error.use_stderr() {
                print_hiding(&error, std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()))
            } else {
                error.print()
            };
            // A closed terminal is ignored.
            drop(shown);
            return if error.use_stderr() { ExitCode::from(Exit::Usage as u8) } else { ExitCode::SUCCESS };
        }
    };
    let json = arguments.json;
    match start(arguments) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        // Only our own writes return a bare I/O error.
        Err(error) if error.is::<std::io::Error>() => {
            let problem = Problem::new(Exit::Failed, "the output cannot be written").because(error);
            ExitCode::from(report::report(&problem.into(), json))
        }
        Err(error) => ExitCode::from(report::report(&error, json)),
    }
}

/// Prints an error about arguments, without the passwords of URLs in them.
fn print_hiding(error: &clap::Error, arguments: impl Iterator<Item = String>) -> std::io::Result<()> {
    let hide = |text: String, argument: String| {
        let user = argument.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map(|(user, _)| user);
        match user.and_then(|user| user.split_once(':')) {
            Some((_, password)) if !password.is_empty() => text.replace(password, "***"),
            _ => text,
        }
    };
    let text = arguments.fold(error.render().to_string(), hide);
    anstream::stderr().lock().write_all(text.as_bytes())
}

fn start(arguments: Arguments) -> Result<ExitCode> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // A component may run for 10 ms at a time. By default a thread polls sockets, timers and the global queue only once in 61 ticks.
    builder.event_interval(1).global_queue_interval(1);
    let runtime = builder.enable_all().build().context("the async runtime did not start")?;
    let outcome = runtime.block_on(run(arguments));
    // A thread that waits for standard input must not keep the process alive.
    runtime.shutdown_background();
    outcome
}

async fn run(arguments: Arguments) -> Result<ExitCode> {
    let Arguments { data, reach, json, command } = arguments;
    let format = if json { Format::Json } else { Format::Text };
    let command = match command {
        Command::Up(up) => return up_and_ended(&data, format, &up).await,
        Command::Run(run) => return run_and_ended(&data, reach, format, run).await,
        command => command,
    };
    logging::start_for_commands();
    let command = match command {
        Command::Init(command) => return commands::init::run(&data, format, &command).await.map(|()| ExitCode::SUCCESS),
        Command::Settings(command) => return commands::settings::run(&data, format, &command).map(|()| ExitCode::SUCCESS),
        Command::New(command) => return commands::project::new::run(format, &command).map(|()| ExitCode::SUCCESS),
        Command::Build(command) => return commands::project::build::run(format, &command).map(|()| ExitCode::SUCCESS),
        Command::Test(command) => return commands::project::test::run(format, &command),
        Command::Dev(command) => return commands::project::dev::run(&data, &reach, format, command).await.map(|()| ExitCode::SUCCESS),
        Command::Inspect(command) => return commands::inspect::run(format, &command).map(|()| ExitCode::SUCCESS),
        Command::Doctor(command) => return commands::doctor::run(&data, &reach, format, &command).await,
        Command::Prune(command) => {
            return commands::prune::run(&reach, &data, format, &command).await.map(|()| ExitCode::SUCCESS);
        }
        Command::Completion(command) => return commands::completion::run(&command).map(|()| ExitCode::SUCCESS),
        command => command,
    };
    if let Command::Tail(command) = &command {
        commands::tail::check(command)?;
    }
    let session = Session { client: Client::find(&reach, &data)?, format };
    let names = Names::of(&command);
    let asked = match command {
        Command::Take(command) => commands::take::run(&session, command).await,
        command => ask(&session, command).await.map(|()| ExitCode::SUCCESS),
    };
    match asked {
        Ok(code) => Ok(code),
        Err(error) => Err(advised(&session, &names, error).await),
    }
}

async fn up_and_ended(data: &Path, format: Format, up: &args::Up) -> Result<ExitCode> {
    let mut loaded = settings::load(data, &up.flags)?;
    loaded.settings.processors = up.processors.iter().map(|processor| processor.name.clone()).collect();
    let file_of = |processor: &args::ServedProcessor| Some((processor.name.clone(), processor.file.clone()?));
    loaded.settings.processor_files = up.processors.iter().filter_map(file_of).collect();
    start_logging(&loaded);
    commands::up::run(data, format, loaded.settings).await.map(exit_code)
}

async fn run_and_ended(data: &Path, reach: args::Reach, format: Format, run: args::Run) -> Result<ExitCode> {
    let mut loaded = settings::load(data, &commands::run::flags(&run))?;
    if let args::Run::Host(host) = &run {
        loaded.settings.processors = host.processors.iter().map(|processor| processor.name.clone()).collect();
    }
    start_logging(&loaded);
    commands::run::run(data, reach, format, loaded.settings, run).await.map(exit_code)
}

fn start_logging(loaded: &settings::Loaded) {
    logging::start(&loaded.settings);
    loaded.notes.iter().for_each(|note| tracing::warn!(note, "setting possibly misspelt"));
    if let Some(warning) = settings::exposed_password(loaded) {
        tracing::warn!(problem = warning, "password is visible to others");
    }
}

fn exit_code(ended: Ended) -> ExitCode {
    match ended {
        Ended::Gracefully => ExitCode::SUCCESS,
        Ended::AtOnce => ExitCode::from(LEFT_AT_ONCE),
    }
}

/// Runs a command that connects to a gateway.
async fn ask(session: &Session, command: Command) -> Result<()> {
    match command {
        // They do not connect to a gateway, or not only to one, or have their own exit codes.
        Command::Take(_)
        | Command::Up(_)
        | Command::Run(_)
        | Command::Init(_)
        | Command::Settings(_)
        | Command::Doctor(_)
        | Command::Inspect(_)
        | Command::New(_)
        | Command::Build(_)
        | Command::Dev(_)
        | Command::Test(_)
        | Command::Prune(_)
        | Command::Completion(_) => Ok(()),
        Command::Deploy(command) => commands::deploy::run(session, command).await,
        Command::Blueprint(command) => commands::blueprint::run(session, command).await,
        Command::Flow(command) => commands::flow::run(session, command).await,
        Command::Send(command) => commands::send::run(session, command).await,
        Command::Request(command) => commands::request::run(session, command).await,
        Command::Tail(command) => commands::tail::run(session, command).await,
        Command::Swap(command) => commands::swap::run(session, command).await,
        Command::Status(command) => commands::status::run(session, command).await,
        Command::Components(command) => commands::components::run(session, command).await,
        Command::Queues(command) => commands::queues::run(session, command).await,
        Command::Config(command) => commands::config::run(session, command).await,
        Command::DeadLetters(command) => commands::dead_letters::run(session, command).await,
        Command::Replay(command) => commands::project::replay::run(session, &command).await,
    }
}

/// Adds what was probably meant, if Weir refused a name.
async fn advised(session: &Session, names: &Names, error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Problem>() {
        Ok(problem) if problem.exit == Exit::Failed => match names.advice(session).await {
            Some(advice) => problem.advised(&advice).into(),
            None => problem.into(),
        },
        Ok(problem) => problem.into(),
        Err(error) => error,
    }
}

/// Whether the reader of our output has exited, which is not a failure: `weir tail ... | head`.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
