//! Built against 0.1.1, using nothing that 0.1.0 lacks.
#![allow(missing_docs, unsafe_code, clippy::all, reason = "bare bindings, as another language would have them")]

wit_bindgen::generate!({ path: "wit-versions/processor-0.1.1.wit", world: "processor" });

use self::weir::processor::{delivery::Verdict, messaging};
use exports::weir::processor::handler::{Failure, Guest, Message};

struct Echo;

impl Guest for Echo {
    fn handle(_input: String, message: Message) -> Result<(), Failure> {
        messaging::send("output", &message).map_err(|error| Failure { verdict: Verdict::Reject, reason: error.reason, delay_ms: None })
    }
}

export!(Echo);

#[used]
#[unsafe(link_section = "weir:descriptor")]
static DESCRIPTOR: [u8; include_bytes!("built_for_0_1_1.json").len()] = *include_bytes!("built_for_0_1_1.json");
