//! Sends, and then fails with a retry, until the attempt that parameter `until` names; that one returns ok. What the failed attempts sent
//! must not leave. Parameter `delay` is the delay in milliseconds that the failures ask for.

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
