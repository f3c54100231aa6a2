//! The OpenAPI document and the page that shows it.

use std::collections::BTreeSet;

use expect_test::expect_file;
use serde_json::Value;
use weir_gateway::{GatewaySettings, Scope, Token, Tokens};

use super::fixture::GatewayFixture;

async fn text(fixture: &GatewayFixture, path: &str) -> String {
    let response = fixture.get_request(path).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.text().await.unwrap()
}

/// Everything that a document refers to within itself.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_is_the_one_in_the_repository() {
    let fixture = GatewayFixture::new().await;
    let document = text(&fixture, "/api/v1/weir/openapi.json").await;
    // UPDATE_EXPECT=1 rewrites it.
    expect_file!["../../../host/gateway/openapi.json"].assert_eq(&document);
}

#[tokio::test]
async fn the_document_is_complete() {
    let fixture = GatewayFixture::new().await;
    let document: Value = serde_json::from_str(&text(&fixture, "/api/v1/weir/openapi.json").await).unwrap();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    let missing: Vec<_> = found.iter().filter(|name| document.pointer(name.trim_start_matches('#')).is_none()).collect();
    assert!(missing.is_empty(), "shapes that are named and not there: {missing:?}");
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{what}: its name is taken");
            assert!(operation["summary"].as_str().is_some_and(|summary| summary.ends_with('.')), "{what}: {}", operation["summary"]);
            let variables = path.matches('{').count();
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let (of_path, others): (Vec<_>, Vec<_>) = parameters.partition(|parameter| parameter["in"] == "path");
            assert_eq!(of_path.len(), variables, "{what}");
            assert!([of_path, others].iter().flatten().all(|parameter| parameter["description"].is_string()), "{what}");
            let scope = operation["security"][1]["token"][0].as_str();
            assert_eq!(scope.is_none(), operation["responses"].get("401").is_none(), "{what}: open, or a scope and 401");
            assert!(scope.is_none_or(|scope| scope.parse::<Scope>().is_ok()), "{what}: {scope:?}");
        }
    }
}

#[tokio::test]
async fn the_page_has_every_path_and_schema_and_no_external_resources() {
    let token = Token::new("the-token-of-this-gateway").unwrap();
    let fixture = GatewayFixture::with(GatewaySettings { tokens: Some(Tokens::one(token)), ..GatewaySettings::default() }).await;
    // Browsers cannot send a token for a page.
    let page = text(&fixture, "/api/v1/weir/docs").await;
    let document: Value = serde_json::from_str(&text(&fixture, "/api/v1/weir/openapi.json").await).unwrap();
    let operations = document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let ids = operations.map(|operation| operation["operationId"].as_str().unwrap().to_owned());
    let shapes = document["components"]["schemas"].as_object().unwrap().keys().map(|name| format!("shape-{name}"));
    for id in ids.chain(shapes) {
        assert!(page.contains(&format!("id=\"{id}\"")) && page.contains(&format!("href=\"#{id}\"")), "{id}");
    }
    let links = page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    for link in links.filter(|link| *link != "openapi.json") {
        assert!(page.contains(&format!("id=\"{}\"", &link[1..])), "{link}");
    }
    for foreign in ["<script", " src=", "url(", "@import", "://"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}
