//! What a handler may send, and what is refused.

use weir::testing::{Handled, Kit, json};
use weir::{ErrorKind, Failure, Json, Message, Result, Text, Verdict};

const DESCRIPTOR: &str = r#"{
    "schema": 1, "consumers": ["input"], "producers": ["output", { "name": "extra", "optional": true }]
}"#;

/// The outcome of sending one message.
fn sent(make: impl Fn() -> Result + 'static) -> Handled {
    Kit::new(DESCRIPTOR, make).handle("input", Json(1))
}

fn refusal(make: impl Fn() -> Result + 'static) -> String {
    let handled = sent(make);
    let failure = handled.failure().unwrap();
    assert_eq!((failure.verdict(), failure.call_error()), (Verdict::Reject, Some(ErrorKind::Invalid)), "{failure}");
    failure.reason().to_owned()
}

#[test]
fn sent_messages_keep_their_order_and_look_as_receivers_see_them() {
    let handled = sent(|| {
        weir::send("extra", Text("a"))?;
        let mut twice = Message::new("[1]", "application/json");
        twice.properties = vec![("colour".to_owned(), "red".to_owned()), ("colour".to_owned(), "blue".to_owned())];
        weir::send_all("output", [twice, Message::json(&2)?])
    });
    let to: Vec<&str> = handled.sent().iter().map(|sent| sent.to.as_str()).collect();
    assert_eq!(to, ["extra", "output", "output"]);
    assert_eq!(handled.json("output"), [json!([1]), json!(2)]);
    let first = &handled.outputs::<Message>("output")[0];
    assert_eq!((first.content_type.as_deref(), first.properties.len(), first.property("colour")), (None, 1, Some("blue")));
    let [Text(extra)] = handled.outputs::<Text>("extra").try_into().unwrap();
    assert_eq!(extra, "a");
}

#[test]
fn nothing_is_sent_when_the_handler_fails() {
    let handled = sent(|| {
        weir::send("output", Json(1))?;
        Err(Failure::busy("later").after(std::time::Duration::from_secs(2)))
    });
    assert_eq!(handled.sent(), []);
    let failure = handled.failure().unwrap();
    assert_eq!((failure.verdict(), failure.delay()), (Verdict::Busy, Some(std::time::Duration::from_secs(2))));
}

#[test]
#[should_panic(expected = "nothing left for `output`, since the handler failed: reject: field `a` is empty")]
fn reading_outputs_of_a_failure_reports_the_failure() {
    let _ = sent(|| Err(Failure::reject("field `a` is empty"))).json("output");
}

#[test]
#[should_panic(expected = "output `outptu` does not exist; must be one of: output, extra")]
fn a_missing_output_is_reported_with_the_existing_ones() {
    let _ = sent(|| Ok(())).json("outptu");
}

#[test]
fn undeclared_names_are_refused() {
    assert_eq!(refusal(|| weir::send("a\nb", Json(1))), "output `a\\nb` does not exist; must be one of: output, extra");
    assert_eq!(refusal(|| weir::send("input", Json(1))), "output `input` does not exist; must be one of: output, extra");
    assert_eq!(refusal(|| weir::request("a", Json(1)).map(|Text(_)| ())), "request `a` does not exist; must be one of: none");
    assert!(refusal(|| weir::reply(Json(1))).starts_with("the current message is not a request: only an input with `reply`"));
}

#[test]
fn excessive_sends_are_refused() {
    let body = |bytes: usize| Message::new(vec![b'x'; bytes], "text/plain");
    assert_eq!(sent(move || weir::send("output", body(4 << 20))).failure(), None);
    assert_eq!(
        refusal(move || weir::send("output", body((4 << 20) + 1))),
        "the body of the message has 4194305 bytes; the limit is 4194304"
    );
    assert_eq!(
        refusal(move || (0..5).try_for_each(|_| weir::send("output", body(4 << 20)))),
        "one call may send 16777216 bytes in total (raise it: weir deploy --limit sends-bytes=N)"
    );
    assert_eq!(
        refusal(|| weir::send_all("output", (0..1001).map(Json))),
        "one call may send 1000 messages (raise it: weir deploy --limit sends-count=N)"
    );
    let named = |name: String, value: String| move || weir::send("output", Message::json(&1)?.with_property(name.clone(), value.clone()));
    assert!(refusal(named("n".repeat(129), String::new())).contains("has 129 bytes; the limit is 128"));
    assert!(
        refusal(named("n".to_owned(), "v".repeat(32 << 10))).contains("the properties of the message has 32769 bytes; the limit is 32768")
    );
    let many = || {
        let mut message = Message::json(&1)?;
        message.properties = (0..257).map(|number| (number.to_string(), String::new())).collect();
        weir::send("output", message)
    };
    assert_eq!(refusal(many), "the message has 257 properties; the limit is 256");
}

#[test]
fn a_deployment_can_set_the_limits() {
    let mut kit = Kit::new(DESCRIPTOR, || weir::send_all("output", [1, 2].map(Json)));
    assert!(kit.limit("sends-count", 1).handle("input", Json(1)).failure().unwrap().reason().contains("1 messages"));
    assert!(kit.limit("sends-count", 2).limit("sends-bytes", 1).handle("input", Json(1)).failure().unwrap().reason().contains("1 bytes"));
    assert_eq!(kit.limit("sends-bytes", 2).handle("input", Json(1)).failure(), None);
}

#[test]
fn reserved_properties_can_be_neither_set_nor_read() {
    for name in ["weir-from", "traceparent", "tracestate", "id"] {
        let reason = refusal(move || weir::send("output", Message::json(&1)?.with_property(name, "x")));
        assert_eq!(reason, format!("the property `{name}` is reserved for the host"));
    }
    let seen = Message::json(&1).unwrap().with_property("weir-id", "1").with_property("traceparent", "2").with_property("colour", "red");
    let handled = Kit::new(DESCRIPTOR, |message: Message| Json(message.properties)).handle("input", seen);
    assert_eq!(handled.json("output"), [json!([["colour", "red"]])]);
}

#[test]
fn an_optional_output_may_have_no_topic() {
    let mut kit = Kit::new(DESCRIPTOR, || weir::send("extra", Json(weir::context::outputs())));
    assert_eq!(kit.handle("input", Json(1)).json("extra"), [json!(["output", "extra"])]);
    let handled = kit.without_output("extra").handle("input", Json(1));
    assert_eq!((handled.failure(), handled.sent()), (None, &[][..]));
}

#[test]
fn open_outputs_are_those_given_by_the_flow() {
    let mut kit = Kit::new(r#"{"schema": 1, "consumers": ["input"], "producers": ["*"]}"#, |message: Message| weir::send("left", message));
    assert!(kit.handle("input", Json(1)).failure().unwrap().reason().ends_with("must be one of: none"));
    assert_eq!(kit.output("left").handle("input", Json(1)).json("left"), [json!(1)]);
}

#[test]
fn nothing_can_be_sent_outside_a_handler() {
    let failure = weir::send("output", Json(1)).unwrap_err();
    assert_eq!(failure.call_error(), Some(ErrorKind::Invalid));
    assert!(failure.reason().starts_with("messages can be sent only within `handle`: in a test, call the handler with"), "{failure}");
    weir::log::info("dropped").with("a", 1).write();
}

#[test]
#[should_panic(expected = "the body has 4194305 bytes; the limit is 4194304: such a message never reaches a handler")]
fn a_message_that_is_too_large_never_arrives() {
    let _ = Kit::new(DESCRIPTOR, || ()).handle("input", Message::new(vec![0; (4 << 20) + 1], "image/png"));
}
