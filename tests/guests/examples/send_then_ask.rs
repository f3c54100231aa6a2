//! Forwards each message, then sends a request with the same body to `service`: the message is in flight until that is answered.

use weir::{Message, Result};

weir::processor!(handle, descriptor = "examples/send_then_ask.json");

fn handle(message: Message) -> Result {
    let question = Message { properties: Vec::new(), ..message.clone() };
    weir::send("output", message)?;
    weir::request("service", question).map(|_: Message| ())
}
