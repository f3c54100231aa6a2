//! Calls every function of 0.1.0, and sends the results; a request is answered in two parts. Built into `kept/whole-0.1.0.wasm` when 0.1.0
//! was published: the tests load that file forever, and this one shows its content.
#![allow(missing_docs, unsafe_code, clippy::all, reason = "bare bindings, as another language would have them")]

wit_bindgen::generate!({ path: "wit-versions/processor-0.1.0.wit", world: "configurable-processor" });

use self::weir::processor::delivery::Verdict;
use self::weir::processor::messaging::{CallError, Part};
use self::weir::processor::{config, context, log, messaging};
use exports::weir::processor::{handler, setup};
use handler::{Failure, Message};
use std::cell::RefCell;

struct Whole;

thread_local! {
    static CONFIGURED: RefCell<String> = const { RefCell::new(String::new()) };
}

impl setup::Guest for Whole {
    fn configure(changed: Vec<String>) -> Result<(), String> {
        CONFIGURED.with_borrow_mut(|configured| *configured = changed.join("+"));
        Ok(())
    }
}

impl handler::Guest for Whole {
    fn handle(input: String, message: Message) -> Result<(), Failure> {
        if input == "request" {
            messaging::reply(&text("one"), Part::More).map_err(failed)?;
            return messaging::reply(&text("two"), Part::Last).map_err(failed);
        }
        let parts = messaging::request("service", &message, Some(20_000)).map_err(failed)?;
        let number = messaging::begin_request("service", &message, None).map_err(failed)?;
        let next = messaging::next_reply(number).map_err(failed)?.map(|part| part.body).unwrap_or_default();
        if log::enabled(log::Level::Info) {
            log::write(log::Level::Info, "whole", &[("number".to_owned(), number.to_string())]);
        }
        let told = [
            context::processor(),
            context::flow(),
            context::variant(),
            context::deployment(),
            context::parameter("size").unwrap_or_default(),
            context::parameters().len().to_string(),
            context::outputs().join("+"),
            context::message_id().len().to_string(),
            context::attempt().to_string(),
            (context::remaining_ms() > 0).to_string(),
            config::get("settings", "a").unwrap_or_default(),
            config::keys("settings").join("+"),
            (config::version("settings") > 0).to_string(),
            CONFIGURED.with_borrow(String::clone),
            parts.len().to_string(),
            String::from_utf8_lossy(&next).into_owned(),
        ];
        messaging::send("output", &text(&told.join(" "))).map_err(failed)
    }
}

fn text(text: &str) -> Message {
    Message { body: text.as_bytes().to_vec(), content_type: Some("text/plain".to_owned()), properties: Vec::new() }
}

fn failed(error: CallError) -> Failure {
    Failure { verdict: Verdict::Reject, reason: error.reason, delay_ms: None }
}

export!(Whole);

#[used]
#[unsafe(link_section = "weir:descriptor")]
static DESCRIPTOR: [u8; include_bytes!("whole_0_1_0.json").len()] = *include_bytes!("whole_0_1_0.json");
