//! What tokens of each scope may do: on every path, and by every operation of the shared paths.

use std::fmt::Write as _;

use expect_test::expect;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use weir_gateway::{GatewaySettings, Scope, Tokens, read_tokens};

use super::fixture::{GatewayFixture, answer, error_of};
use super::peer::Peer;

const TOKENS: &str = "read a-token-that-may-read\noperate a-token-that-may-operate\ndeploy a-token-that-may-deploy\n";

fn token(scope: Scope) -> &'static str {
    ["a-token-that-may-read", "a-token-that-may-operate", "a-token-that-may-deploy"][scope as usize]
}

async fn fixture() -> GatewayFixture {
    let fixture =
        GatewayFixture::with(GatewaySettings { tokens: Some(Tokens::new(&read_tokens(TOKENS).unwrap())), ..super::fixture::settings() })
            .await;
    let flow = json!({"worker:{id}": {"topics": {"input": "flow:tg:in:{id}"}}});
    let blueprint = json!({"blueprint": {}, "flow": flow, "interfaces": {"in": {"flow": "flow:tg:in:{id}"}}});
    for request in [
        json!({"operation": "put-blueprint", "blueprint-name": "b", "blueprint-definition": blueprint.to_string()}),
        json!({"operation": "start-flow", "blueprint-name": "b", "flow-id": "one", "description": "first"}),
    ] {
        let (status, answer) = answer(post(&fixture, "/api/v1/flow", &request).bearer_auth(token(Scope::Deploy))).await;
        assert!(status == 200 && answer.get("error").is_none(), "{answer}");
    }
    fixture
}

fn post(fixture: &GatewayFixture, path: &str, body: &Value) -> RequestBuilder {
    fixture.post_request(path, "application/json", body.to_string())
}

/// Every method and path, with the scope that the document states as required.
async fn paths(fixture: &GatewayFixture) -> Vec<(Method, String, Option<Scope>)> {
    let document = fixture.get("/api/v1/weir/openapi.json").await.1;
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let scope = operation["security"][1]["token"][0].as_str().map(|scope| scope.parse().unwrap());
            all.push((method.to_uppercase().parse().unwrap(), path.clone(), scope));
        }
    }
    all
}

#[tokio::test]
async fn every_path_has_its_scope() {
    let fixture = fixture().await;
    let mut table = String::new();
    for (method, path, scope) in paths(&fixture).await {
        writeln!(table, "{:<8} {method} {path}", scope.map_or("open", Scope::word)).unwrap();
    }
    // For `config`, `flow` and `socket` it is the minimum: the operation decides.
    expect![[r#"
        open     GET /
        read     POST /api/v1/config
        read     POST /api/v1/flow
        operate  GET /api/v1/flow/{flow}/export/{interface}
        operate  GET /api/v1/flow/{flow}/import/{interface}
        operate  POST /api/v1/flow/{flow}/service/{interface}
        read     GET /api/v1/socket
        deploy   POST /api/v1/weir/components
        deploy   POST /api/v1/weir/components/prune
        deploy   POST /api/v1/weir/components/remove
        read     GET /api/v1/weir/components/{digest}
        read     GET /api/v1/weir/dead-letters
        operate  POST /api/v1/weir/dead-letters/delete
        operate  POST /api/v1/weir/dead-letters/redrive
        read     GET /api/v1/weir/dead-letters/{letter}
        read     GET /api/v1/weir/deployments/{deployment}
        open     GET /api/v1/weir/docs
        operate  POST /api/v1/weir/flows/{flow}/exits/{interface}/acknowledge
        operate  POST /api/v1/weir/flows/{flow}/exits/{interface}/take
        operate  POST /api/v1/weir/flows/{flow}/interfaces/{interface}/messages
        operate  POST /api/v1/weir/flows/{flow}/interfaces/{interface}/requests
        read     GET /api/v1/weir/flows/{flow}/taps/{interface}
        open     GET /api/v1/weir/openapi.json
        read     GET /api/v1/weir/queues
        read     GET /api/v1/weir/status
        open     GET /healthz
        read     GET /metrics
        open     GET /readyz
    "#]]
    .assert_eq(&table);
}

#[tokio::test]
async fn a_token_grants_only_the_paths_of_its_scope() {
    let fixture = fixture().await;
    let mut refused_count = 0;
    for (method, path, needed) in paths(&fixture).await {
        let path = path.replace("{flow}", "none").replace("{interface}", "in").replace(['{', '}'], "");
        for scope in Scope::ALL {
            let what = format!("{method} {path} with {scope}");
            let response = fixture.request(method.clone(), &path).bearer_auth(token(scope)).send().await.unwrap();
            let status = response.status().as_u16();
            match needed {
                Some(needed) if needed > scope => {
                    refused_count += 1;
                    let challenge = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
                    assert_eq!((status, challenge), (403, format!("Bearer error=\"insufficient_scope\", scope=\"{needed}\"")), "{what}");
                    let message = error_of(&response.json().await.unwrap(), "insufficient-scope");
                    let expected = format!(
                        "{method} {path} requires a token of scope `{needed}`; the token of this request has scope `{scope}`: use one of \
                             scope `{needed}`"
                    );
                    assert_eq!(message, expected);
                }
                // It is refused for another reason, or not at all.
                _ => assert!(![401, 403].contains(&status), "{what}: {status}"),
            }
        }
        let status = fixture.request(method.clone(), &path).send().await.unwrap().status();
        assert_eq!(status == 401, needed.is_some(), "{method} {path} without a token: {status}");
    }
    assert!(refused_count >= 15, "{refused_count}");
}

/// Requests to the two services, each with the scope that it requires.
fn operations() -> Vec<(&'static str, Value, Scope)> {
    let config = |body: Value, scope| ("config", body, scope);
    let flow = |operation: &str, scope| ("flow", json!({"operation": operation}), scope);
    let put = |config_type: &str| json!({"operation": "put", "values": [{"type": config_type, "key": "a", "value": "1"}]});
    let delete = |config_type: &str| json!({"operation": "delete", "keys": [{"type": config_type, "key": "none"}]});
    vec![
        config(json!({"operation": "config"}), Scope::Read),
        config(json!({"operation": "get", "keys": [{"type": "component", "key": "a"}]}), Scope::Read),
        config(put("prompt"), Scope::Operate),
        config(delete("prompt"), Scope::Operate),
        config(put("component"), Scope::Deploy),
        config(put("descriptor"), Scope::Deploy),
        config(put("processor:a"), Scope::Deploy),
        config(delete("processor:a"), Scope::Deploy),
        config(json!({"operation": "put", "values": [], "keys": [{"type": "flow", "key": "none"}]}), Scope::Deploy),
        config(json!({"operation": "dance"}), Scope::Deploy),
        flow("list-flows", Scope::Read),
        flow("list-blueprints", Scope::Read),
        flow("start-flow", Scope::Operate),
        flow("stop-flow", Scope::Operate),
        flow("put-blueprint", Scope::Operate),
        flow("swap", Scope::Operate),
        flow("dance", Scope::Deploy),
    ]
}

#[tokio::test]
async fn the_operation_in_the_body_decides_on_the_shared_paths() {
    let fixture = fixture().await;
    for (service, body, needed) in operations() {
        for scope in Scope::ALL {
            let request = post(&fixture, &format!("/api/v1/{service}"), &body).bearer_auth(token(scope));
            let (status, answer) = answer(request).await;
            let kind = answer["error"]["type"].as_str().unwrap_or_default();
            assert_eq!((status, kind) == (403, "insufficient-scope"), needed > scope, "{service} {body} with {scope}: {status} {answer}");
            assert!(needed > scope || status == 200, "{service} {body} with {scope}: {status} {answer}");
        }
    }
    let refused = post(&fixture, "/api/v1/config", &json!({"operation": "delete", "keys": [{"type": "processor:a", "key": "b"}]}));
    let message = error_of(&answer(refused.bearer_auth(token(Scope::Operate))).await.1, "insufficient-scope");
    expect![["`delete` of the config type `processor:a` requires a token of scope `deploy`; the token of this request has scope `operate`: use one of scope `deploy`"]]
        .assert_eq(&message);
    // The service uses the last of two fields with the same name, so the last one decides.
    for (body, expected) in
        [(r#"{"operation":"config","operation":"put","values":[]}"#, 403), (r#"{"operation":"put","values":[],"operation":"config"}"#, 200)]
    {
        let request = fixture.post_request("/api/v1/config", "application/json", body).bearer_auth(token(Scope::Read));
        assert_eq!(answer(request).await.0, expected, "{body}");
    }
}

#[tokio::test]
async fn each_request_of_a_socket_requires_its_own_scope() {
    let fixture = fixture().await;
    for scope in Scope::ALL {
        let mut peer = Peer::open(&fixture, &format!("/api/v1/socket?token={}", token(scope))).await;
        let of_interface = json!({"id": 1, "service": "in", "flow": "one", "request": {"a": 1}});
        let of_services =
            operations().into_iter().map(|(service, body, needed)| (json!({"id": 1, "service": service, "request": body}), needed));
        for (request, needed) in of_services.chain([(of_interface, Scope::Operate)]) {
            peer.send(request.to_string()).await;
            let answer = peer.next_json().await;
            assert_eq!((&answer["id"], &answer["complete"]), (&json!(1), &json!(true)), "{answer}");
            assert_eq!(answer["error"]["type"] == "insufficient-scope", needed > scope, "{request} with {scope}: {answer}");
        }
    }
    let refused = Peer::try_open(&fixture, "/api/v1/flow/one/import/in", &[("authorization", "Bearer a-token-that-may-read")]).await;
    let (status, answer) = refused.err().unwrap();
    assert_eq!((status, answer["error"]["type"].as_str()), (403, Some("insufficient-scope")), "{answer}");
    assert_eq!(fixture.depth("flow:tg:in:one", "worker--one--input").await, 2, "sent by the two larger scopes alone");
}
