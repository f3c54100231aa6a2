//! The language plugin in a complete Weir: it answers requests, and labels messages.

use std::path::Path;

use serde_json::{Value, json};
use weir_tests::guest_path;
use weir_tests::weir::Weir;

const GERMAN: &str = "Das Wehr hält das Wasser des Flusses zurück und lässt nur so viel davon durch, wie die Mühle gerade braucht.";

/// A Weir with a flow of the plugin, with two of its parameters set by the flow.
async fn with_a_flow(data: &Path) -> Weir {
    let weir = Weir::up(data).await;
    weir.must(&["deploy", guest_path("language").to_str().unwrap()]).await;
    let blueprint = json!({
        "parameters": { "languages": { "type": "string" }, "least": { "type": "number" } },
        "blueprint": {},
        "flow": {
            "language:{id}": {
                "topics": {
                    "request": "request:tg:language:{id}", "response": "response:tg:language:{id}",
                    "input": "flow:tg:documents:{id}", "output": "flow:tg:labelled:{id}",
                },
                "parameters": { "languages": "{languages}", "least-confidence": "{least}" },
            },
        },
        "interfaces": {
            "language": { "request": "request:tg:language:{id}", "response": "response:tg:language:{id}" },
            "documents": { "flow": "flow:tg:documents:{id}" },
            "labelled": { "flow": "flow:tg:labelled:{id}" },
        },
    });
    let file = data.join("blueprint.json");
    std::fs::write(&file, blueprint.to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    weir
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn questions_are_answered_and_documents_pass_with_their_language() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_a_flow(folder.path()).await;
    weir.must(&["flow", "start", "b", "one", "-p", "languages=all", "-p", "least=0.9"]).await;
    let ask = async |text: &str| read(&weir.must(&["request", "one", "language", &json!({ "text": text }).to_string()]).await);
    assert_eq!(ask(GERMAN).await, json!({ "language": "de", "confidence": 1.0 }));
    assert_eq!(ask("OK").await, json!({ "language": "und", "confidence": 0.0 }));
    let refused = weir.run(&["request", "one", "language", "{}"]).await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("field `text` is missing: send the text to detect the language of"), "{said}");

    weir.must(&["send", "one", "documents", "--text", GERMAN]).await;
    let labelled = read(&weir.must(&["take", "one", "labelled", "--count", "1"]).await);
    assert_eq!(labelled, json!({ "language": "de", "language-confidence": 1.0, "text": GERMAN }));
    assert_eq!(weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn each_flow_reports_the_languages_of_its_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_a_flow(folder.path()).await;
    weir.must(&["flow", "start", "b", "nordic", "-p", "languages=sv,da", "-p", "least=1"]).await;
    weir.must(&["flow", "start", "b", "guess", "-p", "languages=en,fr,de", "-p", "least=0"]).await;
    let ask = async |flow: &str, text: &str| {
        let answer = read(&weir.must(&["request", flow, "language", &json!({ "text": text }).to_string()]).await);
        answer["language"].as_str().unwrap().to_owned()
    };
    assert_eq!(ask("nordic", "Плотина задерживает воду реки").await, "und");
    let fox = "The quick brown fox jumps over the lazy dog";
    assert_ne!(ask("guess", fox).await, "und");
    weir.must(&["flow", "start", "b", "one", "-p", "languages=all", "-p", "least=0.9"]).await;
    assert_eq!(ask("one", fox).await, "und");
}
