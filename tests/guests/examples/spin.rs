//! `{"spin": true}` is sent, which must be discarded, and then never returns; anything else is forwarded.

use serde::Deserialize;
use weir::{Json, Message, Result};

#[derive(Deserialize)]
struct Command {
    #[serde(default)]
    spin: bool,
}

weir::processor!(handle, descriptor = "examples/spin.json");

fn handle(Json(command): Json<Command>, message: Message) -> Result {
    weir::send("output", message)?;
    while std::hint::black_box(command.spin) {
        std::hint::spin_loop();
    }
    Ok(())
}
