//! A line of a stream of messages, with its body byte for byte: parsing it into values would change numbers, drop repeated fields, and refuse JSON
//! that is deeply nested or contains a lone surrogate.

use serde::Deserialize;
use serde_json::value::RawValue;
use weir_gateway::protocol::ErrorBody;

/// A line in the gateway's format.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Line<'a> {
    /// Present if it was delivered under a lease.
    pub(crate) receipt: Option<u64>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    body: Option<&'a RawValue>,
    /// The body with the white space around it.
    #[serde(skip)]
    whole_body: Option<&'a [u8]>,
    text: Option<String>,
    base64: Option<String>,
    /// Number of missed messages; `null` if unknown.
    #[serde(default, deserialize_with = "present")]
    pub(crate) missed: Option<Option<u64>>,
    error: Option<ErrorBody>,
}

/// A field that is present, even if it is `null`.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(field: D) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

/// A value of a line with the white space around it, which is part of the body: the gateway adds none.
fn with_white_space<'a>(line: &'a [u8], value: &str) -> &'a [u8] {
    let at = value.as_ptr() as usize - line.as_ptr() as usize;
    let (before, behind) = (&line[..at], &line[at + value.len()..]);
    let start = before.len() - before.iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
    let end = line.len() - behind.len() + behind.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    &line[start..end]
}

impl<'a> Line<'a> {
    /// Reads a line.
    ///
    /// # Errors
    /// If it is not a JSON object, or a field has the wrong type.
    pub(crate) fn read(line: &'a [u8]) -> serde_json::Result<Self> {
        let mut read: Self = serde_json::from_slice(line)?;
        read.whole_body = read.body.map(|body| with_white_space(line, body.get()));
        Ok(read)
    }

    /// The error that ends a stream, if this is one.
    pub(crate) fn error(&self) -> Option<&ErrorBody> {
        self.error.as_ref().filter(|_| self.id.is_none() && self.properties.is_none())
    }

    /// Whether this is a message.
    pub(crate) fn is_message(&self) -> bool {
        self.body.is_some() || self.text.is_some() || self.base64.is_some()
    }

    /// Writes the body and a line end.
    pub(crate) fn write_body(&self, out: &mut Vec<u8>) {
        let other = self.text.as_deref().or(self.base64.as_deref()).unwrap_or_default();
        out.extend_from_slice(self.whole_body.unwrap_or(other.as_bytes()));
        out.push(b'\n');
    }

    /// Writes the message as one line of JSON, without its receipt.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        out.extend_from_slice(self.id.map_or("null", RawValue::get).as_bytes());
        out.extend_from_slice(b",\"properties\":");
        out.extend_from_slice(self.properties.map_or("{}", RawValue::get).as_bytes());
        if let Some(body) = self.whole_body {
            out.extend_from_slice(b",\"body\":");
            out.extend_from_slice(body);
        }
        for (name, value) in [("text", &self.text), ("base64", &self.base64)] {
            if let Some(value) = value {
                out.extend_from_slice(format!(",\"{name}\":").as_bytes());
                out.extend_from_slice(serde_json::Value::from(value.as_str()).to_string().as_bytes());
            }
        }
        out.extend_from_slice(b"}\n");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn bodies_pass_byte_for_byte() {
        let deep = format!("{}1{}", "[".repeat(130), "]".repeat(130));
        let odd = [
            r#"{"big":123456789012345678901234567890,"dec":1.10,"exp":1.50e3,"neg":-0}"#,
            r#"{"n":1e400}"#,
            r#"{"id":"first","n":1,"id":"second"}"#,
            r#"{"text":"half of an emoji: \ud83d"}"#,
            "null",
            r#"{  "spaced" :1}"#,
            " \t{\"around\":1}  \r",
            &deep,
        ];
        for body in odd {
            let line = format!(r#"{{"receipt":7,"id":"a","properties":{{"p":"\u0041"}},"body":{body}}}"#);
            let read = Line::read(line.as_bytes()).unwrap();
            let (mut text, mut json) = (Vec::new(), Vec::new());
            read.write_body(&mut text);
            read.write_json(&mut json);
            assert_eq!((read.receipt, read.is_message(), read.error().is_none()), (Some(7), true, true));
            assert_eq!(String::from_utf8(text).unwrap(), format!("{body}\n"));
            assert_eq!(String::from_utf8(json).unwrap(), format!("{}\n", line.replace(r#""receipt":7,"#, "")));
        }
    }

    #[test]
    fn other_bodies_are_encoded_as_text_or_base64() {
        for (field, text) in [(r#""text":"a\n\"b""#, "a\n\"b\n"), (r#""base64":"/w==""#, "/w==\n")] {
            let line = format!(r#"{{"id":null,"properties":{{}},{field}}}"#);
            let read = Line::read(line.as_bytes()).unwrap();
            let (mut out, mut json) = (Vec::new(), Vec::new());
            read.write_body(&mut out);
            read.write_json(&mut json);
            assert_eq!((String::from_utf8(out).unwrap().as_str(), String::from_utf8(json).unwrap()), (text, format!("{line}\n")));
        }
    }

    #[test]
    fn an_error_ends_a_stream_and_is_not_a_message() {
        let line = br#"{"error":{"type":"flow-stopped","message":"gone"}}"#;
        assert_eq!(Line::read(line).unwrap().error().unwrap().kind, "flow-stopped");
        assert!(Line::read(br#"{"missed":3}"#).unwrap().error().is_none());
        assert!(Line::read(b"nope").is_err());
    }
}
