//! Splits text into overlapping chunks that end where sentences or paragraphs do.
//!
//! A document becomes `count` messages, numbered from 0, and each contains `count`: receivers can check whether the document is complete. A
//! document without any text becomes one message, too, so that none disappears.

mod split;

use serde::{Deserialize, Serialize};
use split::Piece;
pub use split::{Border, Settings, TooManyPieces, pieces};
use weir::{ErrorKind, Failure, Json, Params, Result};

weir::processor!(handle, setup = check);

/// The input: a document.
#[derive(Debug, Deserialize)]
struct Document {
    id: String,
    title: Option<String>,
    text: String,
}

/// The output: one piece of a document.
#[derive(Debug, Serialize)]
struct Chunk<'a> {
    document: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    index: usize,
    count: usize,
    start: usize,
    text: &'a str,
}

/// Reports wrong parameters before the first message.
fn check(_changed: &[String]) -> Result {
    Params::<Settings>::get().map(drop)
}

fn handle(Params(settings): Params<Settings>, Json(document): Json<Document>) -> Result {
    let pieces = pieces(&document.text, &settings).map_err(|error| Failure::reject(format!("document `{}`: {error}", document.id)))?;
    for (index, piece) in pieces.iter().enumerate() {
        let chunk = chunk(&document, index, pieces.len(), piece);
        weir::send("output", Json(chunk)).map_err(|failure| explain(failure, &document.id, index, pieces.len()))?;
    }
    Ok(())
}

fn chunk<'a>(document: &'a Document, index: usize, count: usize, piece: &Piece) -> Chunk<'a> {
    Chunk {
        document: &document.id,
        title: document.title.as_deref(),
        index,
        count,
        start: piece.start_chars,
        text: &document.text[piece.bytes.clone()],
    }
}

/// A document is sent as a whole or not at all. The host's error names the limit that was reached; this adds the fix.
fn explain(failure: Failure, document: &str, index: usize, count: usize) -> Failure {
    if failure.call_error() != Some(ErrorKind::Invalid) {
        return failure;
    }
    Failure::reject(format!(
        "document `{document}` produces {count} chunks, and number {} exceeds the deployment's limits: {failure}. A larger `size` produces \
             fewer chunks, a smaller `overlap` fewer bytes",
        index + 1
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_names_its_origin() {
        let document = Document { id: "a".to_owned(), title: None, text: "Zwölf Bäume.\n\nUnd dreizehn.".to_owned() };
        let settings = Settings::new(16, 0, Border::Paragraph).unwrap();
        let pieces = pieces(&document.text, &settings).unwrap();
        let second = chunk(&document, 1, pieces.len(), &pieces[1]);
        assert_eq!((second.document, second.index, second.count, second.start, second.text), ("a", 1, 2, 14, "Und dreizehn."));
    }
}
