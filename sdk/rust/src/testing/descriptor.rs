//! The descriptor, read as by a host, but strict about unknown keys: their authors should learn of them.

use super::bounds;
use super::wording::{fault, names, shown};
use serde::de::{DeserializeOwned, Error as _, IntoDeserializer, value::MapDeserializer};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Descriptor {
    #[serde(default, rename = "$schema")]
    _schema: Option<String>,
    schema: u64,
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(default, deserialize_with = "named_list")]
    pub(super) consumers: Vec<Consumer>,
    #[serde(default, deserialize_with = "named_list")]
    pub(super) producers: Vec<Producer>,
    #[serde(default)]
    pub(super) requests: Vec<Request>,
    #[serde(default, deserialize_with = "named_list")]
    pub(super) parameters: Vec<Parameter>,
    #[serde(default, deserialize_with = "named_list")]
    pub(super) config_types: Vec<Named>,
    #[serde(default, rename = "grants")]
    _grants: Vec<serde_json::Value>,
    #[serde(default, rename = "limits")]
    _limits: Limits,
    #[serde(default)]
    concurrency: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Limits {
    #[serde(default, rename = "memory-bytes")]
    _memory_bytes: Option<u64>,
    #[serde(default, rename = "time-ms")]
    _time_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    pub(super) name: String,
    #[serde(default, rename = "description")]
    _description: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Consumer {
    pub(super) name: String,
    #[serde(default, rename = "description")]
    _description: String,
    concurrency: Option<u32>,
    #[serde(default, rename = "order-by")]
    _order_by: Option<String>,
    pub(super) reply: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Producer {
    pub(super) name: String,
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(default)]
    pub(super) optional: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    pub(super) name: String,
    #[serde(rename = "request")]
    _request: String,
    #[serde(rename = "response")]
    _response: String,
    #[serde(default, rename = "timeout-ms")]
    _timeout_ms: u32,
    #[serde(default, rename = "description")]
    _description: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ParameterType {
    #[default]
    String,
    Integer,
    Number,
    Boolean,
    Json,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameter {
    pub(super) name: String,
    #[serde(default, rename = "type")]
    of: ParameterType,
    pub(super) default: Option<String>,
    #[serde(default)]
    pub(super) required: bool,
    #[serde(default, rename = "enum")]
    choices: Vec<String>,
    #[serde(default, rename = "description")]
    _description: String,
}

impl Descriptor {
    /// Reads and checks a descriptor; errors name the field.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let malformed = |error| format!("the descriptor does not match the schema weir:descriptor/1: {error}");
        bounds::check(&serde_json::from_str(text).map_err(malformed)?)?;
        let descriptor: Descriptor = serde_json::from_str(text).map_err(malformed)?;
        descriptor.check().map(|()| descriptor)
    }

    fn check(&self) -> Result<(), String> {
        if self.schema != 1 {
            return Err(format!("field `schema` of the descriptor is {}; this Weir supports 1", self.schema));
        }
        check_names("consumers", self.consumers.iter().map(|consumer| &consumer.name))?;
        check_names("producers", self.producers.iter().map(|producer| &producer.name))?;
        check_names("requests", self.requests.iter().map(|request| &request.name))?;
        check_names("parameters", self.parameters.iter().map(|parameter| &parameter.name))?;
        check_names("config-types", self.config_types.iter().map(|config_type| &config_type.name))?;
        let workers = self.consumers.iter().map(|consumer| u64::from(consumer.concurrency.or(self.concurrency).unwrap_or(1)));
        let workers_count: u64 = workers.sum();
        if workers_count > bounds::MAX_WORKERS_COUNT {
            let problem = format!("of all consumers together is {workers_count}; at most {} is allowed", bounds::MAX_WORKERS_COUNT);
            return Err(fault("concurrency", &problem));
        }
        for consumer in &self.consumers {
            let is_output = |name: &str| self.producers.iter().any(|producer| producer.name == name);
            if let Some(reply) = consumer.reply.as_deref().filter(|reply| !is_output(reply)) {
                return Err(fault(&format!("consumers.{}.reply", consumer.name), &format!("`{reply}` is not among the producers")));
            }
            if is_output(&consumer.name) {
                return Err(fault(
                    &format!("consumers.{}", consumer.name),
                    "is also among the producers: a topic must be one or the other",
                ));
            }
        }
        for parameter in &self.parameters {
            let checked = parameter.default.as_deref().map_or(Ok(()), |default| parameter.check_value(default));
            checked.map_err(|problem| fault(&format!("parameters.{}.default", parameter.name), &problem))?;
        }
        Ok(())
    }

    /// The index of an input.
    pub(super) fn input(&self, name: &str) -> Result<usize, String> {
        self.consumers.iter().position(|consumer| consumer.name == name).ok_or_else(|| {
            let known = names(self.consumers.iter().map(|consumer| consumer.name.as_str()));
            format!("input `{}` does not exist; must be one of: {known}", shown(name))
        })
    }

    /// Whether every topic given by a flow and not used otherwise is an output.
    pub(super) fn has_open_outputs(&self) -> bool {
        self.producers.iter().any(|producer| producer.name == "*")
    }
}

impl Parameter {
    /// Checks a value against the declared type and choices; the error states what the value must be.
    pub(super) fn check_value(&self, value: &str) -> Result<(), String> {
        let (fits, wanted) = match self.of {
            ParameterType::String => (true, "text"),
            ParameterType::Integer => (value.parse::<i64>().is_ok(), "a whole number"),
            ParameterType::Number => (value.parse::<f64>().is_ok_and(f64::is_finite), "a number"),
            ParameterType::Boolean => (matches!(value, "true" | "false"), "true or false"),
            ParameterType::Json => (serde_json::from_str::<serde::de::IgnoredAny>(value).is_ok(), "JSON"),
        };
        if !fits {
            return Err(format!("`{}` is not {wanted}", shown(value)));
        }
        if !self.choices.is_empty() && !self.choices.iter().any(|choice| choice == value) {
            return Err(format!("`{}` is not one of {}", shown(value), self.choices.join(", ")));
        }
        Ok(())
    }
}

fn check_names<'a>(list: &str, names: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(fault(list, "contains an empty name or one with control characters"));
        }
        if !seen.insert(name) {
            return Err(fault(list, &format!("names `{name}` twice")));
        }
    }
    Ok(())
}

/// Reads a list in which a plain string is short for `{"name": string}`.
fn named_list<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let items = Vec::<serde_json::Value>::deserialize(deserializer)?;
    let read = |item| match item {
        serde_json::Value::String(name) => T::deserialize(MapDeserializer::new([("name", name)].into_iter())),
        other => T::deserialize(other.into_deserializer()),
    };
    let items: Result<Vec<T>, serde_json::Error> = items.into_iter().map(read).collect();
    items.map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_the_field() {
        let check = |text: &str, word: &str| {
            let fault = Descriptor::parse(text).unwrap_err();
            assert!(fault.contains(word), "{text} gave {fault}");
        };
        check("nonsense", "weir:descriptor/1");
        check("{}", "`schema`");
        check(r#"{"schema": 2}"#, "supports 1");
        check(r#"{"schema": 1, "config_types": ["a"]}"#, "`config_types`, expected one of");
        check(r#"{"schema": 1, "parameters": [{"name": "a", "defualt": "1"}]}"#, "`defualt`");
        check(r#"{"schema": 1, "parameters": [{"name": "a", "default": 1}]}"#, "expected a string");
        check(r#"{"schema": 1, "consumers": ["a", "a"]}"#, "`a` twice");
        check(r#"{"schema": 1, "consumers": [""]}"#, "empty name");
        check(r#"{"schema": 1, "consumers": ["a"], "producers": ["a"]}"#, "consumers.a");
        check(r#"{"schema": 1, "consumers": [{"name": "a", "reply": "b"}]}"#, "consumers.a.reply");
        check(r#"{"schema": 1, "consumers": [{"name": "a", "concurrency": 0}]}"#, "concurrency");
        check(r#"{"schema": 1, "parameters": [{"name": "size", "type": "integer", "default": "big"}]}"#, "parameters.size.default");
    }

    #[test]
    fn everything_in_the_schema_is_parsed() {
        let descriptor = Descriptor::parse(
            r#"{"$schema": "x", "schema": 1, "name": "a", "version": "1.0.0", "description": "d", "concurrency": 2,
                "consumers": ["a", {"name": "b", "description": "d", "concurrency": 1, "order-by": "k", "reply": "c"}],
                "producers": [{"name": "c", "description": "d", "optional": true}, "*"],
                "requests": [{"name": "r", "request": "q", "response": "s", "timeout-ms": 1, "description": "d"}],
                "parameters": ["p", {"name": "q", "type": "json", "default": "[]", "required": false, "enum": ["[]"], "description": "d"}],
                "config-types": ["t", {"name": "u", "description": "d"}],
                "limits": {"memory-bytes": 65536, "time-ms": 1},
                "grants": [{"grant": "http", "what": ["example.org"], "why": "w", "optional": true}]}"#,
        );
        let descriptor = descriptor.unwrap();
        assert_eq!((descriptor.input("b"), descriptor.has_open_outputs()), (Ok(1), true));
        assert_eq!(descriptor.input("x").unwrap_err(), "input `x` does not exist; must be one of: a, b");
    }
}
