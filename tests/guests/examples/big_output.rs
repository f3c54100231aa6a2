//! `{"count": N, "bytes": M}` sends N messages of M bytes each; the failure of a send is returned. For the limits on what one message may
//! send.

use serde::Deserialize;
use weir::{Json, Message, Result};

#[derive(Deserialize)]
struct Command {
    #[serde(default = "one")]
    count: usize,
    #[serde(default)]
    bytes: usize,
}

fn one() -> usize {
    1
}

weir::processor!(handle, descriptor = "examples/big_output.json");

fn handle(Json(command): Json<Command>) -> Result {
    weir::send_all("output", (0..command.count).map(|_| Message::new(vec![b'x'; command.bytes], "text/plain")))
}
