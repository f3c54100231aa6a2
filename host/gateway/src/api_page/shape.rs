//! The allowed values, in words.

use serde_json::Value;

use super::markup::{escaped, fields, inline, prose, text};

/// A schema in a few words, with links to the named schemas.
pub(super) fn of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or_default();
        return format!("<a href=\"#shape-{name}\">{name}</a>");
    }
    for (parts, word) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")] {
        if let Some(parts) = schema[parts].as_array() {
            return parts.iter().map(of).collect::<Vec<_>>().join(word);
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        let value = |value: &Value| format!("<code>{}</code>", escaped(&value.to_string()));
        return values.iter().map(value).collect::<Vec<_>>().join(" or ");
    }
    match &schema["type"] {
        Value::String(name) => of_type(name, schema),
        Value::Array(names) => names.iter().map(|name| of_type(text(name), schema)).collect::<Vec<_>>().join(" or "),
        _ => "any JSON".to_owned(),
    }
}

fn of_type(name: &str, schema: &Value) -> String {
    match name {
        "string" if schema["format"] == "binary" || schema["contentEncoding"].is_string() => "bytes".to_owned(),
        "string" => "string".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => format!("list of {}", of(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => format!("by name: {}", of(&schema["additionalProperties"])),
        other => other.to_owned(),
    }
}

/// A named schema with its fields.
pub(super) fn section(name: &str, schema: &Value) -> String {
    let rows: String = parts(schema).flat_map(|part| fields(&part["properties"]).map(|(field, of)| row(field, of, part))).collect();
    let mixed: Vec<String> = parts(schema).filter(|part| part["$ref"].is_string()).map(of).collect();
    let with = if mixed.is_empty() { String::new() } else { format!("<p>All of {}, and:</p>", mixed.join(", ")) };
    let body = if rows.is_empty() { format!("<p>{}</p>", of(schema)) } else { format!("{with}<table>{rows}</table>") };
    format!("<section id=\"shape-{name}\"><h3><code>{name}</code></h3>{}{body}</section>", prose(text(&schema["description"])))
}

/// The schema itself, or its `allOf` parts.
fn parts(schema: &Value) -> impl Iterator<Item = &Value> {
    match schema["allOf"].as_array() {
        Some(parts) => parts.iter(),
        None => std::slice::from_ref(schema).iter(),
    }
}

fn row(field: &str, schema: &Value, within: &Value) -> String {
    let must = within["required"].as_array().is_some_and(|names| names.iter().any(|name| name == field));
    let may = if must { "" } else { " <i>optional</i>" };
    format!("<tr><td><code>{field}</code>{may}</td><td>{}</td><td>{}</td></tr>", of(schema), inline(text(&schema["description"])))
}
