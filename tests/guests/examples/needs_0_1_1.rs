//! Built against 0.1.1, and calls its additions.
#![allow(missing_docs, unsafe_code, clippy::all, reason = "bare bindings, as another language would have them")]

wit_bindgen::generate!({ path: "wit-versions/processor-0.1.1.wit", world: "processor" });

use self::weir::processor::{context, delivery::Verdict, messaging, metrics};
use exports::weir::processor::handler::{Failure, Guest, Message};

struct Echo;

impl Guest for Echo {
    fn handle(_input: String, message: Message) -> Result<(), Failure> {
        let _ = context::traceparent();
        metrics::count("handled", 1);
        messaging::send("output", &message).map_err(|error| Failure { verdict: Verdict::Reject, reason: error.reason, delay_ms: None })
    }
}

export!(Echo);

#[used]
#[unsafe(link_section = "weir:descriptor")]
static DESCRIPTOR: [u8; include_bytes!("needs_0_1_1.json").len()] = *include_bytes!("needs_0_1_1.json");
