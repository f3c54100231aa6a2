//! One file per group of commands.

pub(crate) mod blueprint;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod dead_letters;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod flow;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod queues;
pub(crate) mod request;
pub(crate) mod send;
pub(crate) mod settings;
pub(crate) mod status;
pub(crate) mod suggest;
pub(crate) mod swap;
pub(crate) mod tail;
pub(crate) mod up;

use std::io::{Read, Write};
use std::path::Path;

use crate::client::Client;
use crate::output::Format;
use crate::problem::{Exit, Problem};

/// What every command but `up` works with.
pub(crate) struct Session {
    /// The gateway.
    pub(crate) client: Client,
    /// How to print.
    pub(crate) format: Format,
}

/// Reads a whole file, or standard input for `-`.
pub(crate) fn read_input(file: &Path) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let (read, name) = if file == Path::new("-") {
        (std::io::stdin().lock().read_to_end(&mut bytes).map(|_| ()), "standard input".to_owned())
    } else {
        (std::fs::read(file).map(|content| bytes = content), file.display().to_string())
    };
    read.map(|()| bytes).map_err(|error| Problem::new(Exit::NoInput, format!("{name} cannot be read")).because(error))
}

/// Checks that bytes are one JSON text before they are sent anywhere.
pub(crate) fn check_json(bytes: &[u8], what: &str) -> Result<(), Problem> {
    match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(Problem::new(Exit::BadInput, format!("{what} is not JSON")).because(error)),
    }
}

/// Says something to people beside the output, on standard error.
pub(crate) fn tell(text: &str) {
    // Where standard error is closed there is nobody to tell.
    drop(writeln!(anstream::stderr().lock(), "{text}"));
}
