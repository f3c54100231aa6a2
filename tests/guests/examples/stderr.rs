//! `{"stdout": TEXT, "stderr": TEXT, "log": TEXT}` writes the texts there; then the message is forwarded, or fails with a retry if it
//! contains `"fail": true`, or panics if it contains `"panic": true`.

use serde::Deserialize;
use weir::{Failure, Json, Message, Result, log};

#[derive(Deserialize)]
struct Command {
    stdout: Option<String>,
    stderr: Option<String>,
    log: Option<String>,
    #[serde(default)]
    fail: bool,
    #[serde(default)]
    panic: bool,
}

weir::processor!(handle, descriptor = "examples/stderr.json");

fn handle(Json(command): Json<Command>, message: Message) -> Result {
    if let Some(text) = command.stdout {
        println!("{text}");
    }
    if let Some(text) = command.stderr {
        eprintln!("{text}");
    }
    if let Some(text) = command.log {
        log::info(&text).with("bytes", message.body.len()).write();
    }
    assert!(!command.panic, "told to panic");
    if command.fail { Err(Failure::retry("told to fail")) } else { weir::send("output", message) }
}
