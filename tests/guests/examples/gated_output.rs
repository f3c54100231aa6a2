//! As `big_output`; with `"gated": true` it first asks `service`, and sends once that has answered. For tests that decide how many
//! messages are begun at the same time.

use serde::Deserialize;
use weir::{Json, Message, Result};

#[derive(Deserialize)]
struct Command {
    count: usize,
    bytes: usize,
    #[serde(default)]
    gated: bool,
}

weir::processor!(handle, descriptor = "examples/gated_output.json");

fn handle(Json(command): Json<Command>) -> Result {
    if command.gated {
        let _: Message = weir::request("service", Message::new("ready", "text/plain"))?;
    }
    weir::send_all("output", (0..command.count).map(|_| Message::new(vec![b'x'; command.bytes], "text/plain")))
}
