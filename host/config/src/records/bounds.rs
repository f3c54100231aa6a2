//! Bounds on the numbers, lists and strings of records, checked when they are read, so that code can allocate by them without further checks.

use serde_json::Value;

use super::limits::MAX_MEMORY_BYTES;

/// Maximum number of messages of one input handled in parallel.
pub const MAX_CONCURRENCY: u32 = 1_000;
/// Maximum number of messages of all inputs of a variant handled in parallel: the maximum number of instances of a host.
pub const MAX_WORKERS_COUNT: u64 = 4_000;
/// Maximum number of messages that one consumer holds unsettled.
pub const MAX_WINDOW: u32 = 65_535;

const KIB: usize = 1 << 10;
const HOUR_MS: u64 = 3_600_000;

/// The allowed values.
#[derive(Clone, Copy, Debug)]
pub(super) enum FieldLimit {
    /// An integer within these bounds.
    Number(u64, u64),
    /// A string of at most this many bytes; other values are left to the type.
    Text(usize),
    /// A list or map of at most this many elements.
    List(usize),
}

/// A path to values, with `*` for each element of a list or map, and their bound.
pub(super) type Rule = (&'static [&'static str], FieldLimit);

/// A value that is out of its bound.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfBound {
    /// Its path, with the names of elements: `consumers.input.concurrency`.
    pub(super) field: String,
    /// The value and its allowed range.
    pub(super) problem: String,
}

const NAME: FieldLimit = FieldLimit::Text(128);
const PROSE: FieldLimit = FieldLimit::Text(8 * KIB);

/// Rules for descriptors, whose total size is limited, too.
pub(super) const DESCRIPTOR: &[Rule] = &[
    (&["name"], NAME),
    (&["version"], NAME),
    (&["description"], PROSE),
    (&["concurrency"], FieldLimit::Number(1, MAX_CONCURRENCY as u64)),
    (&["consumers"], FieldLimit::List(64)),
    (&["consumers", "*"], NAME),
    (&["consumers", "*", "name"], NAME),
    (&["consumers", "*", "description"], PROSE),
    (&["consumers", "*", "concurrency"], FieldLimit::Number(1, MAX_CONCURRENCY as u64)),
    (&["consumers", "*", "order-by"], NAME),
    (&["consumers", "*", "reply"], NAME),
    (&["producers"], FieldLimit::List(256)),
    (&["producers", "*"], NAME),
    (&["producers", "*", "name"], NAME),
    (&["producers", "*", "description"], PROSE),
    (&["requests"], FieldLimit::List(64)),
    (&["requests", "*", "name"], NAME),
    (&["requests", "*", "request"], NAME),
    (&["requests", "*", "response"], NAME),
    (&["requests", "*", "timeout-ms"], FieldLimit::Number(1, HOUR_MS)),
    (&["requests", "*", "description"], PROSE),
    (&["parameters"], FieldLimit::List(256)),
    (&["parameters", "*"], NAME),
    (&["parameters", "*", "name"], NAME),
    (&["parameters", "*", "default"], PROSE),
    (&["parameters", "*", "enum"], FieldLimit::List(256)),
    (&["parameters", "*", "enum", "*"], PROSE),
    (&["parameters", "*", "description"], PROSE),
    (&["config-types"], FieldLimit::List(64)),
    (&["config-types", "*"], NAME),
    (&["config-types", "*", "name"], NAME),
    (&["config-types", "*", "description"], PROSE),
    (&["grants"], FieldLimit::List(64)),
    (&["grants", "*", "grant"], NAME),
    (&["grants", "*", "what"], FieldLimit::List(64)),
    (&["grants", "*", "what", "*"], FieldLimit::Text(KIB)),
    (&["grants", "*", "why"], PROSE),
    (&["limits", "memory-bytes"], FieldLimit::Number(64 << 10, MAX_MEMORY_BYTES)),
    (&["limits", "time-ms"], FieldLimit::Number(1, HOUR_MS)),
];

/// Rules for deployments, except their descriptors and limits.
pub(super) const COMPONENT: &[Rule] = &[
    (&["size-bytes"], FieldLimit::Number(0, 1 << 40)),
    (&["world"], NAME),
    (&["exports"], FieldLimit::List(64)),
    (&["exports", "*"], NAME),
    (&["grants"], FieldLimit::List(64)),
    (&["grants", "*", "grant"], NAME),
    (&["grants", "*", "what"], FieldLimit::List(64)),
    (&["grants", "*", "what", "*"], FieldLimit::Text(KIB)),
    (&["concurrency"], FieldLimit::Number(1, MAX_CONCURRENCY as u64)),
    (&["window"], FieldLimit::Number(1, MAX_WINDOW as u64)),
];

/// Finds the first value that is out of its bound.
pub(super) fn check(value: &Value, rules: &[Rule]) -> Result<(), OutOfBound> {
    rules.iter().try_for_each(|(path, bound)| check_path(value, path, *bound, &mut Vec::new()))
}

fn check_path(value: &Value, path: &[&str], bound: FieldLimit, at: &mut Vec<String>) -> Result<(), OutOfBound> {
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
        Value::Object(fields) if *first == "*" => fields.iter().try_for_each(|(name, item)| step(weir_pubsub::shown(name), item)),
        Value::Object(fields) => fields.get(*first).map_or(Ok(()), |item| step((*first).to_owned(), item)),
        _ => Ok(()),
    }
}

/// An element's name, or its index from 0.
fn element_name(index: usize, item: &Value) -> String {
    match item.get("name").and_then(Value::as_str) {
        Some(name) => weir_pubsub::shown(name),
        None => index.to_string(),
    }
}

fn check_value(value: &Value, bound: FieldLimit, at: &[String]) -> Result<(), OutOfBound> {
    let problem = match (bound, value) {
        // Same as absent.
        (_, Value::Null) => None,
        (FieldLimit::Number(from, to), value) => {
            let fits = value.as_u64().is_some_and(|number| (from..=to).contains(&number));
            (!fits).then(|| format!("is {}; it must be a whole number from {from} to {to}", weir_pubsub::shown(&value.to_string())))
        }
        (FieldLimit::Text(most), Value::String(text)) => too_many(text.len(), most, "bytes"),
        (FieldLimit::List(most), Value::Array(items)) => too_many(items.len(), most, "elements"),
        (FieldLimit::List(most), Value::Object(fields)) => too_many(fields.len(), most, "elements"),
        _ => None,
    };
    problem.map_or(Ok(()), |problem| Err(OutOfBound { field: at.join("."), problem }))
}

fn too_many(count: usize, most: usize, what: &str) -> Option<String> {
    (count > most).then(|| format!("has {count} {what}; at most {most} are allowed"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(value: &Value) -> String {
        let OutOfBound { field, problem } = check(value, DESCRIPTOR).unwrap_err();
        format!("{field} {problem}")
    }

    #[test]
    fn a_fault_names_the_field_the_value_and_the_bound() {
        for (number, shown) in [(json!(0), "0"), (json!(-1), "-1"), (json!(1001), "1001"), (json!(1.5), "1.5"), (json!("9"), "9")] {
            let text = found(&json!({"concurrency": number}));
            assert!(text.starts_with("concurrency is ") && text.contains(shown) && text.ends_with("from 1 to 1000"), "{text}");
        }
        let huge = json!({"consumers": ["a", {"name": "b", "concurrency": 4_294_967_296_u64}]});
        assert_eq!(found(&huge), "consumers.b.concurrency is 4294967296; it must be a whole number from 1 to 1000");
        assert_eq!(found(&json!({"requests": [{"timeout-ms": 1e30}]})).split(' ').next(), Some("requests.0.timeout-ms"));
        assert_eq!(found(&json!({"producers": vec!["a"; 257]})), "producers has 257 elements; at most 256 are allowed");
        assert_eq!(found(&json!({"producers": ["a".repeat(129)]})), "producers.0 has 129 bytes; at most 128 are allowed");
        let choices = json!({"parameters": [{"name": "size", "enum": ["a", "b".repeat(8193)]}]});
        assert_eq!(found(&choices), "parameters.size.enum.1 has 8193 bytes; at most 8192 are allowed");
    }

    #[test]
    fn values_within_bounds_or_absent_pass() {
        let value = json!({"concurrency": 1000, "consumers": [{"name": "a", "concurrency": null}], "other": 1e30, "requests": 7});
        assert_eq!(check(&value, DESCRIPTOR), Ok(()));
        assert_eq!(check(&json!(null), COMPONENT), Ok(()));
    }
}
