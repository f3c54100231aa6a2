//! `weir replay`: a dead letter through a component, with nothing sent.

use std::path::Path;

use serde_json::{Value, json};
use weir_tests::guest_path;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::project_fixture::ProjectFixture;
use crate::guests;

/// The existing dead letters.
async fn letters(weir: &Weir) -> Value {
    serde_json::from_str(&weir.must(&["dead-letters", "list", "--json"]).await).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_replayed_with_the_current_parameters_and_nothing_is_sent() {
    let workspace = ProjectFixture::new();
    let weir = Weir::up(&workspace.path("data")).await;
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    weir.must(&["deploy", &text(&guest_path(guests::RETRY))]).await;
    let blueprint = json!({
        "blueprint": {},
        "flow": {"retry:{id}": {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}, "parameters": {"until": "9", "delay": "0"}}},
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
    });
    workspace.write("b.json", blueprint.to_string());
    workspace.write("m.json", r#"{"n": 1}"#);
    weir.must(&["blueprint", "put", "b", &text(&workspace.path("b.json"))]).await;
    weir.must(&["flow", "start", "b", "one"]).await;
    weir.must(&["send", "one", "in", &text(&workspace.path("m.json"))]).await;
    let letter = eventually(DEADLINE, "the dead letter", || async { letters(&weir).await.get(0).cloned() }).await;
    let position = letter["position"].to_string().trim_matches('"').to_owned();

    let replayed = weir.must(&["replay", &position]).await;
    for words in ["replayed with retry@1.0.0", "current parameters of the entry", "nothing was sent", "attempt 1 of 9"] {
        assert!(replayed.contains(words), "`{words}` is not in:\n{replayed}");
    }
    // Another component accepts it; its outputs are shown and not sent.
    let echo = text(&guest_path(guests::ECHO));
    let told: Value = serde_json::from_str(&weir.must(&["replay", &position, "--component", &echo, "--json"]).await).unwrap();
    assert_eq!((&told["outputs"]["output"][0]["json"], &told["failure"]), (&json!({"n": 1}), &Value::Null), "{told:#}");
    assert_eq!(letters(&weir).await.as_array().unwrap().len(), 1, "the letter stays");
    let queues = weir.must(&["take", "one", "out"]).await;
    assert_eq!(queues, "", "nothing was sent");

    let unknown = weir.run(&["replay", &position, "--deployment", "retry@9.9.9"]).await;
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
    let missing = weir.run(&["replay", "999"]).await;
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
}
