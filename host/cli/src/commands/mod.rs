//! One file per group of commands.

pub(crate) mod blueprint;
pub(crate) mod completion;
pub(crate) mod components;
pub(crate) mod config;
pub(crate) mod dead_letters;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod flow;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod project;
pub(crate) mod prune;
pub(crate) mod queues;
pub(crate) mod request;
pub(crate) mod run;
pub(crate) mod send;
pub(crate) mod settings;
pub(crate) mod status;
pub(crate) mod suggest;
pub(crate) mod swap;
pub(crate) mod tail;
pub(crate) mod take;
pub(crate) mod up;

use std::io::Write;

use crate::client::Client;
use crate::output::Format;
use crate::problem::{Exit, Problem};

/// The context of every command except `up`.
pub(crate) struct Session {
    /// The gateway.
    pub(crate) client: Client,
    /// How to print.
    pub(crate) format: Format,
}

/// Checks that bytes are one JSON document before they are sent.
pub(crate) fn check_json(bytes: &[u8], what: &str) -> Result<(), Problem> {
    let wrong = |error: anyhow::Error| Problem::new(Exit::BadInput, format!("{what} is not JSON")).because(error);
    // UTF-8 within strings is not checked below.
    let text = std::str::from_utf8(bytes).map_err(|error| wrong(error.into()).next("JSON must be UTF-8: save it as UTF-8"))?;
    serde_json::from_str::<serde::de::IgnoredAny>(text).map(|_| ()).map_err(|error| wrong(error.into()))
}

/// Prints a note for people on standard error.
pub(crate) fn print_note(text: &str) {
    // A closed standard error is ignored.
    drop(writeln!(anstream::stderr().lock(), "{text}"));
}

/// The notes in an answer of the flow service, for people.
pub(crate) fn notes(answer: &serde_json::Value) -> Vec<&str> {
    answer.get("notes").and_then(serde_json::Value::as_array).into_iter().flatten().filter_map(serde_json::Value::as_str).collect()
}
