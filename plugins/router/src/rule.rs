//! One rule: its written form, and whether a message matches it.

use crate::fields::{Fields, tokens};
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use weir::Message;

const FIELDS: [&str; 7] = ["to", "path", "property", "equals", "one-of", "matches", "exists"];

/// The maximum size of a compiled pattern, so that a list of them fits into an instance's memory.
const MAX_PATTERN_BYTES: usize = 256 << 10;

/// A validated rule.
#[derive(Debug)]
pub(crate) struct Rule {
    /// The output.
    pub(crate) to: String,
    subject: Subject,
    test: Test,
}

/// The part of a message that a rule tests.
#[derive(Debug)]
enum Subject {
    /// The field with this number.
    Field(usize),
    /// The property with this name.
    Property(String),
    /// The body as text.
    Body,
}

/// The test of a rule.
#[derive(Debug)]
enum Test {
    Always,
    IsOneOf(Vec<Scalar>),
    Matches(Regex),
    Exists(bool),
}

/// A scalar value. Numbers are compared by value: `1` equals `1.0`.
#[derive(Debug, PartialEq)]
enum Scalar {
    Null,
    Bool(bool),
    Whole(i128),
    Number(f64),
    Text(String),
}

/// A message and its fields.
pub(crate) struct Seen<'a> {
    message: &'a Message,
    text: Option<&'a str>,
    found: Vec<Option<&'a str>>,
}

impl<'a> Seen<'a> {
    /// Reads a message once, for all rules.
    pub(crate) fn new(message: &'a Message, fields: &Fields) -> Self {
        let text = message.text().ok();
        Self { message, text, found: fields.find(text.unwrap_or_default()) }
    }
}

impl Rule {
    /// Reads a rule, and adds the field that it tests to the others.
    ///
    /// # Errors
    /// The field that is wrong, and the permitted values.
    pub(crate) fn read(written: Value, fields: &mut Fields) -> Result<Self, String> {
        let Value::Object(mut written) = written else {
            return Err(r#"is not an object such as {"to": "invoices", "path": "/kind", "equals": "invoice"}"#.to_owned());
        };
        if let Some(unknown) = written.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            return Err(format!("unknown field `{}`; must be one of: {}", shown(unknown), FIELDS.join(", ")));
        }
        let to = text(&mut written, "to")?.ok_or("field `to` is missing: add the output to send messages to")?;
        let subject = match (text(&mut written, "path")?, text(&mut written, "property")?) {
            (Some(_), Some(_)) => return Err("has both `path` and `property`: split it into two rules".to_owned()),
            (Some(path), None) => {
                Some(Subject::Field(fields.add(tokens(&path).map_err(|fault| format!("field `path`: `{}` {fault}", shown(&path)))?)))
            }
            (None, Some(name)) => Some(Subject::Property(name)),
            (None, None) => None,
        };
        let test = test(written, subject.is_some())?;
        Ok(Self { to, subject: subject.unwrap_or(Subject::Body), test })
    }

    pub(crate) fn matches(&self, seen: &Seen<'_>) -> bool {
        let value = || match &self.subject {
            Subject::Field(number) => seen.found[*number].map(Cow::Borrowed),
            Subject::Property(name) => seen.message.property(name).map(|value| Cow::Owned(Value::from(value).to_string())),
            Subject::Body => None,
        };
        match &self.test {
            Test::Always => true,
            Test::Exists(wanted) => value().is_some() == *wanted,
            Test::IsOneOf(wanted) => value().and_then(|json| Scalar::read(&json)).is_some_and(|found| wanted.contains(&found)),
            Test::Matches(pattern) => match self.subject {
                Subject::Body => seen.text.is_some_and(|text| pattern.is_match(text)),
                _ => value().and_then(|json| as_text(&json).map(|text| pattern.is_match(&text))).unwrap_or(false),
            },
        }
    }
}

/// Removes and returns a field that is a string.
fn text(written: &mut Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match written.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("field `{name}` is {}, where a string is expected", shown(&other.to_string()))),
    }
}

/// Reads the test from what is left of a rule.
fn test(written: Map<String, Value>, has_subject: bool) -> Result<Test, String> {
    let mut tests = written.into_iter();
    let Some((name, value)) = tests.next() else {
        return if has_subject { Err("has no condition: add one of equals, one-of, matches, exists".to_owned()) } else { Ok(Test::Always) };
    };
    if let Some((other, _)) = tests.next() {
        return Err(format!("has both `{name}` and `{other}`: split it into two rules"));
    }
    if !has_subject && name != "matches" {
        return Err(format!("has `{name}` without `path` or `property`: add `path` for a field of the message, or `property`"));
    }
    match (name.as_str(), value) {
        ("equals", value) => Ok(Test::IsOneOf(vec![scalar("equals", value)?])),
        ("one-of", Value::Array(values)) => {
            values.into_iter().map(|value| scalar("one-of", value)).collect::<Result<_, _>>().map(Test::IsOneOf)
        }
        ("one-of", value) => Err(format!("field `one-of` is {}, where a list is expected", shown(&value.to_string()))),
        ("exists", Value::Bool(wanted)) => Ok(Test::Exists(wanted)),
        ("exists", value) => Err(format!("field `exists` is {}, where true or false is expected", shown(&value.to_string()))),
        (_, Value::String(pattern)) => compile(&pattern).map(Test::Matches),
        (_, value) => Err(format!("field `matches` is {}, where a pattern is expected, as a string", shown(&value.to_string()))),
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("field `matches`: the pattern needs more than {} KiB: use smaller repetitions and classes", limit >> 10)
        }
        // The error draws the pattern over several lines; the last one states the problem.
        error => {
            let fault = error.to_string();
            let fault = fault.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
            format!("field `matches`: `{}` is not a valid pattern: {fault}", shown(pattern))
        }
    })
}

fn scalar(field: &str, value: Value) -> Result<Scalar, String> {
    Scalar::of(value).ok_or_else(|| format!("field `{field}` contains an object or a list: compare a field inside it, using `path`"))
}

impl Scalar {
    fn of(value: Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self::Null),
            Value::Bool(value) => Some(Self::Bool(value)),
            Value::Number(number) => Some(Self::of_number(&number)),
            Value::String(text) => Some(Self::Text(text)),
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn of_number(number: &Number) -> Self {
        let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
        match (whole, number.as_f64().unwrap_or(f64::NAN)) {
            (Some(whole), _) => Self::Whole(whole),
            // Up to here a float represents every whole number exactly.
            (None, float) if float.fract() == 0.0 && float.abs() < 9e15 => Self::Whole(float as i128),
            (None, float) => Self::Number(float),
        }
    }

    /// Reads one from JSON; `None` for objects and lists, which may be large and are not parsed.
    fn read(json: &str) -> Option<Self> {
        if json.starts_with(['{', '[']) { None } else { serde_json::from_str(json).ok().and_then(Self::of) }
    }
}

/// The text that a pattern is matched against: a string unchanged, numbers, `true`, `false` and `null` in JSON notation, `None` for objects
/// and lists.
fn as_text(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'{' | b'[' => None,
        b'"' => serde_json::from_str(json).ok().map(Cow::Owned),
        _ => Some(Cow::Borrowed(json)),
    }
}

/// The beginning of an arbitrary text, for use in an error message.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
