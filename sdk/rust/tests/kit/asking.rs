//! Requests, and the services of a test that answer them.

use std::cell::RefCell;
use std::rc::Rc;
use weir::testing::{Answer, Kit, json};
use weir::{ErrorKind, Json, Message, Replies, ReplyParts, Result, Text, Verdict};

const DESCRIPTOR: &str = r#"{
    "schema": 1,
    "consumers": ["input", { "name": "ask", "reply": "told" }],
    "producers": ["output", "told"],
    "requests": [
        { "name": "one", "request": "one-request", "response": "one-response" },
        { "name": "two", "request": "two-request", "response": "two-response" }
    ]
}"#;

fn ask(Json(question): Json<String>) -> Result<Json<String>> {
    weir::request("one", Json(question))
}

#[test]
fn an_answer_is_read_and_the_request_is_seen() {
    let mut kit = Kit::new(DESCRIPTOR, ask);
    let handled = kit.answer("one", |request| request).handle("input", Json("what?"));
    assert_eq!(handled.json("output"), [json!("what?")]);
    assert_eq!((handled.requests()[0].to.as_str(), &handled.requests()[0].message.body), ("one", &b"\"what?\"".to_vec()));
}

#[test]
fn a_service_fails_in_every_way() {
    for kind in [ErrorKind::Timeout, ErrorKind::Unavailable, ErrorKind::Failed, ErrorKind::Invalid] {
        let handled = Kit::new(DESCRIPTOR, ask).answer("one", move |_| Answer::error(kind, "its words")).handle("input", Json("what?"));
        let failure = handled.failure().unwrap();
        let verdict = if kind == ErrorKind::Invalid { Verdict::Reject } else { Verdict::Retry };
        assert_eq!((failure.call_error(), failure.verdict(), failure.reason()), (Some(kind), verdict, "its words"));
    }
}

#[test]
fn unreadable_answers_name_the_service() {
    let check = |answer: Answer, word: &str| {
        let handled = Kit::new(DESCRIPTOR, ask).answer("one", move |_| answer.clone()).handle("input", Json("what?"));
        let failure = handled.failure().unwrap();
        assert_eq!(failure.verdict(), Verdict::Retry, "the message is not at fault");
        assert!(failure.reason().contains(word), "{failure}");
    };
    check(Json(1).into(), "the answer of `one` cannot be read: the body does not have the expected form");
    check(Answer::parts([1, 2].map(Json)), "`one` answered in 2 parts instead of one: use `request_parts`");
    check(Answer::parts([Json("a")]).then_error(ErrorKind::Failed, "broke off"), "broke off");
}

#[test]
fn an_answer_that_is_too_large_can_only_be_read_in_parts() {
    let large = || Answer::parts(vec![Message::new(vec![b'x'; 3 << 20], "text/plain"); 2]);
    let handled = Kit::new(DESCRIPTOR, ask).answer("one", move |_| large()).handle("input", Json("what?"));
    assert_eq!(handled.failure().unwrap().reason(), "the answer has more than 4194304 bytes: read its parts one by one");
    let count = || weir::begin_request("one", Json(1), None).map(|parts| Json(parts.count()));
    let handled = Kit::new(DESCRIPTOR, count).answer("one", move |_| large()).handle("input", Json(0));
    assert_eq!(handled.json("output"), [json!(2)]);
}

#[test]
fn several_requests_are_in_flight_at_once() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let seen = order.clone();
    let both = move || -> Result<Json<(u32, u32)>> {
        let (one, two) = (weir::begin_request("one", Json(1), None)?, weir::begin_request("two", Json(2), None)?);
        seen.borrow_mut().push("both begun");
        let Json(two) = two.read()?;
        let Json(one) = one.read()?;
        Ok(Json((one, two)))
    };
    let asked = |name: &'static str, order: &Rc<RefCell<Vec<&'static str>>>| {
        let order = order.clone();
        move |request: Message| {
            order.borrow_mut().push(name);
            request
        }
    };
    let mut kit = Kit::new(DESCRIPTOR, both);
    kit.answer("one", asked("one", &order)).answer("two", asked("two", &order));
    assert_eq!(kit.handle("input", Json(0)).json("output"), [json!([1, 2])]);
    assert_eq!(*order.borrow(), ["one", "two", "both begun"]);
}

#[test]
fn parts_arrive_one_by_one_until_the_last_or_an_error() {
    let parts = || -> Result<Json<Vec<String>>> {
        let mut parts = weir::begin_request("one", Json(1), None)?;
        let mut seen = Vec::new();
        for part in parts.by_ref() {
            seen.push(part.map_or_else(|failure| failure.to_string(), |part| String::from_utf8_lossy(&part.body).into_owned()));
        }
        assert!(parts.next().is_none(), "there is nothing after the end");
        Ok(Json(seen))
    };
    let mut kit = Kit::new(DESCRIPTOR, parts);
    kit.answer("one", |_| Answer::parts([1, 2].map(Json)));
    assert_eq!(kit.handle("input", Json(0)).json("output"), [json!(["1", "2"])]);
    kit.answer("one", |_| Answer::parts([1, 2].map(Json)).then_error(ErrorKind::Failed, "gone"));
    assert_eq!(kit.handle("input", Json(0)).json("output"), [json!(["1", "2", "gone"])]);
}

#[test]
fn a_typed_read_requires_a_single_part() {
    let read = || weir::begin_request("one", Json(1), None)?.read::<Json<u32>>();
    let fails = |answer: Answer| {
        Kit::new(DESCRIPTOR, read).answer("one", move |_| answer.clone()).handle("input", Json(0)).failure().unwrap().to_string()
    };
    assert_eq!(fails(Answer::parts([Json(0); 0])), "the answer of `one` has no parts");
    assert_eq!(
        fails(Answer::parts([1, 2].map(Json))),
        "`one` answered in several parts instead of one: read them one by one, with `next_as`"
    );
    let next = || -> Result<Json<Vec<u32>>> {
        let mut parts = weir::begin_request("one", Json(1), None)?;
        let mut all = Vec::new();
        while let Some(Json(part)) = parts.next_as()? {
            all.push(part);
        }
        Ok(Json(all))
    };
    let handled = Kit::new(DESCRIPTOR, next).answer("one", |_| Answer::parts([1, 2].map(Json))).handle("input", Json(0));
    assert_eq!(handled.json("output"), [json!([1, 2])]);
}

#[test]
fn unread_answers_may_be_dropped_up_to_a_limit() {
    let begin = |count: u32| {
        move || -> Result {
            for number in 0..count {
                drop(weir::begin_request("one", Json(number), None)?);
            }
            Ok(())
        }
    };
    let mut kit = Kit::new(DESCRIPTOR, begin(64));
    kit.answer("one", |request| request);
    assert_eq!(kit.handle("input", Json(0)).failure(), None);
    assert_eq!(kit.handle("input", Json(0)).failure(), None, "numbers begin anew with each message");
    let handled = Kit::new(DESCRIPTOR, begin(65)).answer("one", |request| request).handle("input", Json(0));
    assert_eq!(handled.failure().unwrap().reason(), "64 requests are in flight, the maximum: read the answer of one first");
}

#[test]
fn an_answer_is_forwarded_while_it_arrives() {
    let relay =
        |Json(question): Json<String>| -> Result<ReplyParts<Replies>> { weir::begin_request("one", Json(question), None).map(ReplyParts) };
    let mut kit = Kit::new(DESCRIPTOR, relay);
    let handled = kit.answer("one", |_| Answer::parts(["a", "b"].map(Json))).handle("ask", Json("what?"));
    assert_eq!((handled.reply_json(), handled.is_answered()), (vec![json!("a"), json!("b")], true));
}

#[test]
fn a_kit_can_be_the_service_of_another() {
    let mut inner = Kit::new(DESCRIPTOR, |Text(question): Text| weir::reply(Text(question.to_uppercase())));
    let outer = || -> Result<Text> {
        let Text(answer) = weir::request("one", Text("what?"))?;
        weir::log::info("asked").write();
        Ok(Text(answer))
    };
    let mut outer = Kit::new(DESCRIPTOR, outer);
    outer.answer("one", move |request| Answer::parts(inner.handle("ask", request).replies::<Message>()));
    let handled = outer.handle("input", Json(0));
    let [Text(answer)] = handled.outputs::<Text>("output").try_into().unwrap();
    assert_eq!((answer.as_str(), handled.log().len()), ("WHAT?", 1));
}

#[test]
#[should_panic(expected = "the handler sends a request to `two`, but the test has no answer: add `kit.answer(\"two\", |request| ..)`")]
fn a_service_without_an_answer_is_named() {
    let _ = Kit::new(DESCRIPTOR, || weir::request::<Text>("two", Json(1)).map(drop)).handle("input", Json(1));
}

#[test]
#[should_panic(expected = "request `three` does not exist; must be one of: one, two")]
fn a_service_that_is_never_requested_is_refused() {
    Kit::new(DESCRIPTOR, || ()).answer("three", |request| request);
}
