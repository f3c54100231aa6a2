//! `{"left": X, "right": Y}` sends X to `left` and Y to `right`, which is optional; a missing field is not sent.

use serde::Deserialize;
use serde_json::Value;
use weir::{Json, Result};

#[derive(Deserialize)]
struct Command {
    left: Option<Value>,
    right: Option<Value>,
}

weir::processor!(handle, descriptor = "examples/two_outputs.json");

fn handle(Json(command): Json<Command>) -> Result {
    weir::send_all("left", command.left.map(Json))?;
    weir::send_all("right", command.right.map(Json))
}
