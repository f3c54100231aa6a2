//! `{"trap": true}` is sent, which must be discarded, and then traps with a text on stderr; anything else is forwarded.

use serde::Deserialize;
use weir::{Json, Message, Result};

#[derive(Deserialize)]
struct Command {
    #[serde(default)]
    trap: bool,
}

weir::processor!(handle, descriptor = "examples/trap.json");

fn handle(Json(command): Json<Command>, message: Message) -> Result {
    weir::send("output", message)?;
    assert!(!command.trap, "told to trap");
    Ok(())
}
