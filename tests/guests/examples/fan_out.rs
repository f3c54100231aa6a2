//! `{"ask": [BODY, ..], "take": [NUMBER, ..], "timeout_ms": N}` begins a request for each body, then waits for the next part of each number
//! in turn, and sends the result of every step, in order: `{"number": N}` for a request begun, `{"part": TEXT}`, `{"part": null}` after the
//! last one, `{"error": KIND, "reason": ..}`. Uses the contract directly.

use serde::Deserialize;
use serde_json::{Value, json};
use weir::bindings::base::weir::processor::messaging::{CallError, begin_request, next_reply};
use weir::{Json, Message};

#[derive(Deserialize)]
struct Command {
    ask: Vec<String>,
    take: Vec<u32>,
    timeout_ms: Option<u32>,
}

weir::processor!(handle, descriptor = "examples/fan_out.json");

fn handle(Json(command): Json<Command>) -> Json<Vec<Value>> {
    let begun = command.ask.into_iter().map(|body| {
        let begun = begin_request("service", &Message::new(body, "text/plain"), command.timeout_ms);
        begun.map_or_else(told, |number| json!({ "number": number }))
    });
    let mut steps: Vec<Value> = begun.collect();
    for number in command.take {
        let part = next_reply(number);
        steps.push(part.map_or_else(told, |part| json!({ "part": part.map(|part| String::from_utf8_lossy(&part.body).into_owned()) })));
    }
    Json(steps)
}

fn told(error: CallError) -> Value {
    json!({ "error": format!("{:?}", error.kind), "reason": error.reason })
}
