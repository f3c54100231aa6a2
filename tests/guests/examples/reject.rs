//! `{"reject": REASON}` is sent on, which must not leave, and rejected for that reason; anything else is sent on. What is no JSON object is
//! rejected by the SDK.

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
