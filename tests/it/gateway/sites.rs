//! Every path of the OpenAPI document against what a web page of another site can send.

use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use weir_gateway::{GatewaySettings, Token, Tokens};

use super::fixture::{GatewayFixture, answer, error_of, settings};

const TOKEN: &str = "the-token-of-this-gateway";
/// Media types that no page can send without a preflight request.
const ASKED_FIRST: [&str; 4] = ["application/json", "application/x-ndjson", "application/wasm", "application/octet-stream"];
/// What a page can send without one; a `Blob` without a type is sent without any.
const UNSEEN: [Option<&str>; 6] = [
    Some("text/plain"),
    Some("application/x-www-form-urlencoded"),
    Some("multipart/form-data; boundary=x"),
    Some("text/plain;application/json"),
    Some("text/plain, application/json"),
    None,
];

/// Method and path of each operation, with its description.
async fn operations(fixture: &GatewayFixture) -> Vec<(Method, String, Value)> {
    let (_, document) = answer(fixture.get_request("/api/v1/weir/openapi.json")).await;
    let paths = document["paths"].as_object().unwrap().clone();
    let of = |(path, item): (String, Value)| {
        let path = path.replace("{flow}", "one").replace("{interface}", "out").replace(['{', '}'], "");
        let operations = item.as_object().unwrap().clone();
        operations.into_iter().map(move |(method, described)| (method.to_uppercase().parse().unwrap(), path.clone(), described))
    };
    paths.into_iter().flat_map(of).collect()
}

fn has_media_types(described: &Value) -> Vec<String> {
    described["requestBody"]["content"].as_object().into_iter().flat_map(|content| content.keys().cloned()).collect()
}

fn upgrading(request: RequestBuilder) -> RequestBuilder {
    let request = request.header("connection", "upgrade").header("upgrade", "websocket");
    request.header("sec-websocket-version", "13").header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")
}

#[tokio::test]
async fn all_modifying_paths_are_posts_of_a_type_that_requires_a_preflight() {
    let fixture = GatewayFixture::with_flow().await;
    fixture.publish("flow:tg:out:one", "1").await;
    let mut posts_count = 0;
    for (method, path, described) in operations(&fixture).await {
        if method == Method::GET {
            assert!(described.get("requestBody").is_none(), "{path}");
            continue;
        }
        posts_count += 1;
        assert_eq!(method, Method::POST, "{path}");
        let media_types = has_media_types(&described);
        assert!(
            !media_types.is_empty() && media_types.iter().all(|found| ASKED_FIRST.contains(&found.as_str())),
            "{path}: {media_types:?}"
        );
        for unseen in UNSEEN {
            let request = fixture.request(Method::POST, &path).body("{}");
            let request = unseen.into_iter().fold(request, |request, unseen| request.header("content-type", unseen));
            let (status, body) = answer(request).await;
            // On the paths that Weir shares with others every error is an answer with status 200.
            assert!(status == 415 || status == 200, "{path} {unseen:?}: {status} {body}");
            error_of(&body, "wrong-content-type");
        }
    }
    assert!(posts_count >= 9, "{posts_count}");
    // No other method does anything, and neither does a GET.
    for (_, path, _) in operations(&fixture).await {
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD] {
            let response = fixture.request(method.clone(), &path).header("content-type", "text/plain").body("{}").send().await.unwrap();
            // A HEAD reads what a GET reads.
            assert!([404, 405].contains(&response.status().as_u16()) || method == Method::HEAD, "{method} {path}: {}", response.status());
        }
    }
    assert_eq!(fixture.depth("flow:tg:out:one", "gateway--one--out").await, 1);
}

#[tokio::test]
async fn without_a_token_cross_site_requests_are_refused_on_every_path() {
    let open = GatewayFixture::with_flow().await;
    let tokens = Some(Tokens::one(Token::new(TOKEN).unwrap()));
    let guarded = GatewayFixture::with(GatewaySettings { tokens, ..settings() }).await;
    let operations = operations(&open).await;
    for fixture in [&open, &guarded] {
        for site in ["cross-site", "same-site"] {
            for (method, path, _) in &operations {
                for mode in ["no-cors", "cors", "websocket", "navigate"] {
                    let request = fixture.request(method.clone(), path).header("sec-fetch-site", site).header("sec-fetch-mode", mode);
                    let request = if mode == "websocket" { upgrading(request) } else { request };
                    let status = request.header("content-type", "application/json").body("{}").send().await.unwrap().status().as_u16();
                    let is_link = mode == "navigate" && method == Method::GET && ["/", "/api/v1/weir/docs"].contains(&path.as_str());
                    let refused = if is_link { status == 200 } else { [401, 403].contains(&status) };
                    assert!(refused, "{method} {path} {site} {mode}: {status}");
                    assert!(std::ptr::eq(fixture, &guarded) || is_link || status == 403, "{method} {path} {site} {mode}: {status}");
                }
            }
        }
    }
    assert_eq!(open.depth("flow:tg:in:one", "worker--one--input").await, 0);
}

#[tokio::test]
async fn with_the_token_site_and_origin_are_not_checked() {
    let tokens = Some(Tokens::one(Token::new(TOKEN).unwrap()));
    let fixture = GatewayFixture::with(GatewaySettings { tokens, ..settings() }).await;
    for (method, path, _) in operations(&fixture).await {
        if path.ends_with("/docs") || path == "/" {
            continue;
        }
        let request =
            fixture.request(method.clone(), &path).header("sec-fetch-site", "cross-site").header("origin", "https://page.example");
        let request = request.header("content-type", "application/json").bearer_auth(TOKEN).body("{}");
        let status = request.send().await.unwrap().status().as_u16();
        assert!(![401, 403].contains(&status), "{method} {path}: {status}");
    }
}
