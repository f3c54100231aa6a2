//! Forwards `{"number": N}`; at the first attempt of some numbers it traps instead, and for others it requests an immediate retry.

use serde::Deserialize;
use std::time::Duration;
use weir::{Failure, Json, Message, Result, context};

#[derive(Deserialize)]
struct Numbered {
    number: u32,
}

weir::processor!(handle, descriptor = "examples/fickle.json");

fn handle(Json(Numbered { number }): Json<Numbered>, message: Message) -> Result<Message> {
    let is_first = context::attempt() == 1;
    assert!(!(is_first && number % 401 == 13), "told to trap");
    if is_first && number % 29 == 7 {
        return Err(Failure::retry("told to fail").after(Duration::from_millis(2)));
    }
    Ok(message)
}
