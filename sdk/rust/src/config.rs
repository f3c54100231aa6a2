//! Configuration of the types that the descriptor declares (`config-types`); reading any other is a trap. A handler sees one consistent
//! state while it handles a message.
//!
//! By convention a value is JSON, and [`parsed`] reads it with serde, again only when the type has changed:
//!
//! ```
//! use serde::Deserialize;
//! use weir::{Failure, Json, Result, config};
//!
//! #[derive(Deserialize)]
//! struct Price {
//!     cents: u64,
//! }
//!
//! fn price(Json(article): Json<String>) -> Result<Json<u64>> {
//!     match config::parsed::<Price>("price", &article)? {
//!         Some(price) => Ok(Json(price.cents)),
//!         None => Err(Failure::reject(format!("article `{article}` has no price: put one into config type `price`"))),
//!     }
//! }
//!
//! weir::processor!(price);
//! ```

use crate::imports::config;
use crate::{Failure, Result, json, kept};
use serde::de::DeserializeOwned;
use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The value of a key as text; `None` if there is none.
#[must_use]
pub fn get(config_type: &str, key: &str) -> Option<String> {
    config::get(config_type, key)
}

/// All keys of a type, sorted.
#[must_use]
pub fn keys(config_type: &str) -> Vec<String> {
    config::keys(config_type)
}

/// The version of the configuration in which this type last changed: while it stays the same, so does everything read of the type.
/// [`parsed`] compares it; compare it yourself if you keep something else, such as an index over all keys. 0 for a type that never had a
/// value.
#[must_use]
pub fn version(config_type: &str) -> u64 {
    config::version(config_type)
}

/// The value of a key, read as JSON by serde; `None` if there is none. It is parsed once for each version of its type: later calls return
/// the same value until something of the type changes.
///
/// Anything derived from a value only once, such as compiled patterns, can be built during parsing with `try_from`:
///
/// ```
/// use serde::Deserialize;
/// use weir::{Json, Result, config};
///
/// /// Words in lower case, in the order that a binary search requires.
/// #[derive(Default, Deserialize)]
/// #[serde(try_from = "Vec<String>")]
/// struct StopWords(Vec<String>);
///
/// impl TryFrom<Vec<String>> for StopWords {
///     type Error = String;
///
///     fn try_from(words: Vec<String>) -> Result<Self, String> {
///         if words.iter().any(String::is_empty) {
///             return Err("a stop word is empty: take it out".to_owned());
///         }
///         let mut words: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
///         words.sort();
///         Ok(StopWords(words))
///     }
/// }
///
/// fn without_stop_words(Json(words): Json<Vec<String>>) -> Result<Json<Vec<String>>> {
///     let stop = config::parsed::<StopWords>("stop-words", "english")?.unwrap_or_default();
///     Ok(Json(words.into_iter().filter(|word| stop.0.binary_search(&word.to_lowercase()).is_err()).collect()))
/// }
///
/// weir::processor!(without_stop_words);
/// ```
///
/// # Errors
/// A retry, since the message is not at fault; it names the config type, the key, and the field, line and column.
pub fn parsed<T: DeserializeOwned + 'static>(config_type: &str, key: &str) -> Result<Option<Rc<T>>> {
    let version = version(config_type);
    if let Some(known) = known::<T, T>(config_type, key, version) {
        return Ok(Some(known));
    }
    let Some(text) = get(config_type, key) else { return Ok(None) };
    let value = Rc::new(parse::<T>(config_type, key, &text)?);
    keep::<T>(config_type, key, version, value.clone());
    Ok(Some(value))
}

/// All values of a type by key, each read as JSON by serde; parsed once for each version, as by [`parsed`]. Empty if there are none.
///
/// ```
/// use serde::Deserialize;
/// use weir::{Json, Message, Result, config};
///
/// #[derive(Deserialize)]
/// struct Rule {
///     property: String,
///     output: String,
/// }
///
/// fn route(message: Message) -> Result {
///     let rules = config::parsed_all::<Rule>("route")?;
///     let output = rules.values().find(|rule| message.property(&rule.property).is_some()).map_or("rest", |rule| &rule.output);
///     weir::send(output, message)
/// }
///
/// weir::processor!(route);
/// ```
///
/// # Errors
/// As [`parsed`], for the first key that cannot be read.
pub fn parsed_all<T: DeserializeOwned + 'static>(config_type: &str) -> Result<Rc<BTreeMap<String, T>>> {
    /// Separates what is kept for the whole type from what is kept for its keys.
    struct All<T>(std::marker::PhantomData<T>);
    let version = version(config_type);
    if let Some(known) = known::<All<T>, BTreeMap<String, T>>(config_type, "", version) {
        return Ok(known);
    }
    let mut values = BTreeMap::new();
    for key in keys(config_type) {
        let text = get(config_type, &key).unwrap_or_default();
        values.insert(key.clone(), parse(config_type, &key, &text)?);
    }
    let values = Rc::new(values);
    keep::<All<T>>(config_type, "", version, values.clone());
    Ok(values)
}

fn parse<T: DeserializeOwned>(config_type: &str, key: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let place = format!("the value of config type `{config_type}`, key `{key}`");
        Failure::retry(format!("{}: correct the value in the configuration", json::fault(&place, text.as_bytes(), &error)))
    })
}

fn known<Mark: 'static, T: 'static>(config_type: &str, key: &str, version: u64) -> Option<Rc<T>> {
    let value = kept::look(|kept| {
        let of_type = kept.config.get(&TypeId::of::<Mark>())?.get(config_type)?;
        if of_type.version == version { of_type.values.get(key).cloned() } else { None }
    });
    value?.downcast().ok()
}

fn keep<Mark: 'static>(config_type: &str, key: &str, version: u64, value: Rc<dyn Any>) {
    kept::look(|kept| {
        let of_type = kept.config.entry(TypeId::of::<Mark>()).or_default().entry(config_type.to_owned()).or_default();
        if of_type.version != version {
            of_type.version = version;
            of_type.values.clear();
        }
        of_type.values.insert(key.to_owned(), value);
    });
}
