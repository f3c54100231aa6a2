//! Detects the language of a text: as a service that answers requests, and within a flow. `und` if it is not sure.

mod code;
mod detect;
mod message;
mod settings;

pub use detect::{Detected, report};
pub use message::{Answer, Fields, answer, labelled};
pub use settings::Settings;

use weir::{Failure, Json, Params, Reply, Result};

weir::processor! { "request" => asked, "input" => passing, setup = check }

/// Reports wrong parameters before the first message.
fn check(_changed: &[String]) -> Result {
    Params::<Settings>::get().map(drop)
}

fn asked(Params(settings): Params<Settings>, Json(question): Json<Fields>) -> Result<Reply<Json<Answer>>> {
    answer(&question, &settings).map(|answer| Reply(Json(answer))).map_err(Failure::reject)
}

fn passing(Params(settings): Params<Settings>, Json(fields): Json<Fields>) -> Result<Json<Fields>> {
    labelled(fields, &settings).map(Json).map_err(Failure::reject)
}

#[cfg(test)]
mod tests;
