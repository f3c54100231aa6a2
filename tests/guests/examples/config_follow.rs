//! Keeps the value of key `a` in config type `settings` whenever `configure` is called, and rejects the value `bad`. For each message it
//! calls `service` in the middle and sends what it kept, what it reads before and after, and which types each `configure` named; and that
//! `configure` could not send anything.

use serde_json::{Value, json};
use std::cell::RefCell;
use weir::{Json, Result, config};

#[derive(Default)]
struct State {
    kept: Option<String>,
    configured: Vec<String>,
    sent: String,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

weir::processor!(handle, setup = configure, descriptor = "examples/config_follow.json");

fn configure(changed: &[String]) -> Result<(), String> {
    let value = config::get("settings", "a");
    STATE.with_borrow_mut(|state| {
        state.configured.push(changed.join("+"));
        state.sent = weir::send("output", Json(1)).map_or_else(|failure| format!("{:?}", failure.call_error()), |()| "sent".to_owned());
        if value.as_deref() == Some("bad") {
            return Err("the value of `a` is bad".to_owned());
        }
        state.kept = value;
        Ok(())
    })
}

fn handle() -> Result<Json<Value>> {
    let read = || json!({ "a": config::get("settings", "a"), "version": config::version("settings"), "keys": config::keys("settings") });
    let before = read();
    weir::request_parts("service", Json("go on?"), None)?;
    let after = read();
    STATE.with_borrow(|state| {
        Ok(Json(json!({ "kept": state.kept, "before": before, "after": after, "configured": state.configured, "sent": state.sent })))
    })
}
