//! The processor that docs/writing-a-processor.md begins with.
#![allow(missing_docs, reason = "an author's first crate has none")]

use serde::{Deserialize, Serialize};
use weir::{Failure, Json, Params, Result};

weir::processor!(count, descriptor = "examples/word_counter.json");

#[derive(Deserialize)]
struct Document {
    id: String,
    text: String,
}

#[derive(Deserialize)]
struct Settings {
    shortest: usize,
}

#[derive(Serialize)]
struct Counted {
    id: String,
    words: usize,
    longest: String,
}

fn count(Params(settings): Params<Settings>, Json(document): Json<Document>) -> Result<Json<Counted>> {
    let Document { id, text } = document;
    let letters = |word: &&str| word.chars().count();
    let words: Vec<&str> = text.split_whitespace().filter(|word| letters(word) >= settings.shortest).collect();
    let Some(longest) = words.iter().max_by_key(|word| letters(word)) else {
        return Err(Failure::reject(format!("field `text` of `{id}` has no word of {} letters or more", settings.shortest)));
    };
    Ok(Json(Counted { words: words.len(), longest: (*longest).to_owned(), id }))
}

#[cfg(test)]
mod tests {
    use weir::testing::json;
    use weir::{Json, Verdict};

    #[test]
    fn words_are_counted() {
        let mut kit = weir::testing::kit!();
        kit.parameter("shortest", "3");
        let handled = kit.handle("input", Json(json!({ "id": "a", "text": "to be or not to be" })));
        assert_eq!(handled.json("output"), [json!({ "id": "a", "words": 1, "longest": "not" })]);
    }

    #[test]
    fn a_text_without_words_is_rejected() {
        let handled = weir::testing::kit!().handle("input", Json(json!({ "id": "a", "text": " " })));
        assert_eq!(handled.failure().map(|failure| failure.verdict()), Some(Verdict::Reject));
    }
}
