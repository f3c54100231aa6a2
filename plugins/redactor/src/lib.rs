//! Removes personal data and secrets from texts, and reports how many finds there were, never what they were.
//!
//! Everything is recognized by its form alone: see the README for what is, and what is not.

mod find;
mod kind;
mod message;
mod redact;
mod region;
mod settings;

pub use kind::Kind;
pub use message::{Fields, redact_message};
pub use redact::{Counts, redact};
pub use region::Region;
pub use settings::{Replacement, Settings};

use weir::{Failure, Json, Params, Result};

weir::processor!(handle, setup = check);

/// Reports wrong parameters before the first message.
fn check(_changed: &[String]) -> Result {
    Params::<Settings>::get().map(drop)
}

fn handle(Params(settings): Params<Settings>, Json(fields): Json<Fields>) -> Result<Json<Fields>> {
    redact_message(fields, &settings).map(Json).map_err(Failure::reject)
}
