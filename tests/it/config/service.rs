//! The service as seen by its clients.

use std::collections::BTreeMap;

use weir_config::protocol::{ConfigLimit, Key, Notify, Value};
use weir_config::{Batch, ConfigClient, ConfigError, ConfigService, Store};
use weir_pubsub::Limits;

use super::faulty::{Fault, Faulty};
use super::support::{ConfigFixture, within_deadline};

fn key(config_type: &str, key: &str) -> Key {
    Key { config_type: config_type.into(), key: key.into() }
}

fn value(config_type: &str, key: &str, value: Option<&str>) -> Value {
    Value { config_type: config_type.into(), key: key.into(), value: value.map(ToOwned::to_owned) }
}

#[tokio::test]
async fn all_subscribers_are_notified_to_fetch_everything_at_the_start() {
    let fixture = ConfigFixture::new();
    let notifies = fixture.notifies().await;
    let service = fixture.service().await;
    let told = notifies.next().await;
    assert!(told.types.is_empty() && told.keys.is_none());
    assert_eq!(told.version, fixture.client().await.version().await.unwrap());
    service.stop().await;
    let service = fixture.service().await;
    assert!(notifies.next().await.version > told.version);
    service.stop().await;
}

#[tokio::test]
async fn a_batch_is_one_version_step_and_one_notify_with_all_types() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let client = fixture.client().await;
    let before = client.version().await.unwrap();
    let notifies = fixture.notifies().await;
    client.apply(Batch::new().put("b", "1", "x").put("a", "1", "y").put("a", "2", "z").delete("c", "none")).await.unwrap();
    // The notification was sent before the answer.
    let told = notifies.now().expect("the notify precedes the answer");
    assert_eq!(told.version, before + 1);
    assert_eq!(told.types, ["a", "b", "c"]);
    let keys = told.keys.unwrap();
    assert_eq!(keys["a"], ["1", "2"]);
    assert_eq!(keys["c"], ["none"]);
    assert_eq!(notifies.now(), None);
    let everything = client.everything().await.unwrap();
    assert_eq!(everything.version, before + 1);
    assert_eq!(everything.value.keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn an_unchanged_value_and_a_missing_key_are_steps_too() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let client = fixture.client().await;
    let before = client.version().await.unwrap();
    let notifies = fixture.notifies().await;
    for batch in [Batch::new().put("t", "k", "v"), Batch::new().put("t", "k", "v"), Batch::new().delete("t", "none")] {
        client.apply(batch).await.unwrap();
        assert_eq!(notifies.next().await.types, ["t"]);
    }
    assert_eq!(client.version().await.unwrap(), before + 3);
}

#[tokio::test]
async fn an_empty_batch_changes_nothing_and_sends_no_notify() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let (client, raw) = (fixture.client().await, fixture.raw().await);
    let before = client.version().await.unwrap();
    let notifies = fixture.notifies().await;
    client.apply(Batch::new()).await.unwrap();
    assert_eq!(raw.ask(r#"{"operation": "put"}"#).await.error, None);
    assert_eq!(raw.ask(r#"{"operation": "delete", "keys": []}"#).await.error, None);
    assert_eq!(client.version().await.unwrap(), before);
    assert_eq!(notifies.now(), None);
}

#[tokio::test]
async fn a_put_with_keys_deletes_in_the_same_step() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let client = fixture.client().await;
    client.apply(Batch::new().put("t", "old", "1")).await.unwrap();
    let notifies = fixture.notifies().await;
    client.apply(Batch::new().put("u", "new", "2").delete("t", "old")).await.unwrap();
    assert_eq!(notifies.next().await.types, ["t", "u"]);
    assert_eq!(notifies.now(), None);
    assert_eq!(client.get_one("t", "old").await.unwrap(), None);
    assert_eq!(client.get_one("u", "new").await.unwrap().as_deref(), Some("2"));
}

#[tokio::test]
async fn conditions_are_checked_in_the_same_step() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let client = fixture.client().await;
    client.apply(Batch::new().put("t", "k", "1").on_condition("t", "k", None)).await.unwrap();
    client.apply(Batch::new().put("t", "k", "2").on_condition("t", "k", Some("1".into()))).await.unwrap();
    let before = client.version().await.unwrap();
    let notifies = fixture.notifies().await;
    for batch in [
        Batch::new().put("t", "k", "3").on_condition("t", "k", None),
        Batch::new().put("t", "k", "3").on_condition("t", "k", Some("1".into())),
        Batch::new().delete("t", "k").on_condition("t", "k", Some("1".into())),
        Batch::new().put("t", "k", "3").on_condition("t", "k", Some("2".into())).on_condition("t", "none", Some("x".into())),
    ] {
        let error = client.apply(batch).await.unwrap_err();
        assert!(matches!(error, ConfigError::Conflict { .. }), "{error}");
    }
    assert_eq!(client.version().await.unwrap(), before);
    assert_eq!(client.get_one("t", "k").await.unwrap().as_deref(), Some("2"));
    assert_eq!(notifies.now(), None);
    client.apply(Batch::new().delete("t", "k").on_condition("t", "k", Some("2".into()))).await.unwrap();
}

#[tokio::test]
async fn get_of_a_missing_key_returns_null_at_its_position() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let client = fixture.client().await;
    client.apply(Batch::new().put("t", "a", "1").put("t", "b", "")).await.unwrap();
    let got = client.get(&[key("t", "b"), key("t", "none"), key("none", "a"), key("t", "a")]).await.unwrap().value;
    assert_eq!(got, [value("t", "b", Some("")), value("t", "none", None), value("none", "a", None), value("t", "a", Some("1"))]);
    let raw = fixture.raw().await;
    let body = raw.message(r#"{"operation": "get", "keys": [{"type": "t", "key": "none"}]}"#).await.body;
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(body.contains(r#""values":[{"type":"t","key":"none","value":null}],"directory":[],"config":{},"error":null"#), "{body}");
}

#[tokio::test]
async fn list_getvalues_and_config_read_one_state_with_its_version() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let client = fixture.client().await;
    client.apply(Batch::new().put("t", "b", "2").put("t", "a", "1").put("u", "c", "3")).await.unwrap();
    let version = client.version().await.unwrap();
    let listed = client.list("t").await.unwrap();
    assert_eq!((listed.version, listed.value), (version, vec!["a".to_owned(), "b".to_owned()]));
    let values = client.values("t").await.unwrap();
    let wanted = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
    assert_eq!((values.version, &values.value), (version, &wanted));
    let everything = client.everything().await.unwrap();
    assert_eq!((everything.version, &everything.value["t"], everything.value["u"]["c"].as_str()), (version, &wanted, "3"));
    assert!(client.list("none").await.unwrap().value.is_empty());
    assert!(client.values("none").await.unwrap().value.is_empty());
}

#[tokio::test]
async fn answers_to_writes_are_empty_and_complete_and_carry_the_id_alone() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let (raw, notifies) = (fixture.raw().await, fixture.notifies().await);
    let answer = raw.message(r#"{"operation": "put", "values": [{"type": "t", "key": "k", "value": "v"}], "else": 1}"#).await;
    assert_eq!(&answer.body[..], br#"{"version":0,"values":[],"directory":[],"config":{},"error":null}"#);
    assert_eq!(answer.properties.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["id"]);
    assert_eq!(answer.from, None);
    let notify = notifies.next_message().await;
    assert!(notify.properties.is_empty() && notify.from.is_none());
}

#[tokio::test]
async fn a_notify_of_many_keys_names_only_the_types() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let client = fixture.client().await;
    let notifies = fixture.notifies().await;
    for (count, with_keys) in [(64, true), (65, false)] {
        let batch = (0..count).fold(Batch::new(), |batch, n| batch.put("t", n.to_string(), "v"));
        client.apply(batch).await.unwrap();
        let Notify { types, keys, .. } = notifies.next().await;
        assert_eq!(types, ["t"]);
        assert_eq!(keys.is_some(), with_keys, "{count}");
    }
}

#[tokio::test]
async fn acknowledged_changes_survive_a_restart() {
    let fixture = ConfigFixture::new();
    let service = fixture.service().await;
    let client = fixture.client().await;
    client.apply(Batch::new().put("t", "k", "v")).await.unwrap();
    let version = client.version().await.unwrap();
    service.stop().await;
    let _service = fixture.service().await;
    let value = client.values("t").await.unwrap();
    assert!(value.version > version);
    assert_eq!(value.value["k"], "v");
}

#[tokio::test]
async fn a_second_service_ends_with_a_clear_error() {
    let fixture = ConfigFixture::new();
    let service = fixture.service().await;
    let other = Store::open(&fixture.folder.path().join("other.sqlite")).await.unwrap();
    let error = ConfigService::start(fixture.backend.clone(), "tg", other.clone()).await.unwrap_err();
    assert!(matches!(error, ConfigError::Held { .. }));
    assert!(error.to_string().contains("another config service holds weir.lock.config.tg"), "{error}");
    fixture.client().await.version().await.unwrap();
    // Another topicspace is another service.
    let beside = ConfigService::start(fixture.backend.clone(), "other", other).await.unwrap();
    beside.stop().await;
    service.stop().await;
    fixture.service().await.stop().await;
}

#[tokio::test]
async fn an_invalid_topicspace_is_reported() {
    let fixture = ConfigFixture::new();
    let error = ConfigService::start(fixture.backend.clone(), "a.b", fixture.store().await).await.unwrap_err();
    assert!(error.to_string().contains("`a.b`"), "{error}");
    assert!(matches!(ConfigClient::connect(fixture.backend.clone(), "").await, Err(ConfigError::Topicspace { .. })));
}

#[tokio::test]
async fn an_answer_above_the_brokers_limit_is_an_error() {
    let fixture = ConfigFixture::with_limits(Limits { max_answer_bytes: 4096, ..Limits::default() });
    let _service = fixture.service().await;
    let client = fixture.client().await;
    client.apply(Batch::new().put("t", "k", "x".repeat(3000))).await.unwrap();
    client.everything().await.unwrap();
    // Quotes take two bytes each on the wire: the service does not accept what it could not send in an answer.
    let quotes = Batch::new().put("u", "k", "\"".repeat(3000));
    assert!(matches!(client.apply(quotes.clone()).await, Err(ConfigError::Answered { kind, .. }) if kind == "config-error"));
    fixture.store().await.apply(&quotes).await.unwrap();
    for answer in [client.everything().await.map(|_| ()), client.values("u").await.map(|_| ())] {
        let Err(ConfigError::Answered { kind, message, exceeded }) = answer else { panic!("{answer:?}") };
        assert_eq!((&*kind, exceeded), ("config-error", Some(ConfigLimit::Answer)));
        assert!(message.contains("4096 bytes"), "{message}");
    }
    client.values("t").await.unwrap();
}

#[tokio::test]
async fn a_service_that_lost_its_queue_recovers_and_notifies_all_subscribers() {
    let fixture = ConfigFixture::new();
    let faulty = Faulty::over(fixture.backend.clone());
    let service = ConfigService::start(faulty.clone(), "tg", fixture.store().await).await.unwrap();
    let client = fixture.client().await;
    client.apply(Batch::new().put("t", "k", "v")).await.unwrap();
    let version = client.version().await.unwrap();
    let notifies = fixture.notifies().await;
    faulty.fault(Fault::RequestsCut);
    let told = notifies.next().await;
    assert_eq!((told.version, told.types.len()), (version, 0));
    assert_eq!(within_deadline(client.get_one("t", "k")).await.unwrap().as_deref(), Some("v"));
    assert!(service.is_running());
    service.stop().await;
}
