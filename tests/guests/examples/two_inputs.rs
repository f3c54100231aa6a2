//! Two inputs with a handler each: messages from `input` are forwarded unchanged, those from `control` as `{"control": BODY}`.

use serde_json::{Value, json};
use weir::{Json, Message};

weir::processor! { "input" => data, "control" => control, descriptor = "examples/two_inputs.json" }

fn data(message: Message) -> Message {
    message
}

fn control(Json(body): Json<Value>) -> Json<Value> {
    Json(json!({ "control": body }))
}
