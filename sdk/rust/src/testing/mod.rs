//! The test kit: a processor in a plain `cargo test`, without a host. Not available in wasm.
//!
//! [`kit!`] creates a [`Kit`] from the processor defined by [`processor!`](crate::processor!), and [`Kit::handle`] passes it a message as a
//! host would: by the name of the input, with the parameters, the configuration and the descriptor beside Cargo.toml. The outcome is
//! [`Handled`]: outputs, the parts of an answer, requests, log lines, the failure.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use weir::{Failure, Json, Params, Result};
//!
//! weir::processor!(shout, descriptor = "examples/shout.json");
//!
//! #[derive(Deserialize, Serialize)]
//! struct Document {
//!     text: String,
//! }
//!
//! #[derive(Deserialize)]
//! struct Settings {
//!     prefix: String,
//! }
//!
//! fn shout(Json(document): Json<Document>, Params(settings): Params<Settings>) -> Result<Json<Document>> {
//!     if document.text.is_empty() {
//!         return Err(Failure::reject("field `text` is empty"));
//!     }
//!     Ok(Json(Document { text: settings.prefix.clone() + &document.text.to_uppercase() }))
//! }
//!
//! # fn main() {
//! // In a `#[test]`:
//! use weir::Verdict;
//! use weir::testing::json;
//!
//! let mut kit = weir::testing::kit!();
//! kit.parameter("prefix", "> ");
//! let handled = kit.handle("input", Json(json!({ "text": "hello" })));
//! assert_eq!(handled.json("output"), [json!({ "text": "> HELLO" })]);
//!
//! let handled = kit.handle("input", Json(json!({ "text": "" })));
//! assert_eq!(handled.failure().map(|failure| failure.verdict()), Some(Verdict::Reject));
//! # }
//! ```
//!
//! The kit applies the rules of the real host, with the same error messages: anything not in the descriptor is refused, parameters have
//! their defaults and are checked against their types, nothing is sent when the handler fails, and messages and their number are limited.
//! It has no sandbox, no time (the clock stands still: [`Kit::time_left`]), no memory limits, no topics of classes other than `flow` for
//! outputs, and no new instances: your own statics keep their values. A panic, which ends an attempt in a host, fails the test.

mod answer;
mod bounds;
mod descriptor;
mod handled;
pub(crate) mod imports;
mod instance;
mod kit;
mod limits;
mod manifest;
mod processor;
mod wording;

pub use crate::__kit as kit;
pub use answer::Answer;
pub use handled::{Handled, LogLine, Sent};
pub(crate) use instance::look;
pub use kit::Kit;
#[doc(hidden)]
pub use processor::Processor;
#[doc(no_inline)]
pub use serde_json::json;
