//! The redactor in a host: alone, and after the splitter.

use serde_json::json;

use super::plugin::Plugins;

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_redacted_and_report_the_finds() {
    let plugins = Plugins::start(&[
        ("splitter", &[("size", "70"), ("overlap", "0")]),
        ("redactor", &[("kinds", "email,card"), ("replacement", "last-4")]),
    ])
    .await;
    let text = "Write to ada@example.com, and to bob@example.com.\n\nThe card 4111 1111 1111 1111 is lost; call +1 415-555-2671.";
    plugins.send(&json!({ "id": "a@example.com", "title": "Of ada@example.com", "text": text })).await;
    assert_eq!(
        plugins.next().await,
        json!({
            "document": "a@example.com", "title": "Of [EMAIL]", "index": 0, "count": 2, "start": 0, "redacted": { "email": 3 },
            "text": "Write to [EMAIL], and to [EMAIL].",
        })
    );
    assert_eq!(
        plugins.next().await,
        json!({
            "document": "a@example.com", "title": "Of [EMAIL]", "index": 1, "count": 2, "start": 51, "redacted": { "card": 1, "email": 1 },
            "text": "The card [CARD 1111] is lost; call +1 415-555-2671.",
        })
    );
}

/// Within the default limits on time and memory.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_of_nearly_four_mebibytes_are_redacted() {
    let plugins = Plugins::start(&[("redactor", &[])]).await;
    for (unit, kind) in [("1", "none"), ("-----BEGIN PRIVATE KEY-----", "none"), ("ada@example.com ", "email")] {
        let count = 4_000_000 / unit.len();
        plugins.send(&json!({ "text": unit.repeat(count) })).await;
        let found = plugins.next().await["redacted"][kind].as_u64().unwrap_or(0);
        assert_eq!(found, if kind == "none" { 0 } else { count as u64 }, "{unit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_text_is_refused_with_the_fix() {
    let plugins = Plugins::start(&[("redactor", &[("fields", "body")])]).await;
    plugins.send(&json!({ "text": "a@example.com" })).await;
    let reason = plugins.dead_letter().await;
    assert!(reason.contains("`body`") && reason.contains("parameter `fields`") && !reason.contains("a@example.com"), "{reason}");
    plugins.send(&json!({ "body": ["a@example.com"] })).await;
    let reason = plugins.dead_letter().await;
    assert!(reason.contains("field `body` is not text"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_kind_is_shown_in_the_status() {
    let plugins = Plugins::start(&[("redactor", &[("kinds", "email,passport")])]).await;
    plugins.status_says("parameter `kinds` contains `passport`; must be one of: private-key, token").await;
}
