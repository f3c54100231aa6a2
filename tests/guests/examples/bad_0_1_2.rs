//! Built against a version that broke compatibility: a record has one more field.
#![allow(missing_docs, unsafe_code, clippy::all, reason = "bare bindings, as another language would have them")]

wit_bindgen::generate!({ path: "wit-versions/processor-0.1.2-bad.wit", world: "processor" });

use self::weir::processor::{context, delivery::Verdict, messaging};
use exports::weir::processor::handler::{Failure, Guest, Message};

struct Echo;

impl Guest for Echo {
    fn handle(_input: String, message: Message) -> Result<(), Failure> {
        let _ = context::traceparent();
        messaging::send("output", &message).map_err(|error| Failure { verdict: Verdict::Reject, reason: error.reason, delay_ms: None })
    }
}

export!(Echo);

#[used]
#[unsafe(link_section = "weir:descriptor")]
static DESCRIPTOR: [u8; include_bytes!("bad_0_1_2.json").len()] = *include_bytes!("bad_0_1_2.json");
