//! Configuration, parsed once for each version.

use serde::{Deserialize, Deserializer};
use std::cell::Cell;
use weir::testing::{Kit, json};
use weir::{Json, Params, Result, Verdict, config, context};

const DESCRIPTOR: &str = r#"{
    "schema": 1, "consumers": ["input"], "producers": ["output"], "config-types": ["price", "other"],
    "parameters": [{ "name": "size", "default": "1" }]
}"#;

thread_local! {
    static PARSED_COUNT: Cell<u32> = const { Cell::new(0) };
}

/// Counts how often it is parsed.
#[derive(Debug)]
struct Price(u64);

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written {
            cents: u64,
        }
        PARSED_COUNT.set(PARSED_COUNT.get() + 1);
        Written::deserialize(deserializer).map(|Written { cents }| Price(cents))
    }
}

fn price(Json(article): Json<String>) -> Result<Json<Option<u64>>> {
    Ok(Json(config::parsed::<Price>("price", &article)?.map(|price| price.0)))
}

fn sum() -> Result<Json<u64>> {
    Ok(Json(config::parsed_all::<Price>("price")?.values().map(|price| price.0).sum()))
}

/// How often a price is parsed while this runs.
fn parsed_in<R>(work: impl FnOnce() -> R) -> (R, u32) {
    let before = PARSED_COUNT.get();
    let result = work();
    (result, PARSED_COUNT.get() - before)
}

#[test]
fn a_value_is_parsed_once_for_each_version_of_its_type() {
    let mut kit = Kit::new(DESCRIPTOR, price);
    kit.config("price", "pen", r#"{"cents": 120}"#).config("price", "ink", r#"{"cents": 900}"#);
    let ask = |kit: &mut Kit, article: &str| parsed_in(|| kit.handle("input", Json(article)).json("output").remove(0));
    assert_eq!(ask(&mut kit, "pen"), (json!(120), 1));
    assert_eq!(ask(&mut kit, "pen"), (json!(120), 0));
    assert_eq!(ask(&mut kit, "ink"), (json!(900), 1), "each key by itself");
    assert_eq!(ask(&mut kit, "cap"), (json!(null), 0));
    kit.config("other", "pen", "1");
    assert_eq!(ask(&mut kit, "pen"), (json!(120), 0), "another type");
    kit.config("price", "pen", r#"{"cents": 130}"#);
    assert_eq!(ask(&mut kit, "pen"), (json!(130), 1));
    assert_eq!(ask(&mut kit, "ink"), (json!(900), 1));
    kit.remove_config("price", "pen");
    assert_eq!(ask(&mut kit, "pen"), (json!(null), 0));
}

#[test]
fn a_whole_type_is_parsed_once_for_each_version() {
    let mut kit = Kit::new(DESCRIPTOR, sum);
    let ask = |kit: &mut Kit| parsed_in(|| kit.handle("input", Json(1)).json("output").remove(0));
    assert_eq!(ask(&mut kit), (json!(0), 0));
    kit.config("price", "pen", r#"{"cents": 120}"#).config("price", "ink", r#"{"cents": 900}"#);
    assert_eq!(ask(&mut kit), (json!(1020), 2));
    assert_eq!(ask(&mut kit), (json!(1020), 0));
    kit.remove_config("price", "pen");
    assert_eq!(ask(&mut kit), (json!(900), 1));
}

#[test]
fn a_value_and_its_whole_type_are_cached_independently() {
    let both = || -> Result<Json<(u64, usize)>> {
        Ok(Json((config::parsed::<Price>("price", "")?.map_or(0, |price| price.0), config::parsed_all::<Price>("price")?.len())))
    };
    let mut kit = Kit::new(DESCRIPTOR, both);
    kit.config("price", "", r#"{"cents": 1}"#);
    for _ in 0..2 {
        assert_eq!(kit.handle("input", Json(1)).json("output"), [json!([1, 1])]);
    }
}

#[test]
fn unreadable_configuration_names_type_key_and_field_and_is_not_the_messages_fault() {
    let check = |handler: fn(Json<String>) -> Result, value: &str, words: &[&str]| {
        let handled = Kit::new(DESCRIPTOR, handler).config("price", "pen", value).handle("input", Json("pen"));
        let failure = handled.failure().unwrap();
        assert_eq!(failure.verdict(), Verdict::Retry);
        for word in words {
            assert!(failure.reason().contains(word), "{failure} has no {word}");
        }
    };
    let one: fn(Json<String>) -> Result = |Json(article)| config::parsed::<Price>("price", &article).map(drop);
    let all: fn(Json<String>) -> Result = |_| config::parsed_all::<Price>("price").map(drop);
    for handler in [one, all] {
        check(
            handler,
            "{\"cents\":\n \"12\"}",
            &["config type `price`, key `pen`", "field `cents`", "line 2 column 5", "correct the value in the configuration"],
        );
        check(handler, "cents: 12", &["key `pen` is not JSON", "line 1"]);
        check(handler, "", &["key `pen` is empty where JSON is expected"]);
    }
}

#[test]
fn a_kit_is_independent_of_what_another_one_read() {
    #[derive(Deserialize)]
    struct Settings {
        size: u32,
    }
    let make =
        || Kit::new(DESCRIPTOR, |Params(settings): Params<Settings>| Json((settings.size, config::version("price"), context::attempt())));
    let (mut one, mut two) = (make(), make());
    one.parameter("size", "7").config("price", "pen", "1");
    assert_eq!(one.handle("input", Json(1)).json("output"), [json!([7, 1, 1])]);
    assert_eq!(two.handle("input", Json(1)).json("output"), [json!([1, 0, 1])]);
    assert_eq!(one.handle("input", Json(1)).json("output"), [json!([7, 1, 1])]);
}

#[test]
#[should_panic(expected = "config type `prcie` is not declared: add it to `config-types` of the descriptor (declared: price, other)")]
fn reading_an_undeclared_type_traps() {
    let _ = Kit::new(DESCRIPTOR, || drop(config::get("prcie", "pen"))).handle("input", Json(1));
}

#[test]
#[should_panic(expected = "config type `prcie` is not declared")]
fn an_undeclared_type_cannot_be_set() {
    Kit::new(DESCRIPTOR, || ()).config("prcie", "pen", "1");
}

#[test]
fn a_change_refused_by_setup_has_no_effect() {
    let check = |_: &[String]| match config::get("price", "pen").as_deref() {
        Some("bad") => Err("the price of `pen` is bad"),
        _ => Ok(()),
    };
    let mut kit = Kit::new(DESCRIPTOR, || Json((config::get("price", "pen"), config::version("price"))));
    kit.setup(check).config("price", "pen", "1");
    assert_eq!(kit.handle("input", Json(1)).json("output"), [json!(["1", 1])]);
    kit.config("price", "pen", "bad");
    assert_eq!(kit.configure(), Err("the price of `pen` is bad".to_owned()));
    for _ in 0..2 {
        assert_eq!(kit.handle("input", Json(1)).json("output"), [json!(["1", 1])]);
    }
    kit.config("price", "pen", "3");
    assert_eq!(kit.handle("input", Json(1)).json("output"), [json!(["3", 3])]);
}
