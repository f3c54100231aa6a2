//! Answers to requests.

use weir::testing::{Handled, Kit, json};
use weir::{Failure, Handler, Json, Message, Reply, ReplyParts, Result, Text};

const DESCRIPTOR: &str = r#"{ "schema": 1, "consumers": [{ "name": "request", "reply": "response" }], "producers": ["response"] }"#;

fn answered<A>(handler: impl Handler<A> + 'static) -> Handled {
    Kit::new(DESCRIPTOR, handler).handle("request", Json("what?"))
}

#[test]
fn a_single_reply_is_the_complete_answer() {
    let handled = answered(|Json(question): Json<String>| Reply(Json(question.len())));
    assert_eq!((handled.reply_json(), handled.is_answered(), handled.sent()), (vec![json!(5)], true, &[][..]));
    assert!(!answered(|| -> Result<Reply<Text>> { Err(Failure::reject("no")) }).is_answered());
}

#[test]
fn parts_are_sent_one_by_one_and_the_last_is_marked() {
    let check = |count: u32| {
        let handled = answered(move || ReplyParts((0..count).map(Json)));
        assert_eq!(handled.failure(), None);
        assert_eq!(handled.is_answered(), count > 0, "without a part it is the host who ends the answer");
        assert_eq!(handled.reply_json(), (0..count).map(|part| json!(part)).collect::<Vec<_>>());
    };
    (0..4).for_each(check);
}

#[test]
fn a_part_is_sent_once_the_next_one_is_ready() {
    let parts = |fails_at: u32| {
        move || ReplyParts((0..9).map(move |part| if part == fails_at { Err(Failure::retry("broken")) } else { Ok(Json(part)) }))
    };
    let handled = answered(parts(3));
    assert_eq!((handled.reply_json(), handled.is_answered()), (vec![json!(0), json!(1)], false));
    assert_eq!(handled.failure().unwrap().reason(), "broken");
    let handled = answered(parts(1));
    let nothing = std::panic::catch_unwind(|| handled.reply_json()).unwrap_err();
    assert_eq!(nothing.downcast_ref::<String>().unwrap(), "no part of an answer left, since the handler failed: retry: broken");
}

#[test]
fn nothing_follows_the_last_part() {
    let handled = answered(|| {
        weir::reply_part(Json(1))?;
        weir::reply(Json(2))?;
        weir::reply(Json(3))
    });
    assert_eq!(handled.failure().unwrap().reason(), "the request was answered completely: nothing may follow the part marked `last`");
    assert_eq!(handled.reply_json(), [json!(1), json!(2)], "what left has left");
}

#[test]
fn an_answer_may_be_larger_than_a_message() {
    assert!(answered(|| Reply(Message::new(vec![0; (4 << 20) + 1], "image/png"))).is_answered());
}

#[test]
fn a_returned_message_is_not_an_answer_and_the_error_explains_the_fix() {
    let handled = answered(|| Json(1));
    assert_eq!(
        handled.failure().unwrap().reason(),
        "output `output` does not exist; must be one of: response; an answer is returned as `weir::Reply(..)`"
    );
}
