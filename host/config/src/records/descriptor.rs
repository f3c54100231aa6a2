//! The self-description of a component, as defined by `wit/descriptor.schema.json`.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::bounds::{self, MAX_WORKERS_COUNT};
use super::requested::RequestedLimits;

/// Maximum size of a descriptor, in bytes.
pub const MAX_DESCRIPTOR_BYTES: usize = 64 << 10;

/// Why a descriptor is not usable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// Larger than [`MAX_DESCRIPTOR_BYTES`].
    #[error("the descriptor has {actual_bytes} bytes; the limit is {MAX_DESCRIPTOR_BYTES}")]
    TooLarge {
        /// Its size.
        actual_bytes: usize,
    },
    /// Not JSON, or it does not match the schema.
    #[error("the descriptor does not match the schema weir:descriptor/1")]
    Malformed(#[source] serde_json::Error),
    /// A schema of a later version of Weir.
    #[error("field `schema` of the descriptor is {schema}; this Weir supports 1")]
    UnknownSchema {
        /// The schema's version.
        schema: u64,
    },
    /// A rule of the schema that serde cannot express.
    #[error("field `{field}` of the descriptor: {problem}")]
    Field {
        /// Which field, with the name of the element.
        field: String,
        /// The problem and the fix.
        problem: String,
    },
}

/// A component's description of its inputs, outputs, requests, parameters and config types.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Descriptor {
    /// The version of the schema; 1.
    pub schema: u64,
    /// The component's name: lower-case words joined by `-`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its semantic version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Inputs: the spec names whose topics messages are handled from.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "named_list")]
    pub consumers: Vec<ConsumerSpec>,
    /// Outputs. The name `*` means: every other topic of the entry is an output.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "named_list")]
    pub producers: Vec<ProducerSpec>,
    /// Services that it sends requests to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestSpec>,
    /// Parameters that it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "named_list")]
    pub parameters: Vec<ParameterSpec>,
    /// Config types that it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "named_list")]
    pub config_types: Vec<Named>,
    /// The permissions that it requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<GrantSpec>,
    /// Limits that it requests of the deployment.
    #[serde(default, skip_serializing_if = "RequestedLimits::is_empty")]
    pub limits: RequestedLimits,
    /// How many messages of each consumer are handled in parallel, unless the consumer overrides it. At least 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub concurrency: u32,
}

/// An object with only a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Named {
    /// The name.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// One input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ConsumerSpec {
    /// The spec name of its topic.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Messages of this input handled in parallel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// The message property whose value is the ordering key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_by: Option<String>,
    /// The producer for answers; makes this an input of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

/// One output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProducerSpec {
    /// The spec name of its topic, or `*`.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether a flow may omit its topic: messages sent to it are then dropped and counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// A service that it sends requests to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct RequestSpec {
    /// Its name in `messaging.request`.
    pub name: String,
    /// The spec name of the topic for requests.
    pub request: String,
    /// The spec name of the topic for answers.
    pub response: String,
    /// The time limit of an answer, unless the call overrides it.
    #[serde(default = "a_minute")]
    pub timeout_ms: u32,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// The type of a parameter's string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParameterKind {
    /// Any text.
    #[default]
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A JSON text.
    Json,
}

impl ParameterKind {
    /// A description of values of this kind, for people.
    fn described(self) -> &'static str {
        match self {
            ParameterKind::String => "text",
            ParameterKind::Integer => "a whole number",
            ParameterKind::Number => "a number",
            ParameterKind::Boolean => "true or false",
            ParameterKind::Json => "JSON",
        }
    }
}

/// Why a parameter cannot have a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// It is not of the parameter's kind.
    #[error("`{}` is not {}", weir_pubsub::shown(.value), .kind.described())]
    OtherKind {
        /// The value.
        value: String,
        /// What it must be.
        kind: ParameterKind,
    },
    /// It is not among the values that the parameter may have.
    #[error("`{}` is not one of {}", weir_pubsub::shown(.value), .choices.join(", "))]
    NotAChoice {
        /// The value.
        value: String,
        /// The allowed values.
        choices: Vec<String>,
    },
}

/// One parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ParameterSpec {
    /// Its name.
    pub name: String,
    /// The type of its string.
    #[serde(default, rename = "type")]
    pub kind: ParameterKind,
    /// Its value if a flow gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether a flow must set it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Its valid values; empty for any.
    #[serde(default, rename = "enum", skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// A permission that the component requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GrantSpec {
    /// The kind: `http`, `keyvalue`, `config`, `env`, `secrets` or `fs`.
    pub grant: String,
    /// The targets, for example hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub what: Vec<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Whether the component works without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

impl Descriptor {
    /// Reads and checks a descriptor.
    ///
    /// # Errors
    /// [`DescriptorError`], naming the field.
    pub fn parse(bytes: &[u8]) -> Result<Self, DescriptorError> {
        if bytes.len() > MAX_DESCRIPTOR_BYTES {
            return Err(DescriptorError::TooLarge { actual_bytes: bytes.len() });
        }
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(DescriptorError::Malformed)?;
        bounds::check(&value, bounds::DESCRIPTOR).or_else(|found| field(&found.field, found.problem))?;
        let descriptor: Descriptor = serde_json::from_slice(bytes).map_err(DescriptorError::Malformed)?;
        descriptor.check()?;
        Ok(descriptor)
    }

    /// Checks what the types alone do not guarantee.
    ///
    /// # Errors
    /// [`DescriptorError`], naming the field.
    pub fn check(&self) -> Result<(), DescriptorError> {
        if self.schema != 1 {
            return Err(DescriptorError::UnknownSchema { schema: self.schema });
        }
        if let Some(name) = self.name.as_deref().filter(|name| !is_component_name(name)) {
            return field("name", format!("`{name}` must be lower-case words joined by `-`"));
        }
        if let Some(version) = self.version.as_deref() {
            semver::Version::parse(version)
                .or_else(|e| field("version", format!("`{version}` is not a semantic version such as 1.2.0 ({e})")))?;
        }
        self.check_names("consumers", self.consumers.iter().map(|c| c.name.as_str()))?;
        self.check_names("producers", self.producers.iter().map(|p| p.name.as_str()))?;
        self.check_names("requests", self.requests.iter().map(|r| r.name.as_str()))?;
        self.check_names("parameters", self.parameters.iter().map(|p| p.name.as_str()))?;
        self.check_names("config-types", self.config_types.iter().map(|t| t.name.as_str()))?;
        self.check_workers(None)?;
        for consumer in &self.consumers {
            if let Some(reply) = consumer.reply.as_deref().filter(|reply| !self.producers.iter().any(|p| p.name == *reply)) {
                return field(&format!("consumers.{}.reply", consumer.name), format!("`{reply}` is not among the producers"));
            }
            if self.producers.iter().any(|p| p.name == consumer.name) {
                return field(
                    &format!("consumers.{}", consumer.name),
                    "is also among the producers: a topic must be one or the other".to_owned(),
                );
            }
        }
        self.parameters.iter().try_for_each(check_parameter)
    }

    /// Checks how many messages of all inputs together are handled in parallel, each with the concurrency of the deployment if it has one.
    ///
    /// # Errors
    /// [`DescriptorError::Field`].
    pub(super) fn check_workers(&self, deployed: Option<u32>) -> Result<(), DescriptorError> {
        let count: u64 = self.consumers.iter().map(|consumer| u64::from(deployed.unwrap_or_else(|| self.concurrency_of(consumer)))).sum();
        if count > MAX_WORKERS_COUNT {
            return field("concurrency", format!("of all consumers together is {count}; at most {MAX_WORKERS_COUNT} is allowed"));
        }
        Ok(())
    }

    fn check_names<'a>(&self, list: &str, names: impl Iterator<Item = &'a str>) -> Result<(), DescriptorError> {
        let mut seen = std::collections::BTreeSet::new();
        for name in names {
            if name.is_empty() || name.chars().any(char::is_control) {
                return field(list, "contains an empty name or one with control characters".to_owned());
            }
            if !seen.insert(name) {
                return field(list, format!("names `{name}` twice"));
            }
        }
        Ok(())
    }

    /// How many messages of one input are handled in parallel.
    pub fn concurrency_of(&self, consumer: &ConsumerSpec) -> u32 {
        consumer.concurrency.unwrap_or(self.concurrency).max(1)
    }

    /// Whether every topic of an entry that is not used otherwise is an output.
    pub fn has_open_outputs(&self) -> bool {
        self.producers.iter().any(|p| p.name == "*")
    }
}

impl ParameterSpec {
    /// Checks a value against the declared type and choices.
    ///
    /// # Errors
    /// [`ValueError`], which states what the value must be.
    pub fn check_value(&self, value: &str) -> Result<(), ValueError> {
        let fits = match self.kind {
            ParameterKind::String => true,
            ParameterKind::Integer => value.parse::<i64>().is_ok(),
            ParameterKind::Number => value.parse::<f64>().is_ok_and(f64::is_finite),
            ParameterKind::Boolean => matches!(value, "true" | "false"),
            ParameterKind::Json => serde_json::from_str::<serde::de::IgnoredAny>(value).is_ok(),
        };
        if !fits {
            return Err(ValueError::OtherKind { value: value.to_owned(), kind: self.kind });
        }
        if !self.choices.is_empty() && !self.choices.iter().any(|c| c == value) {
            return Err(ValueError::NotAChoice { value: value.to_owned(), choices: self.choices.clone() });
        }
        Ok(())
    }
}

fn check_parameter(parameter: &ParameterSpec) -> Result<(), DescriptorError> {
    match parameter.default.as_deref().map(|default| parameter.check_value(default)) {
        Some(Err(error)) => field(&format!("parameters.{}.default", parameter.name), error.to_string()),
        _ => Ok(()),
    }
}

fn is_component_name(name: &str) -> bool {
    name.split('-').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

fn field<T>(field: &str, problem: String) -> Result<T, DescriptorError> {
    Err(DescriptorError::Field { field: field.to_owned(), problem })
}

fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(value: &u32) -> bool {
    *value == 1
}

fn a_minute() -> u32 {
    60_000
}

/// Reads a list in which a plain string means `{"name": string}`.
fn named_list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    use serde::de::{Error, IntoDeserializer, value::MapDeserializer};
    let items = Vec::<serde_json::Value>::deserialize(deserializer)?;
    let read = |item| match item {
        serde_json::Value::String(name) => T::deserialize(MapDeserializer::new([("name", name)].into_iter())),
        other => T::deserialize(other.into_deserializer()),
    };
    items.into_iter().map(|item| read(item).map_err(Error::custom)).collect::<Result<Vec<T>, serde_json::Error>>().map_err(Error::custom)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_plain_string_stands_for_a_name() {
        let descriptor =
            Descriptor::parse(br#"{"schema": 1, "consumers": ["input"], "producers": [{"name": "output", "optional": true}]}"#).unwrap();
        assert_eq!(descriptor.consumers[0].name, "input");
        assert!(descriptor.producers[0].optional);
        assert_eq!(descriptor.concurrency, 1);
    }

    #[test]
    fn faults_name_the_field() {
        let check = |text: &str, word: &str| {
            let error = Descriptor::parse(text.as_bytes()).unwrap_err();
            let message = format!("{error} {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default());
            assert!(message.contains(word), "{text} gave {message}");
        };
        check("nonsense", "weir:descriptor/1");
        check("{}", "schema");
        check(r#"{"schema": 2}"#, "supports 1");
        check(r#"{"schema": 1, "name": "Big Name"}"#, "`name`");
        check(r#"{"schema": 1, "version": "one"}"#, "`version`");
        check(r#"{"schema": 1, "consumers": ["a", "a"]}"#, "`a` twice");
        check(r#"{"schema": 1, "consumers": [{"name": "a", "reply": "b"}]}"#, "consumers.a.reply");
        check(r#"{"schema": 1, "parameters": [{"name": "size", "type": "integer", "default": "big"}]}"#, "parameters.size.default");
        check(r#"{"schema": 1, "concurrency": 0}"#, "`concurrency` of the descriptor: is 0; it must be a whole number from 1 to 1000");
        check(r#"{"schema": 1, "concurrency": 4294967295}"#, "`concurrency` of the descriptor: is 4294967295");
        check(r#"{"schema": 1, "limits": {"memory-bytes": 5}}"#, "`limits.memory-bytes` of the descriptor: is 5");
        check(r#"{"schema": 1, "limits": {"time-ms": "30 s"}}"#, "`limits.time-ms`");
        check(r#"{"schema": 1, "consumers": ["a", "b", "c", "d", "e"], "concurrency": 1000}"#, "is 5000; at most 4000");
        check(&format!(r#"{{"schema": 1, "description": "{}"}}"#, "x".repeat(MAX_DESCRIPTOR_BYTES)), "the limit is 65536");
    }

    #[test]
    fn values_are_checked_against_type_and_choices() {
        let spec = |kind, choices: &[&str]| ParameterSpec {
            kind,
            choices: choices.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        assert!(spec(ParameterKind::Integer, &[]).check_value("12").is_ok());
        assert_eq!(spec(ParameterKind::Integer, &[]).check_value("1.5").unwrap_err().to_string(), "`1.5` is not a whole number");
        assert!(spec(ParameterKind::Number, &[]).check_value("NaN").is_err());
        assert!(spec(ParameterKind::Boolean, &[]).check_value("True").is_err());
        assert!(spec(ParameterKind::Json, &[]).check_value("[1]").is_ok());
        assert_eq!(spec(ParameterKind::String, &["a", "b"]).check_value("c").unwrap_err().to_string(), "`c` is not one of a, b");
    }
}
