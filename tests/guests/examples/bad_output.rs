//! Sends messages that cannot be sent, and reports the errors: to an undeclared output, with each property reserved for the host, and a
//! reply without a request.

use serde_json::{Map, Value, json};
use weir::{Json, Message, Result};

weir::processor!(handle, descriptor = "examples/bad_output.json");

fn handle() -> Json<Map<String, Value>> {
    let mut report = Map::new();
    let mut note = |what: &str, attempt: Result| {
        let outcome = match attempt {
            Ok(()) => json!("sent"),
            Err(failure) => json!({ "kind": format!("{:?}", failure.call_error()), "reason": failure.reason() }),
        };
        report.insert(what.to_owned(), outcome);
    };
    note("unknown", weir::send("no-such-output", Json(1)));
    note("input", weir::send("input", Json(1)));
    for name in ["weir-origin", "traceparent", "tracestate", "id"] {
        let message = Message::new("1", "application/json").with_property(name, "forged");
        note(name, weir::send("output", message));
    }
    note("reply", weir::reply(Json(1)));
    note("request", weir::request::<Message>("no-such-service", Json(1)).map(drop));
    Json(report)
}
