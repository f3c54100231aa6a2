//! The services and the interfaces of flows.

use serde_json::{Value, json};
use weir_pubsub::{Backend, CORRELATION_ID, ConsumerOptions, Message, WEIR_ERROR, WEIR_PART};
use weir_tests::look::messages;
use weir_tests::wait::{DEADLINE, eventually, within};

use super::fixture::{GatewayFixture, NDJSON, answer, error_of};

#[tokio::test]
async fn both_services_answer_under_the_names_of_the_gateway() {
    let fixture = GatewayFixture::with_flow().await;
    let (_, names) = fixture.post("/api/v1/flow", &json!({"operation": "list-blueprints"})).await;
    assert_eq!(names["blueprint-names"], json!(["b"]));
    assert!(names.get("error").is_none() && names.get("flow-ids").is_some(), "null is left out, what is empty stays: {names}");
    let (_, flow) = fixture.post("/api/v1/flow", &json!({"operation": "get-flow", "flow-id": "one"})).await;
    assert_eq!(flow["description"], "first");
    let put = json!({"operation": "put", "values": [{"type": "t_a", "key": "k_a", "value": "v"}]});
    fixture.post("/api/v1/config", &put).await;
    let (_, got) = fixture.post("/api/v1/config", &json!({"operation": "getvalues", "type": "t_a"})).await;
    assert_eq!(got["values"], json!([{"type": "t_a", "key": "k_a", "value": "v"}]));
}

#[tokio::test]
async fn an_error_of_a_service_is_a_normal_response() {
    let fixture = GatewayFixture::new().await;
    for path in ["/api/v1/flow", "/api/v1/config"] {
        let (status, body) = fixture.post(path, &json!({"operation": "dance"})).await;
        assert_eq!(status, 200);
        error_of(&body, "bad-operation");
    }
    let (status, body) = answer(fixture.post_request("/api/v1/flow", "application/json", "{\"operation\": ")).await;
    assert_eq!(status, 200);
    expect_test::expect![[r#"the body is not JSON: EOF while parsing a value at line 1 column 14"#]]
        .assert_eq(&error_of(&body, "not-json"));
}

#[tokio::test]
async fn a_message_is_durable_when_confirmed() {
    let fixture = GatewayFixture::with_flow().await;
    let (status, body) = fixture.post("/api/v1/flow/one/service/in", &json!({"a": 1})).await;
    assert_eq!((status, body), (200, json!({})));
    assert_eq!(fixture.depth("flow:tg:in:one", "worker--one--input").await, 1);
    let (status, body) = answer(fixture.post_request("/api/v1/flow/one/service/in", "application/json", "{\"a\": nope}")).await;
    assert_eq!(status, 200);
    expect_test::expect![[r#"the body is not JSON: expected ident at line 1 column 8"#]].assert_eq(&error_of(&body, "not-json"));
    assert_eq!(fixture.depth("flow:tg:in:one", "worker--one--input").await, 1);
}

#[tokio::test]
async fn a_request_returns_its_answer() {
    let fixture = GatewayFixture::with_flow().await;
    let subscription = "worker--one--request".parse().unwrap();
    let requests =
        fixture.backend.consumer(&"request:tg:ask:one".parse().unwrap(), &subscription, ConsumerOptions::default()).await.unwrap();
    let backend = fixture.backend.clone();
    let worker = tokio::spawn(async move {
        let request = requests.receive().await.unwrap();
        let id = request.message.properties.get(CORRELATION_ID).unwrap().to_owned();
        let question: Value = serde_json::from_slice(&request.message.body).unwrap();
        let answers = backend.producer(&"response:tg:ask:one".parse().unwrap()).await.unwrap();
        answers.publish_confirmed(Message::new(json!({"you-said": question}).to_string()).with(CORRELATION_ID, id)).await.unwrap();
        backend.settle(&request.receipt, Vec::new()).await.unwrap();
    });
    let (status, body) = fixture.post("/api/v1/flow/one/service/ask", &json!("hello")).await;
    assert_eq!((status, body), (200, json!({"you-said": "hello"})));
    worker.await.unwrap();
}

#[tokio::test]
async fn parts_of_an_answer_reach_the_caller_as_they_arrive() {
    let fixture = GatewayFixture::with_flow().await;
    let subscription = "worker--one--request".parse().unwrap();
    let requests =
        fixture.backend.consumer(&"request:tg:ask:one".parse().unwrap(), &subscription, ConsumerOptions::default()).await.unwrap();
    let answers = fixture.backend.producer(&"response:tg:ask:one".parse().unwrap()).await.unwrap();
    let path = "/api/v1/weir/flows/one/interfaces/ask/requests?timeout-ms=20000";
    let asking = tokio::spawn(fixture.post_request(path, "application/json", "1").send());
    let id = requests.receive().await.unwrap().message.properties.get(CORRELATION_ID).unwrap().to_owned();
    let part = |body: &'static str| Message::new(body).with(CORRELATION_ID, id.clone());
    answers.publish_confirmed(part("\"first\"").with(WEIR_PART, "more")).await.unwrap();
    let mut response = within("the head of the answer", asking).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    let mut line = async || {
        let chunk = within("a part", response.chunk()).await.unwrap().unwrap();
        serde_json::from_slice::<Value>(&chunk).unwrap()
    };
    assert_eq!(line().await["body"], "first");
    answers.publish_confirmed(part("\"second\"").with(WEIR_PART, "more")).await.unwrap();
    assert_eq!(line().await["body"], "second");
    let failed = json!({"error": {"type": "x", "message": "it broke"}}).to_string();
    answers.publish_confirmed(Message::new(failed).with(CORRELATION_ID, id.clone()).with(WEIR_ERROR, "reject")).await.unwrap();
    assert_eq!(error_of(&line().await, "request-failed"), "flow `one` answered with an error (reject): it broke");
    assert!(within("the end", response.chunk()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_request_may_set_a_time_out_within_the_gateways() {
    let fixture = GatewayFixture::with_flow().await;
    let ask = async |timeout_ms: &str| {
        let path = format!("/api/v1/weir/flows/one/interfaces/ask/requests?timeout-ms={timeout_ms}");
        super::fixture::answer(fixture.post_request(&path, "application/json", "1")).await
    };
    for (asked, waited) in [("20", "20"), ("600000", "5000")] {
        let (status, answer) = ask(asked).await;
        assert_eq!(status, 504);
        assert!(error_of(&answer, "timed-out").ends_with(&format!("within {waited} ms")), "{answer}");
    }
    let (status, answer) = ask("soon").await;
    assert_eq!(status, 400);
    error_of(&answer, "bad-request");
}

#[tokio::test]
async fn an_unanswered_request_times_out() {
    let fixture = GatewayFixture::with_flow().await;
    let (status, body) = fixture.post("/api/v1/flow/one/service/ask", &json!("hello")).await;
    assert_eq!(status, 200);
    let message = error_of(&body, "timed-out");
    assert!(message.ends_with("no answer from request:tg:ask:one within 5000 ms"), "{message}");
}

// On several threads and in one piece, so that later publishes could overtake earlier ones.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_messages_are_imported_in_order() {
    let fixture = GatewayFixture::with_flow().await;
    let lines: String = (0..10_000).map(|at| format!("{{\"at\": {at}}}\n\n")).collect();
    let path = "/api/v1/weir/flows/one/interfaces/in/messages";
    let (status, body) = answer(fixture.post_request(path, NDJSON, lines)).await;
    assert_eq!((status, body), (200, json!({"count": 10_000})));
    let queue = weir_pubsub::Queue::new("flow:tg:in:one".parse().unwrap(), "worker--one--input".parse().unwrap()).unwrap();
    let browsed = messages(&*fixture.backend, &queue, 10_000).await;
    let order: Vec<u64> =
        browsed.iter().map(|message| serde_json::from_slice::<Value>(&message.body).unwrap()["at"].as_u64().unwrap()).collect();
    assert_eq!(order, (0..10_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_list_is_imported_message_by_message() {
    let fixture = GatewayFixture::with_flow().await;
    let path = "/api/v1/weir/flows/one/interfaces/in/messages";
    assert_eq!(fixture.post(path, &json!([1, {"two": 2}, [3]])).await, (200, json!({"count": 3})));
    let (status, body) = fixture.post(path, &json!({"one": 1})).await;
    assert_eq!((status, body["count"].as_u64()), (400, Some(0)));
    assert!(error_of(&body, "bad-request").starts_with("the body: must be a JSON list of messages"), "{body}");
}

#[tokio::test]
async fn an_import_ends_at_the_first_bad_line_and_names_it() {
    let fixture = GatewayFixture::with_flow().await;
    let path = "/api/v1/weir/flows/one/interfaces/in/messages";
    let (status, body) = answer(fixture.post_request(path, NDJSON, "1\n2\nthree\n4\n")).await;
    assert_eq!((status, body["count"].as_u64()), (400, Some(2)));
    expect_test::expect![[r#"line 3 is not JSON: expected ident at line 1 column 2"#]].assert_eq(&error_of(&body, "not-json"));
    assert_eq!(fixture.depth("flow:tg:in:one", "worker--one--input").await, 2);
    let long = format!("1\n\"{}\"\n", "x".repeat(5 << 20));
    let (status, body) = answer(fixture.post_request(path, NDJSON, long)).await;
    assert_eq!((status, &body["count"]), (413, &1.into()));
    expect_test::expect![[r#"line 2 has more than 4194304 bytes, the limit of a message"#]].assert_eq(&error_of(&body, "too-large"));
    let (status, body) = answer(fixture.post_request("/api/v1/weir/flows/one/interfaces/ask/messages", NDJSON, "1\n")).await;
    assert_eq!(status, 400);
    assert!(error_of(&body, "wrong-interface").contains("accepts requests"), "{body}");
}

#[tokio::test]
async fn a_pending_request_is_answered_when_weir_stops() {
    let mut fixture = GatewayFixture::with_flow().await;
    let request = fixture.post_request("/api/v1/flow/one/service/ask", "application/json", "1");
    let asking = tokio::spawn(answer(request));
    let asked = || async { (fixture.depth("request:tg:ask:one", "worker--one--request").await == 1).then_some(()) };
    eventually(DEADLINE, "the request to wait", asked).await;
    let ended = fixture.end_gateway();
    let (status, answer) = within("an answer", asking).await.unwrap();
    assert_eq!(status, 503, "{answer}");
    assert!(error_of(&answer, "shutting-down").contains("send it again once Weir is running"), "{answer}");
    within("the gateway to end", ended).await.unwrap().unwrap();
}
