//! `{"reject": REASON}` is sent, which must be discarded, and rejected for that reason; anything else is forwarded. Messages that are not
//! JSON objects are rejected by the SDK.

use serde::Deserialize;
use weir::{Failure, Json, Message, Result};

#[derive(Deserialize)]
struct Command {
    reject: Option<String>,
}

weir::processor!(handle, descriptor = "examples/reject.json");

fn handle(Json(command): Json<Command>, message: Message) -> Result {
    weir::send("output", message)?;
    command.reject.map_or(Ok(()), |reason| Err(Failure::reject(reason)))
}
