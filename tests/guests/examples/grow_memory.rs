//! `{"grow_bytes": N}` takes N bytes of memory and keeps them until the instance ends, `{"grow": true}` takes more and more until it dies;
//! each message that it survives is forwarded.

use serde::Deserialize;
use std::cell::RefCell;
use weir::{Json, Message, Result};

#[derive(Deserialize)]
struct Command {
    #[serde(default)]
    grow: bool,
    #[serde(default)]
    grow_bytes: usize,
}

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

weir::processor!(handle, descriptor = "examples/grow_memory.json");

fn handle(Json(command): Json<Command>, message: Message) -> Result {
    weir::send("output", message)?;
    keep(command.grow_bytes);
    if command.grow {
        loop {
            keep(1 << 20);
        }
    }
    Ok(())
}

fn keep(bytes_count: usize) {
    // Ones, since zeros could be allocated without touching the memory.
    KEPT.with_borrow_mut(|kept| kept.push(vec![1; bytes_count]));
}
