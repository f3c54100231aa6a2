//! The test kit, through its public surface: a whole processor here, the rules of a host in the modules.
#![allow(clippy::unwrap_used, reason = "tests")]

mod answering;
mod asking;
mod configuration;
mod manifest;
mod sending;

use serde::{Deserialize, Serialize};
use weir::testing::{Kit, json};
use weir::{Json, Params, Reply, Result, Verdict, context, log};

weir::processor! { "input" => greet, "ask" => whoami, setup = check, descriptor = "tests/kit/descriptor.json" }

#[derive(Deserialize)]
struct Settings {
    greeting: String,
    times: usize,
    refuse: bool,
}

fn check(changed: &[String]) -> Result<(), String> {
    log::info("set up").with("changed", changed.join(",")).write();
    let refused = weir::send("output", Json(1)).unwrap_err();
    assert_eq!(refused.reason(), "messages can be sent only within `handle`");
    let Params(settings) = Params::<Settings>::get().map_err(|failure| failure.to_string())?;
    if settings.refuse || weir::config::get("rules", "refuse").is_some() { Err("told to refuse".to_owned()) } else { Ok(()) }
}

fn greet(Params(settings): Params<Settings>, Json(name): Json<String>) -> Vec<Json<String>> {
    (0..settings.times).map(|_| Json(format!("{} {name}", settings.greeting))).collect()
}

#[derive(Serialize)]
struct Whoami {
    processor: String,
    deployment: String,
    flow: String,
    message: String,
    attempt: u32,
    remaining_ms: u128,
}

fn whoami() -> Reply<Json<Whoami>> {
    Reply(Json(Whoami {
        processor: context::processor(),
        deployment: context::deployment(),
        flow: context::flow(),
        message: context::message_id(),
        attempt: context::attempt(),
        remaining_ms: context::remaining().as_millis(),
    }))
}

fn clerk() -> Kit {
    let mut kit = weir::testing::kit!();
    kit.parameter("times", "2");
    kit
}

fn changed(handled: &weir::testing::Handled) -> Vec<&str> {
    handled.log().iter().filter(|line| line.message == "set up").map(|line| line.fields[0].1.as_str()).collect()
}

#[test]
fn a_processor_has_its_descriptor_its_handlers_and_the_defaults_of_its_parameters() {
    let handled = clerk().parameter("greeting", "ciao").handle("input", Json("Ada"));
    assert_eq!(handled.json("output"), [json!("ciao Ada"), json!("ciao Ada")]);
    assert_eq!(clerk().handle("input", Json("Ada")).json("output").len(), 2);
    let failure = clerk().handle("lost", Json("Ada")).failure().unwrap().clone();
    assert_eq!(failure.verdict(), Verdict::Retry);
    assert!(failure.reason().starts_with("the component has no handler for its input `lost`, only for input, ask"), "{failure}");
}

#[test]
fn parameters_are_checked_against_the_descriptor() {
    let mut kit = weir::testing::kit!();
    kit.parameter("refuse", "yes");
    let fault = kit.configure().unwrap_err();
    assert_eq!(
        fault,
        "parameter `times` is required and not set: set it in the processor's `parameters`; parameter `refuse`: `yes` is not true or false"
    );
    assert_eq!(
        kit.parameter("refuse", "false").parameter("times", "1").configure(),
        Ok(()),
        "an instance that did not begin can be mended"
    );
}

#[test]
fn setup_runs_before_the_first_message_and_after_a_change() {
    let mut kit = clerk();
    kit.config("rules", "a", "1");
    assert_eq!(changed(&kit.handle("input", Json("Ada"))), ["rules,names"]);
    assert!(changed(&kit.handle("input", Json("Ada"))).is_empty());
    assert!(changed(&kit.config("rules", "a", "1").handle("input", Json("Ada"))).is_empty(), "nothing changed");
    assert_eq!(changed(&kit.config("names", "a", "1").handle("input", Json("Ada"))), ["names"]);
    assert_eq!(changed(&kit.remove_config("rules", "a").config("names", "a", "2").handle("input", Json("Ada"))), ["rules,names"]);
}

#[test]
fn a_refusing_setup_stops_a_new_instance_and_leaves_a_running_one_unchanged() {
    let mut kit = clerk();
    assert_eq!(kit.parameter("refuse", "true").configure(), Err("told to refuse".to_owned()));
    let mut kit = clerk();
    assert_eq!(kit.configure(), Ok(()));
    let handled = kit.config("rules", "refuse", "1").handle("input", Json("Ada"));
    assert_eq!(handled.json("output").len(), 2);
    let line = handled.log().last().unwrap();
    assert_eq!((line.message.as_str(), line.fields[0].1.as_str()), ("component setup failed", "told to refuse"));
    let handled = kit.handle("input", Json("Ada"));
    assert_eq!((handled.log().len(), kit.configure()), (0, Ok(())), "told once");
    let told = kit.config("rules", "more", "1").configure();
    assert_eq!(told, Err("told to refuse".to_owned()), "a further change is tried again");
    let handled = kit.remove_config("rules", "refuse").handle("input", Json("Ada"));
    assert_eq!(changed(&handled), ["rules", "rules"], "what was logged since the message before");
}

#[test]
#[should_panic(expected = "the processor failed to start: told to refuse")]
fn a_message_is_not_passed_to_a_processor_that_cannot_start() {
    let _ = clerk().parameter("refuse", "true").handle("input", Json("Ada"));
}

#[test]
fn a_message_keeps_its_id_over_its_attempts() {
    let mut kit = clerk();
    kit.flow("fine").time_left(std::time::Duration::from_millis(1500));
    let mut seen: Vec<_> = [1, 2, 1].map(|attempt| kit.attempt(attempt).handle("ask", Json(1)).reply_json().remove(0)).into();
    assert_eq!(seen[0]["message"], seen[1]["message"]);
    assert_ne!(seen[1]["message"], seen[2]["message"]);
    seen[1]["message"].take();
    let wanted = json!({
        "processor": "clerk", "deployment": "clerk@1.2.0", "flow": "fine", "message": null, "attempt": 2, "remaining_ms": 1500
    });
    assert_eq!(seen[1], wanted);
}

#[test]
#[should_panic(expected = "input `inptu` does not exist; must be one of: input, ask, lost")]
fn a_message_comes_from_an_input() {
    let _ = clerk().handle("inptu", Json(1));
}

#[test]
#[should_panic(expected = "parameter `times` cannot change in a running instance: create another kit")]
fn parameters_never_change() {
    let mut kit = clerk();
    let _ = kit.handle("ask", Json(1));
    kit.parameter("times", "3");
}

#[test]
#[should_panic(expected = "field `consumers.a.reply` of the descriptor: `b` is not among the producers")]
fn a_descriptor_is_checked() {
    let _ = Kit::new(r#"{"schema": 1, "consumers": [{"name": "a", "reply": "b"}]}"#, || ());
}

#[test]
#[should_panic(expected = "no/descriptor.json: No such file or directory (os error 2): create the file, or use another one")]
fn a_missing_descriptor_is_named() {
    let _ = Kit::of(weir::testing::Processor { descriptor: "no/descriptor.json", ..__WEIR_PROCESSOR });
}

#[test]
#[should_panic(expected = "parameters is available only in a host: in a test, call the handler with `weir::testing::kit!()")]
fn without_a_kit_there_are_no_parameters() {
    let _ = context::parameters();
}

#[test]
fn an_instance_that_panicked_is_not_used_again() {
    let mut kit = Kit::new(r#"{"schema": 1, "consumers": ["input"]}"#, || -> () { panic!("told to") });
    let panicked = |kit: &mut Kit| {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| kit.handle("input", Json(1))));
        let said = caught.unwrap_err();
        said.downcast_ref::<&str>().map(ToString::to_string).or_else(|| said.downcast_ref::<String>().cloned()).unwrap()
    };
    assert_eq!(panicked(&mut kit), "told to");
    assert!(panicked(&mut kit).contains("a host would not use it again"));
    assert_eq!(clerk().handle("input", Json("Ada")).json("output").len(), 2, "another one works");
}
