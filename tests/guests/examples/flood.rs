//! `{"flood": true}` writes to the log and to stderr and never returns; anything else is forwarded.

use serde::Deserialize;
use weir::{Json, Message, Result, log};

#[derive(Deserialize)]
struct Command {
    #[serde(default)]
    flood: bool,
}

weir::processor!(handle, descriptor = "examples/flood.json");

fn handle(Json(command): Json<Command>, message: Message) -> Result {
    while std::hint::black_box(command.flood) {
        log::info("a line of the flood").write();
        eprintln!("a line of the flood");
    }
    weir::send("output", message)
}
