//! Sends its context: where it runs and what it works on.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use weir::{Input, Json, Message, context};

weir::processor!(handle, descriptor = "examples/inspect_context.json");

fn handle(Input(input): Input, message: Message) -> Json<Value> {
    Json(json!({
        "input": input,
        "processor": context::processor(),
        "flow": context::flow(),
        "variant": context::variant(),
        "deployment": context::deployment(),
        "parameters": context::parameters().into_iter().collect::<BTreeMap<_, _>>(),
        "outputs": context::outputs(),
        "message_id": context::message_id(),
        "attempt": context::attempt(),
        "remaining_ms": u64::try_from(context::remaining().as_millis()).unwrap_or(u64::MAX),
        "content_type": message.content_type,
        "properties": message.properties.into_iter().collect::<BTreeMap<_, _>>(),
    }))
}
