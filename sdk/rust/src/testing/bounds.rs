//! Limits on the numbers, lists and strings of descriptors: the same as those of the host, which components do not depend on. A test
//! compares both.

use super::wording::{fault, shown};
use serde_json::Value;

/// The most messages of one input that are handled concurrently.
const MAX_CONCURRENCY: u64 = 1_000;

/// The most messages of all inputs that are handled concurrently.
pub(super) const MAX_WORKERS_COUNT: u64 = 4_000;

const KIB: usize = 1 << 10;
const HOUR_MS: u64 = 3_600_000;

/// The allowed values.
#[derive(Clone, Copy)]
enum Bound {
    /// A whole number between these two, inclusive.
    Number(u64, u64),
    /// A string of at most this many bytes; other values are left to the type check.
    Text(usize),
    /// A list or map of at most this many elements.
    List(usize),
}

/// A path to values, where `*` matches each element of a list or map, and their limit.
type Rule = (&'static [&'static str], Bound);

const NAME: Bound = Bound::Text(128);
const PROSE: Bound = Bound::Text(8 * KIB);

/// Descriptors; their total size is limited too.
const DESCRIPTOR: &[Rule] = &[
    (&["name"], NAME),
    (&["version"], NAME),
    (&["description"], PROSE),
    (&["concurrency"], Bound::Number(1, MAX_CONCURRENCY)),
    (&["consumers"], Bound::List(64)),
    (&["consumers", "*"], NAME),
    (&["consumers", "*", "name"], NAME),
    (&["consumers", "*", "description"], PROSE),
    (&["consumers", "*", "concurrency"], Bound::Number(1, MAX_CONCURRENCY)),
    (&["consumers", "*", "order-by"], NAME),
    (&["consumers", "*", "reply"], NAME),
    (&["producers"], Bound::List(256)),
    (&["producers", "*"], NAME),
    (&["producers", "*", "name"], NAME),
    (&["producers", "*", "description"], PROSE),
    (&["requests"], Bound::List(64)),
    (&["requests", "*", "name"], NAME),
    (&["requests", "*", "request"], NAME),
    (&["requests", "*", "response"], NAME),
    (&["requests", "*", "timeout-ms"], Bound::Number(1, HOUR_MS)),
    (&["requests", "*", "description"], PROSE),
    (&["parameters"], Bound::List(256)),
    (&["parameters", "*"], NAME),
    (&["parameters", "*", "name"], NAME),
    (&["parameters", "*", "default"], PROSE),
    (&["parameters", "*", "enum"], Bound::List(256)),
    (&["parameters", "*", "enum", "*"], PROSE),
    (&["parameters", "*", "description"], PROSE),
    (&["config-types"], Bound::List(64)),
    (&["config-types", "*"], NAME),
    (&["config-types", "*", "name"], NAME),
    (&["config-types", "*", "description"], PROSE),
    (&["grants"], Bound::List(64)),
    (&["grants", "*", "grant"], NAME),
    (&["grants", "*", "what"], Bound::List(64)),
    (&["grants", "*", "what", "*"], Bound::Text(KIB)),
    (&["grants", "*", "why"], PROSE),
    (&["limits", "memory-bytes"], Bound::Number(64 << 10, 256 << 20)),
    (&["limits", "time-ms"], Bound::Number(1, HOUR_MS)),
];

/// Finds the first value outside of its limits, with the error message of a host.
pub(super) fn check(value: &Value) -> Result<(), String> {
    DESCRIPTOR.iter().try_for_each(|(path, bound)| check_path(value, path, *bound, &mut Vec::new()))
}

fn check_path(value: &Value, path: &[&str], bound: Bound, at: &mut Vec<String>) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else { return check_value(value, bound, at) };
    let mut step = |name: String, value: &Value| {
        at.push(name);
        let checked = check_path(value, rest, bound, at);
        at.pop();
        checked
    };
    match value {
        Value::Array(items) if *first == "*" => {
            items.iter().enumerate().try_for_each(|(index, item)| step(element_name(index, item), item))
        }
        Value::Object(fields) if *first == "*" => fields.iter().try_for_each(|(name, item)| step(shown(name), item)),
        Value::Object(fields) => fields.get(*first).map_or(Ok(()), |item| step((*first).to_owned(), item)),
        _ => Ok(()),
    }
}

/// An element's name, or its index from 0.
fn element_name(index: usize, item: &Value) -> String {
    match item.get("name").and_then(Value::as_str) {
        Some(name) => shown(name),
        None => index.to_string(),
    }
}

fn check_value(value: &Value, bound: Bound, at: &[String]) -> Result<(), String> {
    let problem = match (bound, value) {
        // Treated as absent.
        (_, Value::Null) => None,
        (Bound::Number(from, to), value) => {
            let fits = value.as_u64().is_some_and(|number| (from..=to).contains(&number));
            (!fits).then(|| format!("is {}; it must be a whole number from {from} to {to}", shown(&value.to_string())))
        }
        (Bound::Text(most), Value::String(text)) => too_many(text.len(), most, "bytes"),
        (Bound::List(most), Value::Array(items)) => too_many(items.len(), most, "elements"),
        (Bound::List(most), Value::Object(fields)) => too_many(fields.len(), most, "elements"),
        _ => None,
    };
    problem.map_or(Ok(()), |problem| Err(fault(&at.join("."), &problem)))
}

fn too_many(count: usize, most: usize, what: &str) -> Option<String> {
    (count > most).then(|| format!("has {count} {what}; at most {most} are allowed"))
}
