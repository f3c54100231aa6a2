//! The whole processor, in the test kit.

use weir::testing::{Handled, Kit, json};
use weir::{Json, Message, Text, Verdict};

const OUTPUTS: [&str; 6] = ["invoices", "german", "large", "mail", "signed", "alarms"];

/// A router with the outputs and rules of `fixtures/rules.json`.
fn kit() -> Kit {
    kit_with(include_str!("../fixtures/rules.json"))
}

fn kit_with(rules: &str) -> Kit {
    let mut kit = weir::testing::kit!();
    for output in OUTPUTS {
        kit.output(output);
    }
    kit.config("router-rules", "test", rules);
    kit
}

/// The outputs to which a message was sent.
fn to(handled: &Handled) -> Vec<&str> {
    assert_eq!(handled.failure(), None);
    handled.sent().iter().map(|sent| sent.to.as_str()).collect()
}

fn refusal(rules: &str) -> String {
    kit_with(rules).configure().unwrap_err()
}

#[test]
fn the_first_rule_that_matches_decides() {
    let mut kit = kit();
    let mut check =
        |message: serde_json::Value, expected: &str| assert_eq!(to(&kit.handle("input", Json(&message))), [expected], "{message}");
    check(json!({ "kind": "invoice", "language": "de" }), "invoices");
    check(json!({ "kind": "letter", "language": "gsw" }), "german");
    check(json!({ "language": ["de"] }), "rest");
    check(json!({ "pages": 120 }), "large");
    check(json!({ "pages": "99" }), "rest");
    check(json!({ "signatures": [null] }), "signed");
    check(json!({ "signatures": [] }), "rest");
    check(json!({ "text": "Es brennt: FEUER!" }), "alarms");
    check(json!({ "text": "Feuerwehr" }), "rest");
}

#[test]
fn rules_can_test_properties_and_non_json_text() {
    let mut kit = kit();
    assert_eq!(to(&kit.handle("input", Text("Feuer"))), ["alarms"]);
    assert_eq!(to(&kit.handle("input", Text("fire"))), ["rest"]);
    let mail = Message::new(b"\xff\xfe".to_vec(), "image/png").with_property("source", "SMTP:a");
    assert_eq!(to(&kit.handle("input", mail.clone())), ["mail"]);
    assert_eq!(kit.handle("input", mail.clone()).outputs::<Message>("mail"), [mail], "it passes as it came");
}

#[test]
fn with_match_all_every_matching_rule_applies_and_each_output_once() {
    let rules = r#"[{"to": "mail"}, {"to": "large", "path": "/n", "equals": 1}, {"to": "mail", "matches": "n"}, {"to": "german", "path": "/n", "exists": false}]"#;
    let mut kit = kit_with(rules);
    kit.parameter("take", "all");
    assert_eq!(to(&kit.handle("input", Json(json!({ "n": 1.0 })))), ["mail", "large"]);
    assert_eq!(to(&kit.handle("input", Json(json!({})))), ["mail", "german"]);
}

#[test]
fn values_are_compared_as_json_compares_them() {
    let matches = |rule: serde_json::Value, message: serde_json::Value| {
        let mut rule = rule;
        rule["to"] = json!("large");
        rule["path"] = json!("/v");
        to(&kit_with(&json!([rule]).to_string()).handle("input", Json(json!({ "v": message })))) == ["large"]
    };
    for (equals, value, expected) in [
        (json!(1), json!(1.0), true),
        (json!(1), json!("1"), false),
        (json!(0.5), json!(0.5), true),
        (json!(18_446_744_073_709_551_615_u64), json!(18_446_744_073_709_551_615_u64), true),
        (json!(18_446_744_073_709_551_615_u64), json!(-1), false),
        (json!(null), json!(null), true),
        (json!(false), json!(null), false),
        (json!("ä\n"), json!("ä\n"), true),
    ] {
        assert_eq!(matches(json!({ "equals": equals }), value.clone()), expected, "{equals} {value}");
    }
    assert!(matches(json!({ "exists": true }), json!(null)));
    assert!(matches(json!({ "matches": "^true$" }), json!(true)));
    assert!(!matches(json!({ "matches": "" }), json!({})));
    assert!(!matches(json!({ "one-of": [] }), json!(1)));
}

#[test]
fn unmatched_messages_are_refused_without_a_rest_output() {
    let mut kit = kit();
    let handled = kit.without_output("rest").handle("input", Json(json!({ "kind": "letter" })));
    let failure = handled.failure().unwrap();
    assert_eq!(failure.verdict(), Verdict::Reject);
    for word in ["config type `router-rules`, key `test`", "add one", "output `rest`"] {
        assert!(failure.reason().contains(word), "{failure}");
    }
}

#[test]
fn rules_change_between_two_messages_and_faulty_ones_change_nothing() {
    let mut kit = kit();
    let invoice = || Json(json!({ "kind": "invoice" }));
    assert_eq!(to(&kit.handle("input", invoice())), ["invoices"]);
    kit.config("router-rules", "test", r#"[{"to": "mail", "path": "/kind", "exists": true}]"#);
    assert_eq!(to(&kit.handle("input", invoice())), ["mail"]);
    for faulty in [r#"[{"to": "nowhere"}]"#, "[", r#"[{"to": "mail", "matches": "("}]"#] {
        kit.config("router-rules", "test", faulty);
        let handled = kit.handle("input", invoice());
        assert_eq!(to(&handled), ["mail"], "{faulty}");
        assert_eq!(handled.log()[0].message, "component setup failed");
    }
    kit.remove_config("router-rules", "test");
    assert_eq!(to(&kit.handle("input", invoice())), ["mail"]);
    kit.config("router-rules", "test", "[]");
    assert_eq!(to(&kit.handle("input", invoice())), ["rest"]);
}

#[test]
fn several_flows_can_share_rules_by_their_key() {
    let mut kit = kit();
    kit.parameter("rules", "shared");
    let refusal = kit.configure().unwrap_err();
    assert!(refusal.contains("config type `router-rules`, key `shared` has no value: store a list of rules"), "{refusal}");
    kit.config("router-rules", "shared", r#"[{"to": "large"}]"#);
    assert_eq!(to(&kit.handle("input", Json(json!({ "kind": "invoice" })))), ["large"]);
}

#[test]
fn faults_name_rule_field_and_fix() {
    let check = |second: &str, words: &[&str]| {
        let refusal = refusal(&format!(r#"[{{"to": "mail"}}, {second}]"#));
        for word in ["config type `router-rules`, key `test`", "rule 2"].iter().chain(words) {
            assert!(refusal.contains(word), "{second} gave {refusal}, without {word}");
        }
    };
    check("5", &["is not an object such as"]);
    check("{}", &["field `to` is missing"]);
    check(r#"{"to": 7}"#, &["field `to` is 7", "string"]);
    check(r#"{"to": "mial"}"#, &["field `to` is the output `mial`", "rest, invoices, german", "blueprint"]);
    check(r#"{"to": "mail", "equal": 1}"#, &["unknown field `equal`", "equals, one-of, matches, exists"]);
    check(r#"{"to": "mail", "path": "kind", "equals": 1}"#, &["field `path`: `kind`", "write `/kind`"]);
    check(r#"{"to": "mail", "path": "/kind"}"#, &["has no condition", "equals, one-of, matches, exists"]);
    check(r#"{"to": "mail", "path": "/a", "property": "b", "exists": true}"#, &["`path` and `property`", "two rules"]);
    check(r#"{"to": "mail", "path": "/a", "equals": 1, "exists": true}"#, &["`equals` and `exists`", "two rules"]);
    check(r#"{"to": "mail", "equals": 1}"#, &["`equals` without `path` or `property`", "`path`"]);
    check(r#"{"to": "mail", "path": "/a", "equals": [1]}"#, &["field `equals` contains an object or a list", "using `path`"]);
    check(r#"{"to": "mail", "path": "/a", "one-of": "x"}"#, &["field `one-of`", "a list is expected"]);
    check(r#"{"to": "mail", "path": "/a", "one-of": ["x", {}]}"#, &["field `one-of` contains an object"]);
    check(r#"{"to": "mail", "path": "/a", "exists": "yes"}"#, &["field `exists`", "true or false"]);
    check(r#"{"to": "mail", "matches": 5}"#, &["field `matches` is 5", "pattern"]);
    check(r#"{"to": "mail", "matches": "(a"}"#, &["field `matches`: `(a` is not a valid pattern", "unclosed group"]);
    check(r#"{"to": "mail", "matches": "(\\w{50}){50}"}"#, &["field `matches`", "256 KiB"]);
    assert!(refusal(r#"{"to": "mail"}"#).contains("expected a sequence"));
    assert!(refusal("[1,]").contains("is not JSON"));
    let many = refusal(&format!("[{}]", vec![r#"{"to": "mail"}"#; 257].join(",")));
    assert!(many.contains("257 rules; the limit is 256"), "{many}");
}
