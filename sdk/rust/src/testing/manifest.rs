//! The descriptor generated from a `weir.toml`, as by `weir build`: a test of Weir compares both.

use serde_json::{Value, json};

const SIZE_UNITS: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The text of a descriptor. Errors in its fields are found when descriptors are read.
pub(super) fn descriptor(manifest: &str) -> Result<String, String> {
    let table: toml::Table = toml::from_str(manifest).map_err(|error| error.to_string())?;
    let Value::Object(mut fields) = json_of(table.into())? else { return Err("it is not a table".to_owned()) };
    // These are about the build.
    fields.remove("language");
    fields.remove("source");
    fields.insert("schema".to_owned(), json!(1));
    for parameter in fields.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(default) = parameter.get_mut("default") {
            *default = text_of(default);
        }
        for choice in parameter.get_mut("enum").and_then(Value::as_array_mut).into_iter().flatten() {
            *choice = text_of(choice);
        }
    }
    if let Some(Value::Object(limits)) = fields.get_mut("limits") {
        for (name, of_descriptor, units) in [("memory", "memory-bytes", &SIZE_UNITS[..]), ("time", "time-ms", &TIME_UNITS[..])] {
            if let Some(value) = limits.remove(name) {
                limits.insert(of_descriptor.to_owned(), measure(&value, units).ok_or_else(|| unmeasured(name, &value))?);
            }
        }
    }
    Ok(Value::Object(fields).to_string())
}

/// Values of parameters are strings: strings unchanged, all others as JSON.
fn text_of(value: &Value) -> Value {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned).into()
}

/// A number in the smallest unit, or a number with a unit.
fn measure(value: &Value, units: &[(&str, u64)]) -> Option<Value> {
    let Some(text) = value.as_str() else { return value.as_u64().map(Value::from) };
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let unit = units.iter().find(|(name, _)| *name == text[digits..].trim_start())?.1;
    text[..digits].parse::<u64>().ok()?.checked_mul(unit).map(Value::from)
}

fn unmeasured(name: &str, value: &Value) -> String {
    let example = if name == "memory" { "64 MiB" } else { "30 s" };
    format!("key `limits.{name}`: {value} must be a number with a unit, for example \"{example}\"")
}

fn json_of(value: toml::Value) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(value) => json!(value),
        toml::Value::Datetime(date) => return Err(format!("{date}: a date is not a value here: write it as a string")),
        toml::Value::Array(items) => Value::Array(items.into_iter().map(json_of).collect::<Result<_, _>>()?),
        toml::Value::Table(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| Ok((name, json_of(value)?))).collect::<Result<_, String>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_values_are_strings_and_limits_have_units() {
        let text = "language = \"rust\"\nname = \"a\"\n[[parameters]]\nname = \"p\"\ndefault = 1\nenum = [1, \"2\", [3]]\n\
                    [limits]\nmemory = \"192 MiB\"\ntime = 5\n";
        let wanted = json!({"schema": 1, "name": "a", "parameters": [{"name": "p", "default": "1", "enum": ["1", "2", "[3]"]}],
            "limits": {"memory-bytes": 192 << 20, "time-ms": 5}});
        assert_eq!(serde_json::from_str::<Value>(&descriptor(text).unwrap()).unwrap(), wanted);
        for (wrong, word) in [("a = ", "line 1"), ("[limits]\ntime = \"5 min\"", "limits.time"), ("a = 2026-01-01", "a date")] {
            let fault = descriptor(wrong).unwrap_err();
            assert!(fault.contains(word), "{fault}");
        }
    }
}
