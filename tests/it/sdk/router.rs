//! The router in a host: rules that change while messages flow, faulty ones, and the largest messages.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use weir_config::Batch;
use weir_tests::wait::within;

use super::plugin::Plugins;

fn rules(rules: &Value) -> Batch {
    Batch::new().put("router-rules", "main", rules.to_string())
}

/// A router whose flow has the outputs `left`, `right` and `rest`.
async fn router(first: &Value) -> Plugins {
    Plugins::start_with(&[("router", &[])], &["left", "right", "rest"], rules(first)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_change_under_load_and_each_message_takes_one_route() {
    let to = |side: &str| json!([{ "to": side, "path": "/number", "exists": true }]);
    let plugins = router(&to("left")).await;
    let (mut sent, mut seen) = (0_u64, Vec::new());
    for round in 0..10 {
        let side = if round % 2 == 0 { "right" } else { "left" };
        // These are in flight when the rules change.
        for _ in 0..50 {
            plugins.send(&json!({ "number": sent })).await;
            sent += 1;
        }
        plugins.apply(rules(&to(side))).await;
        let changed_at = sent;
        loop {
            plugins.send(&json!({ "number": sent })).await;
            sent += 1;
            let (output, message) = plugins.next_of_any().await;
            let number = message["number"].as_u64().unwrap();
            seen.push(number);
            if output == side && number >= changed_at {
                break;
            }
        }
    }
    while (seen.len() as u64) < sent {
        seen.push(plugins.next_of_any().await.1["number"].as_u64().unwrap());
    }
    assert_eq!(seen.iter().copied().collect::<BTreeSet<_>>(), (0..sent).collect(), "each number, and none twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn faulty_rules_are_shown_in_the_status_and_the_previous_ones_stay() {
    let plugins = router(&json!([{ "to": "left", "path": "/kind", "equals": "invoice" }])).await;
    plugins.send(&json!({ "kind": "invoice" })).await;
    assert_eq!(plugins.next_of("left").await, json!({ "kind": "invoice" }));
    plugins.send(&json!({ "kind": "letter" })).await;
    assert_eq!(plugins.next_of("rest").await, json!({ "kind": "letter" }));
    plugins.apply(rules(&json!([{ "to": "right" }, { "to": "nowhere" }]))).await;
    // Rules are read with the next message after the host has received them, which may not be the very next one.
    let fault = "rule 2: field `to` is the output `nowhere`, which this flow does not have (it has rest, left, output, right)";
    let send_until = async |what: &str, done: &dyn Fn(&str) -> bool| {
        let sending = async {
            loop {
                plugins.send(&json!({ "kind": "invoice" })).await;
                if done(plugins.next_of_any().await.0) {
                    break;
                }
            }
        };
        within(what, sending).await;
    };
    send_until(fault, &|output| {
        assert_eq!(output, "left");
        plugins.says(fault)
    })
    .await;
    plugins.send(&json!({ "kind": "letter" })).await;
    assert_eq!(plugins.next_of("rest").await, json!({ "kind": "letter" }));
    plugins.apply(rules(&json!([{ "to": "right" }]))).await;
    send_until("the new rules", &|output| output == "right").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_until_rules_exist() {
    let plugins = Plugins::start_with(&[("router", &[("rules", "shared")])], &["left"], Batch::new()).await;
    plugins.send(&json!({ "kind": "invoice" })).await;
    plugins.status_says("config type `router-rules`, key `shared` has no value").await;
    plugins.apply(Batch::new().put("router-rules", "shared", r#"[{"to": "left", "path": "/kind", "equals": "invoice"}]"#)).await;
    assert_eq!(plugins.next_of("left").await, json!({ "kind": "invoice" }));
    // And without an output `rest`, what no rule matches is not lost silently.
    plugins.send(&json!({ "kind": "letter" })).await;
    let reason = plugins.dead_letter().await;
    assert!(reason.contains("no rule of config type `router-rules`, key `shared` matches") && reason.contains("`rest`"), "{reason}");
}

/// The maximum number of rules over nearly four mebibytes, within the default limits on time and memory.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_messages_are_routed_by_the_largest_number_of_rules() {
    let mut list: Vec<Value> = (0..128).map(|at| json!({ "to": "left", "path": format!("/list/{at}/a"), "equals": at })).collect();
    list.extend((0..127).map(|at| json!({ "to": "left", "matches": format!("(?i)(ä|[a-z]+)*{at}x$") })));
    list.push(json!({ "to": "right", "path": "/kind", "equals": "long" }));
    let plugins = router(&json!(list)).await;
    for part in ["1,", "[],", "\"ää\","] {
        let mut long = part.repeat(3_900_000 / part.len());
        long.pop();
        plugins.send(&serde_json::from_str(&format!(r#"{{"list": [{long}], "kind": "long"}}"#)).unwrap()).await;
        assert_eq!(plugins.next_of("right").await["kind"], "long", "{part}");
    }
}
