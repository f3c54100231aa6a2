//! `{"sleep_ms": N}` waits for this time, `{"until_stopped": true}` until no time is left; then sends how much time was left before and
//! after, in milliseconds.

use serde::Deserialize;
use serde_json::{Value, json};
use std::thread::sleep;
use std::time::Duration;
use weir::{Json, context};

#[derive(Deserialize)]
struct Command {
    #[serde(default)]
    sleep_ms: u64,
    #[serde(default)]
    until_stopped: bool,
}

weir::processor!(handle, descriptor = "examples/sleep.json");

#[allow(clippy::disallowed_methods, reason = "a component may wait; it is what this one is for")]
fn handle(Json(command): Json<Command>) -> Json<Value> {
    let left_ms = || u64::try_from(context::remaining().as_millis()).unwrap_or(u64::MAX);
    let before = left_ms();
    sleep(Duration::from_millis(command.sleep_ms));
    while command.until_stopped && left_ms() > 0 {
        sleep(Duration::from_millis(5));
    }
    Json(json!({ "before": before, "after": left_ms() }))
}
