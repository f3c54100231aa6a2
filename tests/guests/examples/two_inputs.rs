//! Two inputs with a handler each: what comes from `input` goes on as it is, what comes from `control` as `{"control": BODY}`.

use serde_json::{Value, json};
use weir::{Json, Message};

weir::processor! { "input" => data, "control" => control, descriptor = "examples/two_inputs.json" }

fn data(message: Message) -> Message {
    message
}

fn control(Json(body): Json<Value>) -> Json<Value> {
    Json(json!({ "control": body }))
}
