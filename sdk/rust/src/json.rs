//! Reads JSON with errors that locate the problem.

use crate::{Failure, Result};
use serde::de::DeserializeOwned;

/// Reads a body, or rejects it with the field and the position of the error.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| Failure::reject(fault("the body", body, &error)))
}

/// The error of a JSON text that could not be read, for people. `what` names the text.
pub(crate) fn fault(what: &str, json: &[u8], error: &serde_json::Error) -> String {
    if json.is_empty() {
        return format!("{what} is empty where JSON is expected");
    }
    let field = path_at(json, offset(json, error.line(), error.column()));
    let field = if field.is_empty() { String::new() } else { format!(", field `{field}`") };
    let fault = if error.is_data() { "does not have the expected form" } else { "is not JSON" };
    format!("{what} {fault}{field}: {error}")
}

/// The offset of a position reported by serde_json: lines count from 1, columns are bytes from the beginning of the line.
fn offset(body: &[u8], line: usize, column: usize) -> usize {
    let ends = body.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let start = std::iter::once(0).chain(ends).nth(line.saturating_sub(1)).unwrap_or(0);
    (start + column).min(body.len())
}

/// One level of nesting: an object with the raw text of the current key, or an array with the index.
enum Level {
    Object(String),
    Array(usize),
}

/// The path of the value being read when a parser had seen this much of a JSON text, as `a.b[3]`. serde does not report it, and tracking it
/// while reading would slow down every valid message, so invalid ones are read a second time.
fn path_at(body: &[u8], end: usize) -> String {
    let mut levels = Vec::new();
    let mut bytes = body[..end].iter().copied().enumerate();
    let mut at_key = false;
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                let mut last = at;
                while let Some((next, byte)) = bytes.next() {
                    last = next;
                    match byte {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
                if at_key && let Some(Level::Object(key)) = levels.last_mut() {
                    *key = String::from_utf8_lossy(&body[at + 1..last.max(at + 1)]).into_owned();
                }
            }
            b'{' => levels.push(Level::Object(String::new())),
            b'[' => levels.push(Level::Array(0)),
            b'}' | b']' => drop(levels.pop()),
            b',' => match levels.last_mut() {
                Some(Level::Array(index)) => *index += 1,
                Some(Level::Object(key)) => key.clear(),
                None => {}
            },
            _ => {}
        }
        at_key = match byte {
            b'{' => true,
            b',' => matches!(levels.last(), Some(Level::Object(_))),
            byte if byte.is_ascii_whitespace() => at_key,
            _ => false,
        };
    }
    written(&levels)
}

fn written(levels: &[Level]) -> String {
    let mut path = String::new();
    for level in levels {
        match level {
            Level::Object(key) if key.is_empty() => {}
            Level::Object(key) if path.is_empty() => path.push_str(key),
            Level::Object(key) => {
                path.push('.');
                path.push_str(key);
            }
            Level::Array(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read")]
    struct Document {
        id: String,
        #[serde(default)]
        pages: Vec<Page>,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read")]
    struct Page {
        number: u32,
    }

    #[test]
    fn faults_name_field_and_position() {
        let check = |body: &str, words: &[&str]| {
            let failure = read::<Document>(body.as_bytes()).unwrap_err();
            assert_eq!(failure.verdict(), crate::Verdict::Reject);
            for word in words {
                assert!(failure.reason().contains(word), "{body} gave {failure}, without {word}");
            }
        };
        check("", &["is empty"]);
        check("hello", &["not JSON", "line 1 column 1"]);
        check(r#"{"id": "a", "pages": "#, &["not JSON", "`pages`"]);
        check("{}", &["does not have the expected form", "missing field `id`", "line 1 column 2"]);
        check(r#"{"pages": [], "id": 5}"#, &["field `id`", "integer `5`", "a string", "line 1 column 21"]);
        check("{\"id\": \"a\",\n \"pages\": [{\"number\": 1}, {\"number\": \"two\"}]}", &["`pages[1].number`", "line 2"]);
        check(r#"{"id": "a, \"b\": {", "pages": [{"number": 1}, {}]}"#, &["`pages[1]`", "missing field `number`"]);
        check("[1", &["`[0]`"]);
    }

    #[test]
    fn any_text_can_be_parsed_up_to_any_position() {
        let text = br#" {"a\"b": [1, {"c": "}]"}, null], "d": tru\" "#;
        for end in 0..=text.len() {
            path_at(text, end);
        }
        assert_eq!(offset(b"", 3, 9), 0);
    }
}
