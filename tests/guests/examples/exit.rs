//! `{"exit": CODE}` is sent, which must be discarded, and then ends the instance with that code, 0 or another; anything else is
//! forwarded.

use serde::Deserialize;
use weir::{Json, Message, Result};

#[derive(Deserialize)]
struct Command {
    exit: Option<i32>,
}

weir::processor!(handle, descriptor = "examples/exit.json");

fn handle(Json(command): Json<Command>, message: Message) -> Result {
    weir::send("output", message)?;
    if let Some(code) = command.exit {
        #[allow(clippy::disallowed_methods, reason = "this is what the guest shows")]
        std::process::exit(code);
    }
    Ok(())
}
