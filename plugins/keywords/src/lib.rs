//! Ranks the key terms of texts by YAKE, from each text alone: without a model or corpus, and with the same result for the same text.
//!
//! R. Campos, V. Mangaravite, A. Pasquali, A. Jorge, C. Nunes, A. Jatowt: YAKE! Keyword extraction from single documents using multiple
//! local features. Information Sciences 509 (2020), 257-289.

mod candidates;
mod message;
mod settings;
mod similarity;
mod tokens;
mod vocabulary;

pub use candidates::{Keyword, keywords};
pub use message::{Fields, keywords_of};
pub use settings::{Settings, Text};

use weir::{Failure, Json, Params, Result};

weir::processor!(handle, setup = check);

/// Reports wrong parameters before the first message, and prepares the stop words.
fn check(_changed: &[String]) -> Result {
    Params::<Settings>::get().map(drop)
}

fn handle(Params(settings): Params<Settings>, Json(fields): Json<Fields>) -> Result<Json<Fields>> {
    keywords_of(fields, &settings).map(Json).map_err(Failure::reject)
}
