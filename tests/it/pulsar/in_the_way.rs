//! Policies and topics that obstruct a running Weir: each error names the cause and the fix; once that is applied, everything continues and
//! nothing is lost.

use reqwest::Method;
use serde_json::{Value, json};
use weir_pubsub::{Backend, Queue};
use weir_tests::pulsar::{Admin, Broker, Role};
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::fixture::{WeirFixture, fails};
use crate::rabbitmq::up::echoes;

/// A Weir with flow `one`, and the means to obstruct it.
struct Way {
    place: WeirFixture,
    weir: Weir,
    admin: &'static Admin,
}

impl Way {
    async fn new() -> Self {
        let broker = Broker::node().await;
        let place = WeirFixture::on(broker, Role::Weir);
        broker.admin().make_tenant(&place.tenant, &[Role::Weir.name()]).await;
        place.ends("init", &["init"], 0, &[]).await;
        let weir = place.up(&[]).await;
        place.start(&weir, "echo", &["one"]).await;
        Way { place, weir, admin: broker.admin() }
    }

    /// Sets a policy of the namespace of flows, or removes it.
    async fn policy(&self, name: &str, value: Option<Value>) {
        let path = format!("namespaces/{}/flow/{name}", self.place.tenant);
        let method = if value.is_some() { Method::POST } else { Method::DELETE };
        self.admin.must(method, &path, Some(&value.unwrap_or_default())).await;
    }

    fn topic(&self, name: &str) -> String {
        format!("persistent/{}/flow/{name}", self.place.tenant)
    }

    /// Starting a flow must fail with these words, and leave nothing behind.
    async fn does_not_start(&self, flow: &str, words: &[&str]) {
        fails(&self.weir, &["flow", "start", "echo", flow], words).await;
        echoes(&self.weir, "one", "all the same").await;
    }

    /// A policy just set makes the broker refuse messages of a flow, with these words.
    async fn refuses(&self, flow: &str, words: &[&str]) {
        let refused = || async {
            let sent = self.weir.run(&["send", flow, "in", "--text", "sent"]).await;
            let said = String::from_utf8_lossy(&sent.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
            (!sent.status.success() && words.iter().all(|word| said.contains(word))).then_some(())
        };
        eventually(DEADLINE, format!("the broker to refuse messages of {flow}: {words:?}"), refused).await;
    }

    /// The broker accepts messages of a flow again, and they pass through it behind those accepted before.
    async fn accepts(&self, flow: &str) {
        let sent = || async { self.weir.run(&["send", flow, "in", "--text", "the last"]).await.status.success().then_some(()) };
        eventually(2 * DEADLINE, format!("the broker to accept messages of {flow}"), sent).await;
        let last = || async { self.weir.must(&["take", flow, "out", "--count", "1"]).await.contains("the last").then_some(()) };
        eventually(DEADLINE, format!("the last message of {flow}"), last).await;
    }

    async fn starts(&self, flow: &str) {
        eventually(DEADLINE, format!("flow {flow} to start"), || async {
            self.weir.run(&["flow", "start", "echo", flow]).await.status.success().then_some(())
        })
        .await;
        echoes(&self.weir, flow, "after all").await;
    }
}

#[tokio::test]
async fn policies_that_lose_messages_are_reported_and_corrected() {
    let way = Way::new().await;
    assert_eq!(way.place.finding("queue policies").await.0, "ok");
    let quota = json!({"limitSize": 1, "limitTime": -1, "policy": "consumer_backlog_eviction"});
    let changed = [
        ("messageTTL", json!(60), "expiry of "),
        ("subscriptionExpirationTime", json!(5), "expiry of queues of "),
        ("backlogQuota?backlogQuotaType=destination_storage", quota, "size limit of all topics of "),
        ("autoTopicCreation", json!({"allowAutoTopicCreation": true, "topicType": "non-partitioned"}), "automatic topics of "),
        ("autoSubscriptionCreation", json!({"allowAutoSubscriptionCreation": true}), "automatic subscriptions of "),
        (
            "inactiveTopicPolicies",
            json!({"inactiveTopicDeleteMode": "delete_when_subscriptions_caught_up", "maxInactiveDurationSeconds": 600, "deleteWhileInactive": true}),
            "idle topics of ",
        ),
    ];
    for (name, value, _) in &changed {
        way.policy(name, Some(value.clone())).await;
    }
    let (grade, text) = way.place.finding("queue policies").await;
    assert_eq!(grade, "warn", "{text}");
    for (_, _, words) in &changed {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    let said = way.place.ends("init", &["init"], 0, &[]).await;
    assert_eq!(said.matches("now set").count(), changed.len(), "{said}");
    assert_eq!(way.place.finding("queue policies").await.0, "ok");
    echoes(&way.weir, "one", "through it all").await;
    assert_eq!(way.weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn limits_of_an_administrator_are_reported_and_kept() {
    let way = Way::new().await;
    let tenant = way.place.tenant.clone();
    way.policy("maxTopicsPerNamespace", Some(json!(3))).await;
    way.does_not_start("two", &["maximum number of topics", "remove-max-topics-per-namespace"]).await;
    let (grade, text) = way.place.finding("queue policies").await;
    let told = format!("pulsar-admin namespaces remove-max-topics-per-namespace {tenant}/flow");
    assert!(grade == "warn" && text.contains("max_topics_per_namespace = 3") && text.contains(&told), "{text}");
    way.policy("maxTopicsPerNamespace", None).await;
    way.starts("two").await;
    way.policy("maxSubscriptionsPerTopic", Some(json!(1))).await;
    // A queue of another client is already on the topic.
    way.admin.must(Method::PUT, &way.topic("in:three"), None).await;
    way.admin.must(Method::PUT, &format!("{}/subscription/another", way.topic("in:three")), Some(&json!("earliest"))).await;
    way.does_not_start("three", &["maximum number of subscriptions", "remove-max-subscriptions-per-topic"]).await;
    way.policy("maxSubscriptionsPerTopic", None).await;
    way.starts("three").await;

    way.policy("encryptionRequired", Some(json!(true))).await;
    let told = format!("pulsar-admin namespaces set-encryption-required {tenant}/flow --disable");
    way.refuses("three", &["ncryption is required", &told]).await;
    let (grade, text) = way.place.finding("queue policies").await;
    assert!(grade == "fail" && text.contains(&told) && !text.contains("RabbitMQ") && !text.contains("management"), "{text}");
    // Heartbeats pass, but nothing can be stored.
    let (grade, text) = way.place.finding("messages").await;
    assert!(grade == "fail" && text.contains("ncryption is required"), "{text}");
    way.policy("encryptionRequired", Some(json!(false))).await;
    way.accepts("three").await;
    way.policy("subscriptionTypesEnabled", Some(json!(["Exclusive"]))).await;
    let (grade, text) = way.place.finding("queue policies").await;
    assert!(grade == "fail" && text.contains("remove-subscription-types-enabled"), "{text}");
    way.policy("subscriptionTypesEnabled", None).await;
    assert_eq!(way.weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn bounds_rates_and_retention_of_an_administrator_are_named() {
    let way = Way::new().await;
    let tenant = way.place.tenant.clone();
    let quota = json!({"limitSize": 1000, "limitTime": -1, "policy": "producer_exception"});
    way.policy("backlogQuota?backlogQuotaType=destination_storage", Some(quota)).await;
    way.policy("publishRate", Some(json!({"publishThrottlingRateInMsg": 1000, "publishThrottlingRateInByte": -1}))).await;
    let rate = json!({"publishThrottlingRateInMsg": 2000, "publishThrottlingRateInByte": -1});
    way.admin.must(Method::POST, &format!("{}/publishRate", way.topic("in:one")), Some(&rate)).await;
    let told = [
        format!("remove-backlog-quota {tenant}/flow --type destination_storage"),
        format!("remove-publish-rate {tenant}/flow"),
        format!("topicPolicies remove-publish-rate persistent://{tenant}/flow/in:one"),
    ];
    let named = || async {
        let (grade, text) = way.place.finding("queue policies").await;
        (grade == "warn" && told.iter().all(|words| text.contains(words))).then_some(())
    };
    eventually(DEADLINE, format!("doctor to name {told:?}"), named).await;
    // The queue of the input has no limit of its own.
    let input = Queue::new(format!("flow:{tenant}:in:one").parse().unwrap(), "echo--one--input".parse().unwrap()).unwrap();
    let backend = super::connection::connected(Broker::node().await).await;
    let bounded = || async {
        let stats = backend.inspect().stats(&input).await.ok()?;
        (stats.refuse_above_bytes == Some(1000) && stats.size_bytes.is_some()).then_some(())
    };
    eventually(DEADLINE, "the bound of the namespace at a queue", bounded).await;
    let retention = json!({"retentionTimeInMinutes": 60, "retentionSizeInMB": 1});
    way.policy("backlogQuota?backlogQuotaType=destination_storage", None).await;
    way.policy("retention", Some(retention)).await;
    way.does_not_start("two", &["retention", &format!("remove-retention {tenant}/flow")]).await;
    way.policy("retention", None).await;
    way.starts("two").await;
    assert_eq!(way.weir.end().await.code(), Some(0));
}

#[tokio::test]
async fn topics_of_other_kinds_are_reported_and_kept() {
    let way = Way::new().await;
    let (weir, tenant) = (&way.weir, way.place.tenant.clone());
    way.admin.must(Method::PUT, &format!("{}/partitions", way.topic("in:two")), Some(&json!(2))).await;
    way.does_not_start("two", &["partitioned topic", "delete-partitioned-topic", &format!("persistent://{tenant}/flow/in:two")]).await;
    way.admin.must(Method::DELETE, &format!("{}/partitions?force=true", way.topic("in:two")), None).await;
    way.starts("two").await;

    weir.must(&["flow", "start", "echo", "three"]).await;
    way.policy("schemaValidationEnforced", Some(json!(true))).await;
    let schema = json!({"type": "STRING", "schema": "", "properties": {}});
    way.admin.must(Method::POST, &format!("schemas/{tenant}/flow/in:three/schema"), Some(&schema)).await;
    way.refuses("three", &["schema", &format!("set-schema-validation-enforce {tenant}/flow --disable")]).await;
    way.policy("schemaValidationEnforced", Some(json!(false))).await;
    way.accepts("three").await;

    // A message above the limit of one topic: an error for its sender, a dead letter if a component sends it.
    let large = way.place.file("large.json", &json!({"text": "x".repeat(4000)}).to_string());
    for (topic, words) in [("in:one", "the limit is 1000"), ("out:one", "")] {
        way.admin.must(Method::POST, &format!("{}/maxMessageSize", way.topic(topic)), Some(&json!(1000))).await;
        let limited = || async {
            let sent = weir.run(&["send", "one", "in", &large]).await;
            let said = String::from_utf8_lossy(&sent.stderr).into_owned();
            match topic {
                "in:one" => (said.contains("maxMessageSize") && said.contains(words)).then_some(()),
                _ => {
                    let letters = weir.must(&["dead-letters", "list", "--json"]).await;
                    println!("{said}{letters}{}", weir.must(&["status"]).await);
                    letters.contains("maxMessageSize").then_some(())
                }
            }
        };
        eventually(DEADLINE, format!("the limit of {topic}"), limited).await;
        way.admin.must(Method::DELETE, &format!("{}/maxMessageSize", way.topic(topic)), None).await;
    }
    weir.must(&["send", "one", "in", "--text", "small"]).await;
    let small = || async { weir.must(&["take", "one", "out", "--count", "1"]).await.contains("small").then_some(()) };
    eventually(DEADLINE, "a small one", small).await;
    assert_eq!(way.weir.end().await.code(), Some(0));
}
