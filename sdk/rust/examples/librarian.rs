//! Answers to requests, as docs/writing-a-processor.md shows them.
#![allow(missing_docs, reason = "an author's first crate has none")]

use weir::{Json, Reply, ReplyParts};

weir::processor! { "count" => count, "lines" => lines, descriptor = "examples/librarian.json" }

/// One message is the whole answer.
fn count(Json(text): Json<String>) -> Reply<Json<usize>> {
    Reply(Json(text.lines().count()))
}

/// Sends one part per line as soon as it is produced, and marks the last.
fn lines(Json(text): Json<String>) -> ReplyParts<impl Iterator<Item = Json<String>>> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    ReplyParts(lines.into_iter().map(Json))
}

#[cfg(test)]
mod tests {
    use weir::Json;
    use weir::testing::json;

    #[test]
    fn lines_are_counted_and_sorted() {
        let mut kit = weir::testing::kit!();
        assert_eq!(kit.handle("count", Json("b\na")).reply_json(), [json!(2)]);
        let handled = kit.handle("lines", Json("b\na"));
        assert_eq!(handled.reply_json(), [json!("a"), json!("b")]);
        assert!(handled.is_answered());
    }
}
