//! Queues that no flow names any more: those created by Weir are removed, others never.

use serde_json::{Value, json};
use weir_tests::rabbitmq::{Broker, DefaultQueues};
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::preparing::{document, printed};

/// The finding of a check.
pub(crate) fn finding<'a>(answer: &'a Value, check: &str) -> &'a Value {
    answer["checks"].as_array().unwrap().iter().find(|finding| finding["check"] == check).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn orphans_are_found_and_removed_and_foreign_queues_are_kept() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    let management = broker.management().url();
    let weir = Weir::up_in(folder.path(), &["--broker-management", management], &[("WEIR_BROKER_URL", vhost.url())]).await;
    let blueprint = json!({
        "blueprint": {},
        "flow": {"work:{id}": {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}}},
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
    });
    let file = folder.path().join("b.json");
    std::fs::write(&file, blueprint.to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    for flow in ["one", "two"] {
        weir.must(&["flow", "start", "b", flow, "--external", "work"]).await;
    }
    // Another program's queue, named like ours.
    let foreign = "tg.flow.theirs.echo--one--input";
    broker.management().put(&format!("queues/{}/{foreign}", vhost.name()), &json!({"durable": true})).await;
    let doctor = async |arguments: &[&str]| {
        let all = [&["doctor", "--json", "--broker-management", management], arguments].concat();
        let (_, said) = printed(folder.path(), vhost.url(), &all).await;
        document(&said)
    };
    let answer = doctor(&[]).await;
    assert_eq!(finding(&answer, "orphans")["grade"], "ok", "{answer}");
    let others = finding(&answer, "other queues");
    assert!(others["grade"] == "ok" && others["what"].as_str().unwrap().contains("flow:tg:theirs"), "{answer}");
    // The locks of the services are not reported as queues of others, and are shown with their holder.
    assert!(!others.to_string().contains("weir.lock"), "{answer}");
    let holder = format!("process {} on ", weir.pid());
    // The management API shows consumers with a delay of some seconds.
    eventually(DEADLINE, "both locks to be shown with their holder", || async {
        let answer = doctor(&[]).await;
        let is_shown = |check| {
            let lock = finding(&answer, check);
            lock["grade"] == "ok" && lock["what"].as_str().unwrap().contains(&holder)
        };
        (is_shown("config lock") && is_shown("flow lock")).then_some(())
    })
    .await;
    // The records of both flows are lost, and one of them has a message.
    weir.must(&["send", "one", "in", "--text", "kept"]).await;
    let keys: Vec<Value> = ["one", "two"].iter().map(|key| json!({"type": "flow", "key": key})).collect();
    weir.post("/api/v1/config", &json!({"operation": "delete", "keys": keys})).await;
    let answer = doctor(&[]).await;
    let orphans = finding(&answer, "orphans");
    assert_eq!(orphans["grade"], "warn", "{answer}");
    assert!(orphans["what"].as_str().unwrap().contains("flow:tg:in:one (subscription work--one--input) was created by Weir"), "{answer}");
    assert!(!orphans["what"].as_str().unwrap().contains("theirs"), "{answer}");
    let queues = async || {
        let queues = broker.management().get(&format!("queues/{}", vhost.name())).await;
        let names = queues.as_array().unwrap().iter().map(|queue| queue["name"].as_str().unwrap().to_owned());
        let mut names: Vec<String> = names.filter(|name| name.starts_with("tg.flow.") && !name.contains("weir-")).collect();
        names.sort();
        names
    };
    assert_eq!(queues().await.len(), 5);
    let answer = doctor(&["--remove-orphans"]).await;
    assert!(finding(&answer, "orphans")["what"].as_str().unwrap().contains("3 queues were deleted"), "{answer}");
    assert_eq!(queues().await, ["tg.flow.in:one.work--one--input", foreign]);
    let answer = doctor(&["--remove-orphans", "--discard"]).await;
    assert_eq!(finding(&answer, "orphans")["grade"], "ok", "{answer}");
    assert_eq!(queues().await, [foreign]);
    assert_eq!(finding(&doctor(&[]).await, "orphans")["grade"], "ok");
    assert_eq!(weir.end().await.code(), Some(0));
}
