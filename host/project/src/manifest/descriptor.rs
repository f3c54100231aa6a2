//! Makes the descriptor from a manifest. Pure.

use serde_json::{Map, Value, json};
use weir_config::records::{Descriptor, DescriptorError, descriptor_faults};

use super::{Consumer, Grant, Kind, Limits, Manifest, Named, Parameter, Producer, Request};

/// A field of the descriptor, and what is wrong with it.
type Fault = (String, String);

impl Manifest {
    /// The descriptor, with the same checks as in a host.
    pub(super) fn descriptor(&self) -> Result<Descriptor, Fault> {
        if self.consumers.is_empty() {
            return Err(("consumers".to_owned(), "it is empty: list the inputs, for example consumers = [\"input\"]".to_owned()));
        }
        let mut parameters = Vec::with_capacity(self.parameters.len());
        for parameter in &self.parameters {
            parameters.push(parameter.value()?);
        }
        let mut fields = Map::new();
        fields.insert("schema".to_owned(), json!(1));
        let mut set = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        set("name", json!(self.name));
        set("version", json!(self.version));
        set("description", json!(self.description));
        set("consumers", self.consumers.iter().map(Consumer::value).collect());
        set("producers", self.producers.iter().map(Producer::value).collect());
        set("requests", self.requests.iter().map(Request::value).collect());
        set("parameters", parameters.into());
        set("config-types", self.config_types.iter().map(Named::value).collect());
        set("grants", self.grants.iter().map(Grant::value).collect());
        set("limits", self.limits.value());
        set("concurrency", json!(self.concurrency.unwrap_or(1)));
        checked(&Value::Object(fields).to_string())
    }
}

fn checked(text: &str) -> Result<Descriptor, Fault> {
    let descriptor = Descriptor::parse(text.as_bytes()).map_err(|error| match error {
        DescriptorError::Field { field, problem } => (field, problem),
        other => ("name".to_owned(), weir_pubsub::chain(&other)),
    })?;
    match descriptor_faults(text.as_bytes(), &descriptor).into_iter().next() {
        Some(fault) => Err(("grants".to_owned(), fault)),
        None => Ok(descriptor),
    }
}

/// An object of the fields that have a value.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let given = fields.into_iter().filter(|(_, value)| !value.is_null() && value != "" && *value != json!([]) && *value != json!(false));
    Value::Object(given.map(|(name, value)| (name.to_owned(), value)).collect())
}

impl Named {
    fn value(&self) -> Value {
        object([("name", json!(self.name)), ("description", json!(self.description))])
    }
}

impl Consumer {
    fn value(&self) -> Value {
        object([
            ("name", json!(self.name)),
            ("description", json!(self.description)),
            ("concurrency", json!(self.concurrency)),
            ("order-by", json!(self.order_by)),
            ("reply", json!(self.reply)),
        ])
    }
}

impl Producer {
    fn value(&self) -> Value {
        object([("name", json!(self.name)), ("description", json!(self.description)), ("optional", json!(self.optional))])
    }
}

impl Request {
    fn value(&self) -> Value {
        object([
            ("name", json!(self.name)),
            ("request", json!(self.request)),
            ("response", json!(self.response)),
            ("timeout-ms", json!(self.timeout_ms)),
            ("description", json!(self.description)),
        ])
    }
}

impl Grant {
    fn value(&self) -> Value {
        object([("grant", json!(self.grant)), ("what", json!(self.what)), ("why", json!(self.why)), ("optional", json!(self.optional))])
    }
}

impl Limits {
    fn value(self) -> Value {
        object([("memory-bytes", json!(self.memory)), ("time-ms", json!(self.time))])
    }
}

impl Parameter {
    fn value(&self) -> Result<Value, Fault> {
        let text = |value: &toml::Value, key: &str| {
            text_of(value).ok_or_else(|| {
                let problem = "a date is not a valid parameter value: write it as a string".to_owned();
                (format!("parameters.{}.{key}", self.name), problem)
            })
        };
        let kind = match self.kind {
            Kind::String => "string",
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::Json => "json",
        };
        let choices = self.choices.iter().map(|choice| text(choice, "enum")).collect::<Result<Vec<_>, _>>()?;
        let default = self.default.as_ref().map(|default| text(default, "default")).transpose()?;
        let mut value = object([
            ("name", json!(self.name)),
            ("type", json!(kind)),
            ("required", json!(self.required)),
            ("enum", json!(choices)),
            ("description", json!(self.description)),
        ]);
        // Even if it is empty.
        if let Some(default) = default {
            value["default"] = default.into();
        }
        Ok(value)
    }
}

/// A value as the string that a processor receives: strings as they are, other values as JSON.
fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        other => json_of(other).map(|value| value.to_string()),
    }
}

fn json_of(value: &toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(value) => json!(value),
        toml::Value::Datetime(_) => return None,
        toml::Value::Array(items) => Value::Array(items.iter().map(json_of).collect::<Option<_>>()?),
        toml::Value::Table(fields) => {
            Value::Object(fields.iter().map(|(name, value)| Some((name.clone(), json_of(value)?))).collect::<Option<_>>()?)
        }
    })
}
