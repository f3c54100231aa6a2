//! Answers a request in two parts: `"asking"` immediately, then the answer of `service` to the same body.

use weir::{Json, Message, Result};

weir::processor!(handle, descriptor = "examples/relay.json");

fn handle(question: Message) -> Result {
    weir::reply_part(Json("asking"))?;
    let answer: Message = weir::request("service", Message { properties: Vec::new(), ..question })?;
    weir::reply(Message { properties: Vec::new(), ..answer })
}
