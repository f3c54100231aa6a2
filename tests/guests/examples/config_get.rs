//! `{"key": KEY}` sends what the config type `settings` has at that key, its keys and its version; `{"key": KEY, "type": TYPE}` reads
//! another type, which the descriptor does not declare: a trap.

use serde::Deserialize;
use serde_json::{Value, json};
use weir::{Json, config};

#[derive(Deserialize)]
struct Question {
    #[serde(rename = "type", default = "settings")]
    config_type: String,
    key: String,
}

fn settings() -> String {
    "settings".to_owned()
}

weir::processor!(handle, descriptor = "examples/config_get.json");

fn handle(Json(Question { config_type, key }): Json<Question>) -> Json<Value> {
    Json(json!({
        "value": config::get(&config_type, &key),
        "keys": config::keys(&config_type),
        "version": config::version(&config_type),
    }))
}
