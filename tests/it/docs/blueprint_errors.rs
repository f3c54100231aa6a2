//! The errors listed in docs/blueprints.md: each occurs as listed, and nothing else is listed.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use weir_tests::guest_path;
use weir_tests::weir::Weir;

use super::read::matches;
use super::reader::repository;

/// The errors in the tables of the page.
fn listed() -> Vec<String> {
    let page = fs::read_to_string(repository().join("docs/blueprints.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ``")?.split_once("`` |"));
    rows.map(|(error, _)| error.trim().to_owned()).collect()
}

/// A valid blueprint, with some fields replaced.
fn blueprint(other: &Value) -> Value {
    let mut blueprint = json!({
        "blueprint": {},
        "flow": { "splitter:{id}": splitter(&json!({ "size": "{size}" })) },
        "parameters": { "size": { "type": "integer" } },
    });
    blueprint.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    blueprint
}

fn splitter(parameters: &Value) -> Value {
    json!({ "topics": { "input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}" }, "parameters": parameters })
}

fn one(key: &str, processor: &Value) -> Value {
    blueprint(&json!({ "flow": { key: processor } }))
}

/// Texts that are refused by `put`.
fn refused_texts() -> Vec<String> {
    let many: Vec<String> = (0..10_001).map(|at| format!(r#""p{at}:v": {{}}"#)).collect();
    let objects = [
        json!({ "blueprint": {} }),
        json!({ "blueprint": {}, "flow": {} }),
        one("splitter", &json!({})),
        one(&format!("{}:v", "n".repeat(10_000)), &json!({})),
        one("a/b:v", &json!({})),
        one("splitter:{id}", &json!({ "topics": { "input": "queue:tg:in" } })),
        one("splitter:{id}", &splitter(&json!({ "size": 400 }))),
        blueprint(&json!({ "interfaces": { "in": "flow:tg:in" } })),
        blueprint(&json!({ "interfaces": { "in": { "request": "request:tg:in" } } })),
        blueprint(&json!({ "parameters": { "id": {} } })),
        blueprint(&json!({ "parameters": { "a": { "controlled-by": "b" } } })),
        blueprint(&json!({ "parameters": { "a": { "controlled-by": "b" }, "b": { "controlled-by": "a" } } })),
    ];
    let texts = ["{\n x".to_owned(), " ".repeat((4 << 20) + 1), format!(r#"{{"blueprint": {{}}, "flow": {{{}}}}}"#, many.join(","))];
    texts.into_iter().chain(objects.iter().map(Value::to_string)).collect()
}

/// Blueprints that are accepted, and starts of them that are refused: blueprint, id, parameters.
fn refused_starts() -> Vec<(Value, &'static str, Value)> {
    let right = || blueprint(&json!({}));
    let typed = |kind: &str, name: &str| blueprint(&json!({ "parameters": { "size": { "type": "integer" }, name: { "type": kind } } }));
    vec![
        (right(), "running", json!({ "size": "1" })),
        (right(), "a/b", json!({ "size": "1" })),
        (right(), "one", json!({ "size": "big" })),
        (typed("needed", "size"), "one", json!({})),
        (typed("border", "border"), "one", json!({ "size": "1", "border": "page" })),
        (typed("chunk-size", "size"), "one", json!({})),
        (one("splitter:{id}", &json!({ "topics": { "input": "flow:tg:{x}", "output": "flow:tg:out" } })), "one", json!({})),
        (one("splitter:{id}", &json!({ "topics": { "input": "flow:tg:in" } })), "one", json!({})),
        (one("spy:{id}", &json!({ "topics": { "input": "request:tg:config" } })), "one", json!({})),
        (right(), "one", json!({})),
        (
            one("splitter:{id}", &json!({ "topics": { "input": "flow:tg:in", "output": "flow:tg:out" }, "component": "splitter@9.9.9" })),
            "one",
            json!({}),
        ),
        (
            blueprint(&json!({ "flow": { "splitter:{id}": splitter(&json!({})), "splitter:one": splitter(&json!({})) } })),
            "one",
            json!({ "size": "1" }),
        ),
        (wide(), "one", json!({})),
        (shared(), "other", json!({ "size": "2" })),
    ]
}

/// A blueprint with the maximum number of processors.
fn wide() -> Value {
    let processors: serde_json::Map<String, Value> =
        (0..10_000).map(|at| (format!("p{at}:{{id}}"), json!({ "topics": { "input": format!("flow:tg:t{at}:{{id}}") } }))).collect();
    json!({ "blueprint": {}, "flow": processors })
}

/// A blueprint whose flows share the splitter.
fn shared() -> Value {
    let topics = json!({ "input": "flow:tg:shared", "output": "flow:tg:shared-out" });
    blueprint(&json!({ "flow": { "splitter:shared": { "topics": topics, "parameters": { "size": "{size}" } } } }))
}

async fn put(weir: &Weir, name: &str, text: &str) -> Value {
    weir.post("/api/v1/flow", &json!({ "operation": "put-blueprint", "blueprint-name": name, "blueprint-definition": text })).await
}

async fn start(weir: &Weir, blueprint: &str, id: &str, parameters: &Value) -> Value {
    let request =
        json!({ "operation": "start-flow", "blueprint-name": blueprint, "flow-id": id, "description": "", "parameters": parameters });
    weir.post("/api/v1/flow", &request).await
}

async fn must_start(weir: &Weir, name: &str, blueprint: &Value, id: &str) {
    assert_eq!(put(weir, name, &blueprint.to_string()).await["error"], Value::Null);
    assert_eq!(start(weir, name, id, &json!({ "size": "1" })).await["error"], Value::Null);
}

/// The notes on the start of a blueprint with possible mistakes.
async fn notes(weir: &Weir) -> Vec<String> {
    let processor = json!({
        "topics": { "input": "flow:tg:in:{id}", "output": "flow:tg:clean" }, "parameters": { "size": "{size}" }, "paramters": {},
    });
    let odd = json!({ "blueprint": {}, "flow": { "a:{id}": processor }, "interfaces": { "in": { "flow": "flow:tg:inn" } } });
    let put = put(weir, "odd", &odd.to_string()).await;
    assert!(put["notes"][0].as_str().is_some_and(|note| note.contains("`paramters`")), "{put}");
    let started = start(weir, "odd", "odd", &json!({})).await;
    assert_eq!(started["error"], Value::Null, "{started}");
    started["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_errors_on_the_blueprints_page_match_the_actual_ones() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    weir.must(&["deploy", guest_path("splitter").to_str().unwrap()]).await;
    for (key, value) in [
        ("needed", r#"{"type": "integer", "required": true}"#),
        ("border", r#"{"enum": ["sentence", "paragraph"]}"#),
        ("chunk-size", r#"{"enum": 5}"#),
    ] {
        weir.must(&["config", "put", "parameter-type", key, value]).await;
    }
    must_start(&weir, "right", &blueprint(&json!({})), "running").await;
    must_start(&weir, "shared", &shared(), "sharer").await;

    let mut errors = vec![start(&weir, "b", "one", &json!({})).await];
    for text in refused_texts() {
        errors.push(put(&weir, "b", &text).await);
    }
    for (blueprint, id, parameters) in refused_starts() {
        assert_eq!(put(&weir, "b", &blueprint.to_string()).await["error"], Value::Null, "{blueprint}");
        errors.push(start(&weir, "b", id, &parameters).await);
    }

    let listed = listed();
    let mut seen = BTreeSet::new();
    for answer in &errors {
        let error = answer["error"]["message"].as_str().unwrap_or_else(|| panic!("no error: {answer}"));
        // Ids and blueprints have other names here than on the page.
        let error = error.replace("flow `running`", "flow `one`");
        let rows = listed.iter().enumerate().filter(|(_, row)| matches(&error, row));
        // The row with the longest text.
        let row = rows.max_by_key(|(_, row)| row.len()).unwrap_or_else(|| panic!("the page does not list: {error}"));
        seen.insert(row.0);
    }
    let notes = notes(&weir).await;
    seen.extend(listed.iter().enumerate().filter(|(_, row)| notes.iter().any(|note| matches(note, row))).map(|(at, _)| at));
    let unseen: Vec<&String> = listed.iter().enumerate().filter(|(at, _)| !seen.contains(at)).map(|(_, row)| row).collect();
    assert!(unseen.is_empty(), "the page lists what nobody gets: {unseen:#?}");
    let flows = weir.post("/api/v1/flow", &json!({ "operation": "list-flows" })).await;
    assert_eq!(flows["flow-ids"], json!(["odd", "running", "sharer"]), "a refused start leaves nothing");
}
