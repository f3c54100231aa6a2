//! Fails with `busy` as often as parameter `times` says, for each message, requesting a delay of parameter `delay` milliseconds; then
//! forwards the message. Counts in its own memory, since `busy` is not an attempt: a new instance starts again.

use serde::Deserialize;
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;
use weir::{Failure, Message, Params, Result, context};

#[derive(Deserialize)]
struct Settings {
    times: u32,
    delay: u64,
}

thread_local! {
    static SEEN: RefCell<HashMap<String, u32>> = RefCell::default();
}

weir::processor!(handle, descriptor = "examples/busy.json");

fn handle(Params(settings): Params<Settings>, message: Message) -> Result {
    weir::send("output", message)?;
    let seen = SEEN.with_borrow_mut(|seen| {
        let seen = seen.entry(context::message_id()).or_default();
        *seen += 1;
        *seen
    });
    if seen > settings.times {
        return Ok(());
    }
    let reason = format!("busy for the {seen}. time, in attempt {}", context::attempt());
    Err(Failure::busy(reason).after(Duration::from_millis(settings.delay)))
}
