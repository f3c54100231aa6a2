//! Has 24 MiB of memory from its start on, and sends how many messages the instance has handled.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use weir::{Message, Result};

static TABLE: [AtomicU8; 24 << 20] = [const { AtomicU8::new(0) }; 24 << 20];
static COUNT: AtomicU32 = AtomicU32::new(0);

weir::processor!(handle, descriptor = "examples/large_start.json");

fn handle(message: Message) -> Result {
    // Indexed by a run-time value, so that the table is not optimized away.
    let read = TABLE[message.body.len()].load(Ordering::Relaxed);
    let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1 + u32::from(read);
    weir::send("output", Message::new(count.to_string(), "text/plain"))
}
