//! Configuration of the types that the descriptor declares (`config-types`); to read any other is a trap. What is read is one consistent
//! state while a message is handled.
//!
//! ```
//! use std::collections::BTreeMap;
//! use weir::{Failure, Json, Result, config};
//!
//! fn price(Json(article): Json<String>) -> Result<Json<f64>> {
//!     match config::get("price", &article) {
//!         Some(price) => Ok(Json(price.parse()?)),
//!         None => Err(Failure::reject(format!("article `{article}` has no price: put one into config type `price`"))),
//!     }
//! }
//!
//! weir::processor!(price);
//! ```

use crate::bindings::base::weir::processor::config;

/// The value of a key, by convention JSON; `None` if there is none.
#[must_use]
pub fn get(config_type: &str, key: &str) -> Option<String> {
    config::get(config_type, key)
}

/// All keys of a type, sorted.
#[must_use]
pub fn keys(config_type: &str) -> Vec<String> {
    config::keys(config_type)
}

/// The version of the configuration in which this type last changed: as long as it stays the same, so does all that was read of the type.
/// Keep what you parsed, and compare. 0 for a type without any value so far.
#[must_use]
pub fn version(config_type: &str) -> u64 {
    config::version(config_type)
}
