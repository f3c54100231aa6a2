//! Invalid requests: each gets an answer that names the field, or is dropped; none keeps the service from working.

use weir_pubsub::{CORRELATION_ID, Message, Queue};
use weir_tests::look::figures;

use super::support::{ConfigFixture, within_deadline};

#[tokio::test]
async fn an_unknown_operation_is_a_bad_operation() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let raw = fixture.raw().await;
    for body in [r#"{"operation": "zap"}"#, r#"{"operation": null}"#, "{}", r#"{"operation": "PUT"}"#] {
        let (kind, message) = raw.error(body).await;
        assert_eq!(kind, "bad-operation", "{body}");
        assert!(message.contains("`operation`"), "{message}");
    }
    let (_, message) = raw.error(&format!(r#"{{"operation": "{}"}}"#, "x".repeat(100_000))).await;
    assert!(message.len() < 400, "an error must not repeat what it was given");
}

#[tokio::test]
async fn null_in_a_required_field_is_a_config_error() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let raw = fixture.raw().await;
    for (body, field) in [
        (r#"{"operation": "get", "keys": null}"#, "`keys`"),
        (r#"{"operation": "delete", "keys": null}"#, "`keys`"),
        (r#"{"operation": "put", "values": null}"#, "`values`"),
        (r#"{"operation": "list", "type": null}"#, "`type`"),
        (r#"{"operation": "getvalues", "type": null}"#, "`type`"),
        (r#"{"operation": "put", "values": [{"type": "t", "key": "k", "value": null}]}"#, "`values`"),
        (r#"{"operation": "get", "keys": [{"type": "t", "key": null}]}"#, "`keys`"),
        (r#"{"operation": "put", "values": [], "if": null}"#, "`if`"),
    ] {
        let (kind, message) = raw.error(body).await;
        assert_eq!(kind, "config-error", "{body}");
        assert!(message.contains(field), "{body} gave {message}");
    }
    // Where a field is not used, null is the same as a missing field.
    for body in [
        r#"{"operation": "config", "keys": null, "type": null, "values": null}"#,
        r#"{"operation": "put", "values": [{"type": "t", "key": "k", "value": "v"}], "keys": null, "type": null}"#,
        r#"{"operation": "list", "type": "t", "keys": null, "values": null}"#,
    ] {
        assert_eq!(raw.ask(body).await.error, None, "{body}");
    }
}

#[tokio::test]
async fn a_missing_field_is_its_default() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let raw = fixture.raw().await;
    assert!(raw.ask(r#"{"operation": "get"}"#).await.values.is_empty());
    assert!(raw.ask(r#"{"operation": "list"}"#).await.directory.is_empty());
    assert_eq!(raw.ask(r#"{"operation": "put", "values": [{"type": "t"}]}"#).await.error, None);
    let values = raw.ask(r#"{"operation": "getvalues", "type": "t"}"#).await.values;
    assert_eq!((values[0].key.as_str(), values[0].value.as_deref()), ("", Some("")));
}

#[tokio::test]
async fn requests_of_the_wrong_shape_are_answered() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let raw = fixture.raw().await;
    let many = vec![r#"{"key": "x"}"#; 10_001].join(",");
    for (body, word) in [
        ("[]".to_owned(), "list"),
        ("null".to_owned(), "null"),
        (r#""text""#.to_owned(), "string"),
        (r#"{"operation": ["get"]}"#.to_owned(), "`operation`"),
        (r#"{"operation": "get", "keys": {"type": "t"}}"#.to_owned(), "`keys`"),
        (r#"{"operation": "put", "values": [{"type": "t", "key": "k", "value": {"a": 1}}]}"#.to_owned(), "`values`"),
        (r#"{"operation": "put", "values": [{"key": "k"}], "keys": [{"key": "k"}]}"#.to_owned(), "both"),
        (format!(r#"{{"operation": "get", "keys": [{many}]}}"#), "split it"),
    ] {
        let (kind, message) = raw.error(&body).await;
        assert_eq!(kind, "config-error");
        assert!(message.contains(word), "{message}");
    }
}

#[tokio::test]
async fn a_request_that_is_not_json_is_answered_and_one_without_an_id_dropped() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let (kind, message) = fixture.raw().await.error("nonsense").await;
    assert!(kind == "config-error" && message.starts_with("the request is not JSON"), "{kind}: {message}");
    let topic = "request:tg:config".parse().unwrap();
    let producer = fixture.backend.producer(&topic).await.unwrap();
    let put = br#"{"operation": "put", "values": [{"type": "t", "key": "k", "value": "v"}]}"#;
    producer.publish_confirmed(Message::new(&put[..])).await.unwrap();
    for body in [&b"nonsense"[..], b"", b"\xff\xfe", b"{", b"{\"operation\": \"get\"} x", &[b'['; 100_000]] {
        producer.publish_confirmed(Message::new(body.to_vec()).with(CORRELATION_ID, "some")).await.unwrap();
        producer.publish_confirmed(Message::new(body.to_vec())).await.unwrap();
    }
    let client = fixture.client().await;
    assert_eq!(within_deadline(client.get_one("t", "k")).await.unwrap(), None, "nobody could be told of it");
    let queue = Queue::new(topic, "config-svc".parse().unwrap()).unwrap();
    // The request is answered before it is settled.
    within_deadline(async {
        while figures(&*fixture.backend, &queue).await.unwrap().depth_count > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
