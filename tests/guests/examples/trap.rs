//! `{"trap": true}` is sent on, which must not leave, and then traps with a word on stderr; anything else is sent on.

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
