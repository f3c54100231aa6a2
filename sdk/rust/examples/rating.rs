//! Several requests under way, as docs/writing-a-processor.md shows them.
#![allow(missing_docs, reason = "an author's first crate has none")]

use serde::{Deserialize, Serialize};
use weir::{Json, Result};

weir::processor!(rate, descriptor = "examples/rating.json");

#[derive(Deserialize)]
struct Document {
    id: String,
    text: String,
}

#[derive(Serialize)]
struct Rated {
    id: String,
    language: String,
    score: f64,
}

fn rate(Json(document): Json<Document>) -> Result<Json<Rated>> {
    let language = weir::begin_request("language", Json(&document.text), None)?;
    let score = weir::begin_request("model", Json(&document.text), None)?;
    // Both requests are now in flight.
    let Json(language) = language.read()?;
    let Json(score) = score.read()?;
    Ok(Json(Rated { id: document.id, language, score }))
}

#[cfg(test)]
mod tests {
    use weir::testing::{Answer, json};
    use weir::{ErrorKind, Json, Verdict};

    #[test]
    fn both_services_receive_requests() {
        let mut kit = weir::testing::kit!();
        kit.answer("language", |_| Json("de")).answer("model", |_| Json(0.5));
        let handled = kit.handle("input", Json(json!({ "id": "a", "text": "Guten Tag" })));
        assert_eq!(handled.json("output"), [json!({ "id": "a", "language": "de", "score": 0.5 })]);
        assert_eq!(handled.requests().len(), 2);

        kit.answer("model", |_| Answer::error(ErrorKind::Timeout, "no answer in 5000 ms"));
        let handled = kit.handle("input", Json(json!({ "id": "a", "text": "Guten Tag" })));
        assert_eq!(handled.failure().map(|failure| failure.verdict()), Some(Verdict::Retry));
    }
}
