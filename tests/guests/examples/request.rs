//! Sends the body of each message as a request to `service` and sends the answer's parts as `{"parts": [..]}`, or `{"error": KIND,
//! "reason": ..}`. A property `timeout-ms` shortens the time-out.

use serde_json::{Value, json};
use std::time::Duration;
use weir::{Json, Message, Result};

weir::processor!(handle, descriptor = "examples/request.json");

fn handle(message: Message) -> Result<Json<Value>> {
    let timeout = message.property("timeout-ms").map(str::parse).transpose()?.map(Duration::from_millis);
    let question = Message { properties: Vec::new(), ..message };
    let parts = match weir::request_parts("service", question, timeout) {
        Ok(parts) => parts,
        Err(failure) => return Ok(Json(json!({ "error": format!("{:?}", failure.call_error()), "reason": failure.reason() }))),
    };
    let parts = parts.iter().map(|part| part.text().map(str::to_owned)).collect::<Result<Vec<_>>>()?;
    Ok(Json(json!({ "parts": parts })))
}
