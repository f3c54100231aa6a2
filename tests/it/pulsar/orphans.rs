//! Queues that no flow names any more: those created by Weir are removed, others never, even if they are on one topic.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use weir_tests::pulsar::Broker;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::preparing::printed;
use crate::faults::space::TestBroker;
use crate::rabbitmq::orphans::finding;
use crate::rabbitmq::preparing::document;

/// A Weir with two flows, beside queues of another program.
struct Shared {
    broker: &'static Broker,
    space: TestBroker,
    folder: tempfile::TempDir,
    weir: Weir,
}

impl Shared {
    async fn new() -> Self {
        let broker = Broker::shared().await;
        let (space, folder) = (TestBroker::on_pulsar(broker).await, tempfile::tempdir().unwrap());
        let environment = space.environment(None);
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let weir = Weir::up_in(folder.path(), &[], &environment).await;
        let file = folder.path().join("b.json");
        std::fs::write(&file, space.blueprint("work").to_string()).unwrap();
        weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
        for flow in ["one", "two"] {
            weir.must(&["flow", "start", "b", flow, "--external", "work"]).await;
        }
        Shared { broker, space, folder, weir }
    }

    /// Creates a subscription like another program, and its topic.
    async fn make_foreign(&self, topic: &str, subscription: &str) {
        let path = format!("persistent/{}/flow/{topic}", self.space.name());
        let made = self.broker.admin().send(Method::PUT, &path, None).await.unwrap().0;
        assert!(made.is_success() || made == reqwest::StatusCode::CONFLICT, "{made}");
        let path = format!("{path}/subscription/{subscription}");
        self.broker.admin().must(Method::PUT, &path, Some(&json!("earliest"))).await;
    }

    async fn doctor(&self, arguments: &[&str]) -> Value {
        let environment = self.space.environment(None);
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (_, said) = printed(self.folder.path(), &environment, &[&["doctor", "--json"], arguments].concat()).await;
        document(&said)
    }

    /// The queues of flows, by topic and subscription.
    async fn queues(&self) -> BTreeSet<String> {
        let prefix = format!("{}.flow.", self.space.name());
        self.space.queues().await.into_iter().map(|name| name[prefix.len()..].to_owned()).collect()
    }
}

#[tokio::test]
async fn orphans_are_found_and_removed_and_foreign_subscriptions_are_kept() {
    let shared = Shared::new().await;
    let (weir, tenant) = (&shared.weir, shared.space.name());
    // One has a name like ours, one is on a topic of ours.
    shared.make_foreign("theirs", "echo--one--input").await;
    shared.make_foreign("in:two", "theirs").await;
    let foreign = ["in:two.theirs", "theirs.echo--one--input"].map(str::to_owned);
    let answer = shared.doctor(&[]).await;
    assert_eq!(finding(&answer, "orphans")["grade"], "ok", "{answer}");
    let others = finding(&answer, "other queues");
    let told = others["what"].as_str().unwrap();
    for other in [format!("flow:{tenant}:theirs (subscription echo--one--input)"), format!("flow:{tenant}:in:two (subscription theirs)")] {
        assert!(others["grade"] == "ok" && told.contains(&other), "{answer}");
    }
    assert!(!told.contains("weir.lock") && !told.contains("work--"), "{answer}");
    let holder = format!("process {} on ", weir.pid());
    for check in ["config lock", "flow lock"] {
        let lock = finding(&answer, check);
        assert!(lock["grade"] == "ok" && lock["what"].as_str().unwrap().contains(&holder), "{answer}");
    }
    // The records of both flows are lost, and one of them has a message.
    weir.must(&["send", "one", "in", "--text", "kept"]).await;
    let keys: Vec<Value> = ["one", "two"].iter().map(|key| json!({"type": "flow", "key": key})).collect();
    weir.post("/api/v1/config", &json!({"operation": "delete", "keys": keys})).await;
    let answer = shared.doctor(&[]).await;
    let orphans = finding(&answer, "orphans");
    let told = orphans["what"].as_str().unwrap();
    assert_eq!(orphans["grade"], "warn", "{answer}");
    for (flow, holds) in [("one", "holds 1 message"), ("two", "is empty")] {
        let orphan = format!(
            "flow:{tenant}:in:{flow} (subscription work--{flow}--input) was created by Weir, does not belong to a flow and {holds}"
        );
        assert!(told.contains(&orphan), "{answer}");
    }
    assert!(!told.contains("theirs"), "{answer}");
    assert_eq!(shared.queues().await.len(), 6);
    let answer = shared.doctor(&["--remove-orphans"]).await;
    assert!(finding(&answer, "orphans")["what"].as_str().unwrap().contains("3 queues were deleted"), "{answer}");
    let left: BTreeSet<String> = foreign.iter().cloned().chain(["in:one.work--one--input".to_owned()]).collect();
    assert_eq!(shared.queues().await, left);
    let answer = shared.doctor(&["--remove-orphans", "--discard"]).await;
    assert_eq!(finding(&answer, "orphans")["grade"], "ok", "{answer}");
    assert_eq!(shared.queues().await, foreign.into());
    let others = finding(&answer, "other queues")["what"].as_str().unwrap().to_owned();
    assert!(others.contains("(subscription theirs)"), "{answer}");
    assert_eq!(finding(&shared.doctor(&[]).await, "orphans")["grade"], "ok");
    assert_eq!(shared.weir.end().await.code(), Some(0));
}

/// A topic whose queue was removed without Weir, and whose flow is no longer known: doctor reports and removes it.
#[tokio::test]
async fn an_unknown_topic_without_a_queue_is_found_and_removed() {
    let shared = Shared::new().await;
    let path = format!("persistent/{}/flow/in:one/subscription/work--one--input", shared.space.name());
    shared.broker.admin().must(Method::DELETE, &path, None).await;
    // A topic of another program, not created by Weir.
    shared.broker.admin().must(Method::PUT, &format!("persistent/{}/flow/theirs", shared.space.name()), None).await;
    let keys = [json!({"type": "flow", "key": "one"})];
    shared.weir.post("/api/v1/config", &json!({"operation": "delete", "keys": keys})).await;
    let told = format!("flow:{}:in:one (subscription work--one--input)", shared.space.name());
    let answer = shared.doctor(&[]).await;
    let orphans = finding(&answer, "orphans");
    assert!(orphans["grade"] == "warn" && orphans["what"].as_str().unwrap().contains(&told), "{answer}");
    let answer = shared.doctor(&["--remove-orphans"]).await;
    assert!(finding(&answer, "orphans")["what"].as_str().unwrap().contains(&told), "{answer}");
    let left = shared.queues().await;
    assert!(left.contains("theirs") && !left.iter().any(|name| name.contains("one")), "{left:?}");
    assert_eq!(finding(&shared.doctor(&[]).await, "orphans")["grade"], "ok");
    assert_eq!(shared.weir.end().await.code(), Some(0));
}

/// A topic that lost its last queue would hold messages that nothing consumes, unreported: deleting its queue deletes it too.
#[tokio::test]
async fn a_topic_without_a_queue_is_removed_when_its_queue_is_deleted_again() {
    let shared = Shared::new().await;
    let path = format!("persistent/{}/flow/in:one/subscription/work--one--input", shared.space.name());
    shared.broker.admin().must(Method::DELETE, &path, None).await;
    assert!(shared.queues().await.contains("in:one"), "{:?}", shared.queues().await);
    for flow in ["one", "two"] {
        shared.weir.must(&["flow", "stop", flow, "--discard"]).await;
    }
    eventually(DEADLINE, "no topic to be left", || async { shared.queues().await.is_empty().then_some(()) }).await;
    assert_eq!(shared.weir.end().await.code(), Some(0));
}
