//! Write message processors for Weir.
//!
//! A processor takes messages from queues, one at a time, and sends others. It is a function; its parameters and return type say how:
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use weir::{Failure, Json, Params, Result};
//!
//! #[derive(Deserialize, Serialize)]
//! struct Document {
//!     id: String,
//!     text: String,
//! }
//!
//! #[derive(Deserialize)]
//! struct Settings {
//!     prefix: String,
//! }
//!
//! weir::processor!(shout);
//!
//! fn shout(Json(document): Json<Document>, Params(settings): Params<Settings>) -> Result<Json<Document>> {
//!     if document.text.is_empty() {
//!         return Err(Failure::reject("field `text` is empty"));
//!     }
//!     Ok(Json(Document { text: settings.prefix.clone() + &document.text.to_uppercase(), ..document }))
//! }
//! ```
//!
//! The file `descriptor.json` beside Cargo.toml names the inputs, outputs and parameters; [`processor!`] embeds it:
//!
//! ```json
#![doc = include_str!("../examples/shout.json")]
//! ```
//!
//! The crate is a `cdylib`, built by `cargo build --release --target wasm32-wasip2`. What the host does around the function (queues,
//! acknowledgement, retries, dead letters, limits on memory and time) needs no code of yours: outputs are sent together with the
//! acknowledgement when the function returns ok, or not at all.
//!
//! | for | use |
//! |---|---|
//! | parameters of a handler | [`Json`], [`Text`], [`Params`], [`Input`], [`Message`], your own [`FromMessage`] |
//! | return values | `()`, [`Json`], [`Text`], [`Message`], `Option`, `Vec`, [`Reply`], [`ReplyParts`], [`Result`] |
//! | sending | [`send`], [`send_all`] |
//! | requesting | [`request()`], [`request_parts`]; several services at once by [`begin_request`] |
//! | answering | [`Reply`], [`ReplyParts`]; step by step by [`reply`] and [`reply_part`] |
//! | failing | [`Failure::retry`], [`Failure::busy`], [`Failure::reject`], `?` |
//! | configuration, parsed once | [`config::parsed`], [`config::parsed_all`] |
//! | the rest | [`context`], [`log`], `setup` in [`processor!`] |
//! | tests without a host | [`testing`] |
//!
//! Minimum Rust version: 1.95; a patch release never raises it.

#[doc(hidden)]
pub mod bindings;
pub mod config;
pub mod context;
mod extract;
mod failure;
mod handler;
mod imports;
mod json;
mod kept;
pub mod log;
mod message;
mod messaging;
mod outcome;
mod parameter;
mod params;
mod processor;
mod replies;
mod reply;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod time;

pub use extract::{FromMessage, Incoming, Input, Json, Text};
pub use failure::{ErrorKind, Failure, Result, Verdict};
pub use handler::Handler;
pub use message::{IntoMessage, Message};
pub use messaging::{request, request_parts, send, send_all};
pub use outcome::Outcome;
pub use params::Params;
pub use replies::{Replies, begin_request};
pub use reply::{IntoPart, Reply, ReplyParts, reply, reply_part};

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

#[cfg(doctest)]
mod guides;
