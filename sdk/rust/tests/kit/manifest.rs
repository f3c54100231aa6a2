//! A processor whose inputs, outputs and parameters are named in a `weir.toml`.

use serde::Deserialize;
use weir::testing::json;
use weir::{Json, Params};

weir::processor!(count, manifest = "tests/kit/weir.toml");

#[derive(Deserialize)]
struct Settings {
    shortest: usize,
}

fn count(Params(settings): Params<Settings>, Json(text): Json<String>) -> Json<usize> {
    Json(text.split_whitespace().filter(|word| word.len() >= settings.shortest).count())
}

#[test]
fn the_kit_has_the_defaults_of_the_manifest() {
    let mut kit = weir::testing::kit!(crate::manifest);
    assert_eq!(kit.handle("input", Json("to be or not")).json("output"), [json!(1)]);
    let mut kit = weir::testing::kit!(crate::manifest);
    kit.parameter("shortest", "1");
    assert_eq!(kit.handle("input", Json("to be or not")).json("output"), [json!(4)]);
}
