//! Sends, and then fails with a retry, until the attempt given by parameter `until`, which returns ok. Messages sent by the failed attempts
//! must be discarded. Parameter `delay` is the delay in milliseconds that the failures request.

use serde::Deserialize;
use std::time::Duration;
use weir::{Failure, Message, Params, Result, context};

#[derive(Deserialize)]
struct Settings {
    until: u32,
    delay: Option<u64>,
}

weir::processor!(handle, descriptor = "examples/retry.json");

fn handle(Params(settings): Params<Settings>, message: Message) -> Result {
    weir::send("output", message)?;
    let attempt = context::attempt();
    if attempt >= settings.until {
        return Ok(());
    }
    let failure = Failure::retry(format!("attempt {attempt} of {}", settings.until));
    Err(match settings.delay {
        Some(delay) => failure.after(Duration::from_millis(delay)),
        None => failure,
    })
}
