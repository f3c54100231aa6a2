//! The keywords in a host, behind the splitter and the redactor.

use serde_json::{Value, json};

use super::plugin::Plugins;

fn terms(message: &Value) -> Vec<&str> {
    message["keywords"].as_array().unwrap().iter().map(|keyword| keyword["term"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn redacted_chunks_are_ranked() {
    let plugins = Plugins::start(&[("splitter", &[]), ("redactor", &[]), ("keywords", &[("count", "4"), ("words", "2")])]).await;
    let text = "The broker keeps messages in durable queues. Write to ada@example.com or ada@example.com about it. \
                Durable queues survive a crash. Is ada@example.com right about durable queues?";
    plugins.send(&json!({ "id": "a", "title": "Queues", "text": text })).await;
    let message = plugins.next().await;
    assert_eq!(
        (&message["document"], &message["title"], &message["index"], &message["count"], &message["redacted"], message.get("text")),
        (&json!("a"), &json!("Queues"), &json!(0), &json!(1), &json!({ "email": 3 }), None)
    );
    let terms = terms(&message);
    assert!(terms.len() == 4 && terms.contains(&"durable queues"), "{terms:?}");
    assert!(!terms.iter().any(|term| term.contains("email") || term.contains("example")), "{terms:?}");
    assert!(message["keywords"][0]["score"].as_f64().unwrap() < message["keywords"][3]["score"].as_f64().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_words_are_those_of_the_parameters() {
    let plugins = Plugins::start(&[("keywords", &[("language", "de"), ("stop-words", "Warteschlange"), ("text", "keep")])]).await;
    plugins.send(&json!({ "text": "Die Warteschlange und die Nachricht sind nicht da." })).await;
    let message = plugins.next().await;
    assert_eq!((terms(&message), &message["text"]), (vec!["nachricht"], &json!("Die Warteschlange und die Nachricht sind nicht da.")));
}

/// With the longest text that is accepted, with as many different terms as fit, within the default limits on time and memory.
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_text_of_distinct_words_is_ranked() {
    let plugins = Plugins::start(&[("keywords", &[("count", "100"), ("words", "5")])]).await;
    let letter = |at: usize| char::from(b'a' + u8::try_from(at % 26).unwrap());
    let words: String = (0..100_000).flat_map(|at| [letter(at / 17_576), letter(at / 676), letter(at / 26), letter(at), ' ']).collect();
    plugins.send(&json!({ "text": words })).await;
    assert_eq!(plugins.next().await["keywords"].as_array().unwrap().len(), 100);
    plugins.send(&json!({ "text": "a ".repeat(300 << 10) })).await;
    let reason = plugins.dead_letter().await;
    assert!(reason.contains("field `text`") && reason.contains("splitter"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_language_is_shown_in_the_status() {
    let plugins = Plugins::start(&[("keywords", &[("language", "klingon")])]).await;
    plugins.status_says("parameter `language` is `klingon`; must be one of").await;
}
