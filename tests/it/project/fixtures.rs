//! Fixtures against existing components: what is compared, how differences are shown, and which faults can be injected.

use serde_json::json;
use weir_tests::guest_path;

use super::project_fixture::ProjectFixture;
use crate::guests;

#[test]
fn outputs_are_compared_as_values_text_or_bytes() {
    let workspace = ProjectFixture::new();
    workspace.write("guest/tests/data/body.bin", [0_u8, 255, 1]);
    workspace.passes(
        guests::ECHO,
        r#"{"messages": [
            {"message": {"json": {"a": 1.0, "b": null}}, "expected": {"outputs": {"output": [{"json": {"b": null, "a": 1}}]}}},
            {"message": {"text": "hi", "properties": {"source": "x"}},
             "expected": {"outputs": {"output": [{"text": "hi", "content-type": "text/plain", "properties": {"source": "x"}}]}}},
            {"message": {"base64": "AP8B"}, "expected": {"outputs": {"output": [{"file": "data/body.bin"}]}}},
            {"message": {"file": "data/body.bin"}, "expected": {"outputs": {"output": [{"base64": "AP8B"}]}}},
            {"message": {"json": null}, "expected": {"outputs": {"output": [{"json": null}]}}}
        ]}"#,
    );
}

#[test]
fn a_later_attempt_is_one_at_the_message_before_it() {
    let workspace = ProjectFixture::new();
    let messages = [1, 2, 1].map(|attempt| json!({"message": {"json": 1}, "attempt": attempt}));
    workspace.write("guest/tests/fixture.json", json!({"messages": messages}).to_string());
    let component = guest_path(guests::INSPECT_CONTEXT);
    workspace.must(&["test", "guest", "--component", component.to_str().unwrap(), "--update"]);
    let updated: serde_json::Value = serde_json::from_str(&workspace.read("guest/tests/fixture.json")).unwrap();
    let id = |at: usize| &updated["messages"][at]["expected"]["outputs"]["output"][0]["json"]["message_id"];
    assert!(id(0).is_string() && id(0) == id(1) && id(0) != id(2), "{updated:#}");
}

#[test]
fn a_request_that_a_broker_would_not_take_is_refused() {
    let workspace = ProjectFixture::new();
    let message = json!({"json": "x".repeat(4 << 20)});
    let reason = "the body of the message has 4194306 bytes; the limit is 4194304";
    let output = json!({"json": {"error": "Some(ErrorKind::Invalid)", "reason": reason}});
    let expected = json!({"outputs": {"output": [output]}, "requests": []});
    workspace.passes(guests::REQUEST, &json!({"messages": [{"message": message, "expected": expected}]}).to_string());
}

#[test]
fn a_difference_names_the_message_the_path_and_both_values() {
    let workspace = ProjectFixture::new();
    let fixture = r#"{"messages": [
        {"input": "input", "message": {"json": 1}, "expected": {"outputs": {"output": [{"json": 1}]}}},
        {"message": {"json": {"a": [1, {"b": 2}]}}, "expected": {"outputs": {"output": [{"json": {"a": [1, {"b": 3}]}}], "copies": [{"json": 5}]}}},
        {"message": {"json": 4}, "expected": {"failure": {"verdict": "reject", "reason": "too small"}}}
    ]}"#;
    let (report, ended) = workspace.test_guest(guests::ECHO, fixture);
    assert_eq!((ended.code, &report["verdict"]), (Some(1), &json!("differs")));
    let places: Vec<_> =
        report["details"].as_array().unwrap().iter().map(|it| (it["message"].as_u64().unwrap(), it["place"].as_str().unwrap())).collect();
    assert_eq!(places, [(2, "outputs.copies[0]"), (2, "outputs.output[0].json.a[1].b"), (3, "outputs.output[0]"), (3, "failure")]);
    let component = guest_path(guests::ECHO);
    let shown = workspace.weir(&["test", "guest", "--component", component.to_str().unwrap()]);
    assert_eq!(shown.code, Some(1));
    for words in ["outputs.output[0].json.a[1].b", "expected 3", "found    2", "expected reject: too small", "1 of 1 fixture failed"] {
        assert!(shown.out.contains(words), "`{words}` is not in:\n{}", shown.out);
    }
}

#[test]
fn an_update_writes_only_the_actual_outputs() {
    let workspace = ProjectFixture::new();
    let fixture = "{\n  \"messages\": [\n    {\n      \"message\": { \"json\":   {\"b\": 1, \"a\": 2} }\n    }\n  ]\n}\n";
    workspace.write("guest/tests/fixture.json", fixture);
    let component = guest_path(guests::ECHO);
    let arguments = ["test", "guest", "--component", component.to_str().unwrap()];
    let without = workspace.weir(&arguments);
    assert!(without.code == Some(1) && without.out.contains("weir test --update adds it"), "{without:?}");
    workspace.must(&[&arguments[..], &["--update"]].concat());
    let written = workspace.read("guest/tests/fixture.json");
    let wanted = fixture.replace(
        "{\"b\": 1, \"a\": 2} }",
        "{\"b\": 1, \"a\": 2} },\n      \"expected\": { \"outputs\": { \"output\": [{ \"json\": { \"a\": 2, \"b\": 1 } }] } }",
    );
    assert_eq!(written, wanted);
    workspace.must(&arguments);
    // A fixture without messages states which setup must be rejected, and has nothing that could be written.
    workspace.write("guest/tests/setup.json", r#"{"setup-failure": "no"}"#);
    let refused = workspace.weir(&[&arguments[..], &["--update"]].concat());
    assert!(refused.code == Some(1) && refused.out.contains("same      tests/fixture.json"), "{refused:?}");
}

#[test]
fn services_answer_in_parts_or_fail_in_every_way() {
    let workspace = ProjectFixture::new();
    let fixture = |answer: &str, output: &str| {
        format!(
            r#"{{"answers": {{"service": [{answer}]}}, "messages": [{{"message": {{"json": "q"}}, "expected": {{
                "outputs": {{"output": [{{"json": {output}}}]}}, "requests": [{{"to": "service", "json": "q"}}]}}}}]}}"#
        )
    };
    workspace.passes(guests::REQUEST, &fixture(r#"{"parts": [{"text": "a"}, {"text": "b"}]}"#, r#"{"parts": ["a", "b"]}"#));
    let failed = |kind: &str, reason: &str| json!({"error": format!("Some(ErrorKind::{kind})"), "reason": reason}).to_string();
    let timeout = "no answer from request:tg:service-request:test within 5000 ms";
    workspace.passes(guests::REQUEST, &fixture(r#"{"error": "timeout"}"#, &failed("Timeout", timeout)));
    workspace.passes(guests::REQUEST, &fixture(r#"{"error": "failed", "reason": "no"}"#, &failed("Failed", "no")));
    workspace.passes(
        guests::REQUEST,
        &fixture(r#"{"error": "unavailable", "reason": "away"}"#, &failed("Unavailable", "the broker is not available: away")),
    );
    let (report, _) = workspace.test_guest(guests::REQUEST, &fixture(r#"{"error": "invalid"}"#, "0"));
    assert!(report.to_string().contains("ErrorKind::Invalid"), "{report}");
    let (report, _) = workspace.test_guest(guests::REQUEST, r#"{"messages": [{"message": {"json": "q"}, "expected": {}}]}"#);
    assert!(report.to_string().contains("one more request: add an answer"), "{report}");
}

#[test]
fn an_answer_to_a_request_is_compared_part_by_part() {
    let workspace = ProjectFixture::new();
    workspace.passes(
        guests::PARTS,
        r#"{"messages": [
            {"message": {"json": {"parts": 2}}, "expected": {"replies": [{"json": 0}, {"json": 1}]}},
            {"message": {"json": {"parts": 1, "open": true}}, "expected": {"replies": [{"json": 0}]}},
            {"message": {"json": {"parts": 1, "fail": "reject"}}, "expected": {"replies": [{"json": 0}], "failure": {"verdict": "reject"}}}
        ]}"#,
    );
}

#[test]
fn redelivery_traps_and_time_outs_can_be_tested_and_the_next_message_has_a_new_instance() {
    let workspace = ProjectFixture::new();
    workspace.passes(
        guests::RETRY,
        r#"{"parameters": {"until": 2, "delay": 40}, "messages": [
            {"message": {"json": 1}, "expected": {"failure": {"verdict": "retry", "reason": "attempt 1 of 2", "delay-ms": 40}}},
            {"message": {"json": 1}, "attempt": 2, "expected": {"outputs": {"output": [{"json": 1}]}}}
        ]}"#,
    );
    workspace.passes(
        guests::TRAP,
        r#"{"messages": [
            {"message": {"json": {"trap": true}}, "expected": {"failure": {"verdict": "trap", "reason": "told to trap"}}},
            {"message": {"json": {}}, "expected": {"outputs": {"output": [{"json": {}}]}}}
        ]}"#,
    );
    workspace.passes(
        guests::SPIN,
        r#"{"limits": {"time": "50 ms"}, "messages": [
            {"message": {"json": {"spin": true}},
             "expected": {"failure": {"verdict": "timeout", "reason": "the time limit of 50 ms expired (raise it: weir deploy --limit time-ms=N)"}}},
            {"message": {"json": {}}, "expected": {"outputs": {"output": [{"json": {}}]}}}
        ]}"#,
    );
}

#[test]
fn configuration_parameters_and_log_match_those_of_a_host() {
    let workspace = ProjectFixture::new();
    workspace.passes(
        guests::CONFIG_GET,
        r#"{"config": {"settings": {"a": {"b": 1}, "t": "text"}}, "messages": [
            {"message": {"json": {"key": "a"}}, "expected": {"outputs": {"output": [{"json": {"value": "{\"b\":1}", "keys": ["a", "t"], "version": 1}}]}}}
        ]}"#,
    );
    workspace.passes(
        guests::STDERR,
        r#"{"messages": [
            {"message": {"json": {"stdout": "one", "stderr": "two", "log": "three", "fail": true}}, "expected": {
                "failure": {"verdict": "retry", "reason": "told to fail"},
                "log": [{"level": "info", "text": "one"}, {"level": "warn", "text": "two"}, {"level": "info", "text": "three"}]}}
        ]}"#,
    );
    workspace.passes(guests::SETUP_REFUSED, r#"{"parameters": {"refuse": "not so"}, "setup-failure": "not so"}"#);
    let (report, _) =
        workspace.test_guest(guests::SETUP_REFUSED, r#"{"parameters": {"refuse": "no"}, "messages": [{"message": {"json": 1}}]}"#);
    assert!(report.to_string().contains("the instance could not be set up: no"), "{report}");
}

#[test]
fn unknown_names_in_a_fixture_are_an_error() {
    let workspace = ProjectFixture::new();
    let check = |guest: &str, fixture: &str, words: &str| {
        let (report, ended) = workspace.test_guest(guest, fixture);
        assert_eq!((ended.code, &report["verdict"]), (Some(1), &json!("broken")), "{report}");
        assert!(report["details"].as_str().unwrap().contains(words), "{report}");
    };
    let message = r#""messages": [{"message": {"json": 1}, "expected": {}}]"#;
    check(guests::ECHO, r#"{"messages": [{"input": "in", "message": {"json": 1}}]}"#, "input `in` does not exist; must be one of: input");
    check(guests::TWO_INPUTS, &format!("{{{message}}}"), "message 1: `input` is missing; must be one of:");
    check(guests::ECHO, &format!(r#"{{"parameters": {{"size": 1}}, {message}}}"#), "unknown parameter `size`; must be one of: none");
    check(guests::ECHO, &format!(r#"{{"answers": {{"a": []}}, {message}}}"#), "request `a` does not exist");
    check(guests::ECHO, &format!(r#"{{"config": {{"a": {{}}}}, {message}}}"#), "the type `a` is not among");
    check(guests::ECHO, &format!(r#"{{"limits": {{"memory": "1 GB"}}, {message}}}"#), "limits.memory: a size must be");
    check(guests::ECHO, r#"{"messages": [{"message": {"file": "nothing"}}]}"#, "nothing cannot be read");
    check(guests::ECHO, "{\n\"mesages\": []}", "fixture.json:2: unknown key `mesages`: did you mean `messages`?");
}
