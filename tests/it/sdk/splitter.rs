//! The splitter in a host: whole documents in, countable chunks out.

use serde_json::{Value, json};

use super::plugin::Plugins;

async fn start(parameters: &[(&str, &str)]) -> Plugins {
    Plugins::start(&[("splitter", parameters)]).await
}

/// All chunks of the next document: as many as the first one states.
async fn chunks_of(splitter: &Plugins) -> Vec<Value> {
    let first = splitter.next().await;
    let count = first["count"].as_u64().unwrap();
    let mut chunks = vec![first];
    for _ in 1..count {
        chunks.push(splitter.next().await);
    }
    chunks
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_becomes_chunks_that_can_be_counted() {
    let splitter = start(&[("size", "40"), ("overlap", "0")]).await;
    let text = "The first sentence is here. The second one, too.\n\nÜber this paragraph: nothing.";
    splitter.send(&json!({ "id": "a", "title": "A", "text": text })).await;
    let chunks = chunks_of(&splitter).await;
    let texts: Vec<_> = chunks.iter().map(|chunk| chunk["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["The first sentence is here.", "The second one, too.", "Über this paragraph: nothing."]);
    for (index, chunk) in chunks.iter().enumerate() {
        assert_eq!(
            (&chunk["document"], &chunk["title"], &chunk["index"], &chunk["count"]),
            (&json!("a"), &json!("A"), &json!(index), &json!(3))
        );
        let start = usize::try_from(chunk["start"].as_u64().unwrap()).unwrap();
        assert!(text.chars().skip(start).collect::<String>().starts_with(texts[index]));
    }
    splitter.send(&json!({ "id": "empty", "text": " \n" })).await;
    assert_eq!(chunks_of(&splitter).await, [json!({ "document": "empty", "index": 0, "count": 1, "start": 0, "text": "" })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_nearly_four_mebibytes_is_split_within_the_usual_limits() {
    let splitter = start(&[("size", "8000"), ("overlap", "500")]).await;
    let text = "Nothing is lost, and nothing is doubled. Neither is anything cut in the middle of a word.\n".repeat((4 << 20) / 93);
    assert!(text.len() > 3_900_000);
    splitter.send(&json!({ "id": "large", "text": text })).await;
    let chunks = chunks_of(&splitter).await;
    assert!(chunks.len() > 500, "{} chunks", chunks.len());
    assert!(chunks.iter().enumerate().all(|(index, chunk)| chunk["index"] == index));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_with_too_many_chunks_is_refused_with_the_fix() {
    let splitter = start(&[("size", "100"), ("overlap", "0")]).await;
    splitter.send(&json!({ "id": "many", "text": "Short. ".repeat(30_000) })).await;
    let reason = splitter.dead_letter().await;
    for word in ["`many`", "number 1001", "`size`"] {
        assert!(reason.contains(word), "{reason}");
    }
    splitter.send(&json!({ "id": 7, "text": "" })).await;
    let reason = splitter.dead_letter().await;
    assert!(reason.contains("field `id`") && reason.contains("line 1"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn contradictory_parameters_are_shown_in_the_status() {
    let splitter = start(&[("size", "100"), ("overlap", "80")]).await;
    splitter.status_says("`overlap` is 80").await;
}
