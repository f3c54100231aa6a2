//! Rejects its setup for the reason in parameter `refuse`, traps in `configure` if that is `trap`, never returns from it if it is `spin`;
//! otherwise forwards messages, with the changed config types that `configure` saw in property `configured`.

use std::cell::RefCell;
use weir::{Message, Result, context};

thread_local! {
    static CONFIGURED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

weir::processor!(handle, setup = configure, descriptor = "examples/setup_refused.json");

fn configure(changed: &[String]) -> Result<(), String> {
    CONFIGURED.with_borrow_mut(|configured| configured.push(changed.join("+")));
    match context::parameter("refuse").as_deref() {
        None => Ok(()),
        Some("trap") => panic!("told to trap"),
        Some("spin") => loop {
            std::hint::spin_loop();
        },
        Some(reason) => Err(reason.to_owned()),
    }
}

fn handle(message: Message) -> Message {
    message.with_property("configured", CONFIGURED.with_borrow(|configured| configured.join(",")))
}
