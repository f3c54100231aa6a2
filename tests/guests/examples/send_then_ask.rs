//! Sends each message on, then asks `service` with the same body: it is in flight until that is answered.

use weir::{Message, Result};

weir::processor!(handle, descriptor = "examples/send_then_ask.json");

fn handle(message: Message) -> Result {
    let question = Message { properties: Vec::new(), ..message.clone() };
    weir::send("output", message)?;
    weir::request("service", question).map(|_: Message| ())
}
