//! Finds fields of a JSON text by JSON pointers (RFC 6901): all of them in one pass, without building the document in memory.

use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// The maximum depth of a pointer; each level reads its part of the text once more.
const MAX_DEPTH: usize = 32;

/// The reference tokens of a pointer.
///
/// # Errors
/// What is wrong with it, and the correct notation.
pub(crate) fn tokens(pointer: &str) -> Result<Vec<String>, String> {
    let mut parts = pointer.split('/');
    if parts.next() != Some("") {
        return Err("does not start with `/`: write `/kind` for the field `kind`, `/items/0/id` for a nested one".to_owned());
    }
    let tokens = parts.map(token).collect::<Result<Vec<_>, _>>()?;
    if tokens.len() > MAX_DEPTH {
        return Err(format!("has {} levels; the limit is {MAX_DEPTH}", tokens.len()));
    }
    Ok(tokens)
}

fn token(written: &str) -> Result<String, String> {
    let mut pieces = written.split('~');
    let mut token = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (character, rest) = match piece.as_bytes().first() {
            Some(b'0') => ('~', &piece[1..]),
            Some(b'1') => ('/', &piece[1..]),
            _ => return Err("has an unescaped `~`: write `~0` for `~` and `~1` for `/`".to_owned()),
        };
        token.push(character);
        token.push_str(rest);
    }
    Ok(token)
}

/// The fields to find, as a tree of their tokens. Each has a number, from 0 in the order of adding; two pointers to one field share it.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    root: Node,
    count: usize,
}

#[derive(Debug, Default)]
struct Node {
    number: Option<usize>,
    children: BTreeMap<String, Node>,
}

impl Fields {
    /// Adds a field; returns its number.
    pub(crate) fn add(&mut self, tokens: Vec<String>) -> usize {
        let mut node = &mut self.root;
        for token in tokens {
            node = node.children.entry(token).or_default();
        }
        *node.number.get_or_insert_with(|| {
            self.count += 1;
            self.count - 1
        })
    }

    /// The JSON text of each field by its number, if the text has it. Nothing is found unless the whole text is valid JSON.
    pub(crate) fn find<'a>(&self, text: &'a str) -> Vec<Option<&'a str>> {
        let mut found = vec![None; self.count];
        if self.count > 0
            && let Ok(document) = serde_json::from_str::<&RawValue>(text)
        {
            self.root.find(document.get(), &mut found);
        }
        found
    }
}

impl Node {
    fn find<'a>(&self, json: &'a str, found: &mut [Option<&'a str>]) {
        if let Some(number) = self.number {
            found[number] = Some(json);
        }
        if self.children.is_empty() {
            return;
        }
        let mut document = serde_json::Deserializer::from_str(json);
        let inside = match json.as_bytes().first() {
            Some(b'{') => document.deserialize_map(Members(self)),
            Some(b'[') => document.deserialize_seq(Elements(self)),
            _ => return,
        };
        // The whole text was read before, so this cannot fail.
        for (token, json) in inside.unwrap_or_default() {
            self.children[token].find(json, found);
        }
    }
}

/// The values one level further inside; of members with the same name the last one counts.
type Inside<'node, 'json> = BTreeMap<&'node str, &'json str>;

struct Members<'node>(&'node Node);

impl<'node, 'json> Visitor<'json> for Members<'node> {
    type Value = Inside<'node, 'json>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'json>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut inside = Inside::new();
        while let Some(name) = members.next_key::<String>()? {
            match self.0.children.get_key_value(&name) {
                Some((token, _)) => {
                    inside.insert(token, members.next_value::<&RawValue>()?.get());
                }
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(inside)
    }
}

struct Elements<'node>(&'node Node);

impl<'node, 'json> Visitor<'json> for Elements<'node> {
    type Value = Inside<'node, 'json>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'json>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        // Indices in the notation of RFC 6901, with neither sign nor leading zeros.
        let wanted = self.0.children.keys().filter_map(|token| Some((token.parse().ok()?, token.as_str())));
        let mut wanted: BTreeMap<usize, &str> = wanted.filter(|(index, token): &(usize, _)| index.to_string() == *token).collect();
        let mut inside = Inside::new();
        let mut at = 0;
        while !wanted.is_empty() {
            match wanted.remove(&at) {
                Some(token) => match elements.next_element::<&RawValue>()? {
                    Some(json) => {
                        inside.insert(token, json.get());
                    }
                    None => break,
                },
                None if elements.next_element::<IgnoredAny>()?.is_none() => break,
                None => {}
            }
            at += 1;
        }
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(pointers: &[&str], text: &'a str) -> Vec<Option<&'a str>> {
        let mut fields = Fields::default();
        let numbers: Vec<_> = pointers.iter().map(|pointer| fields.add(tokens(pointer).unwrap())).collect();
        let found = fields.find(text);
        numbers.into_iter().map(|number| found[number]).collect()
    }

    /// The document of RFC 6901, section 5, and its table.
    #[test]
    fn pointers_follow_the_standard() {
        let text = r#"{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8}"#;
        let check = |pointer: &str, expected: &str| assert_eq!(find(&[pointer], text), [Some(expected)], "{pointer}");
        check("", text);
        check("/foo", r#"["bar", "baz"]"#);
        check("/foo/0", r#""bar""#);
        check("/", "0");
        check("/a~1b", "1");
        check("/c%d", "2");
        check("/e^f", "3");
        check("/g|h", "4");
        check(r"/i\j", "5");
        check("/k\"l", "6");
        check("/ ", "7");
        check("/m~0n", "8");
    }

    #[test]
    fn missing_fields_are_not_found() {
        let text = r#"{"a": [1, {"b": null}], "01": 5, "t": "x"}"#;
        assert_eq!(find(&["/a/1/b"], text), [Some("null")]);
        for pointer in ["/b", "/a/2", "/a/01", "/a/+1", "/a/-", "/a/0/b", "/t/0", "/01/x", "/a/18446744073709551616"] {
            assert_eq!(find(&[pointer], text), [None], "{pointer}");
        }
    }

    #[test]
    fn many_pointers_are_found_at_once_each_with_its_own_number() {
        let text = r#" {"a": {"b": [10, 20, 30]}, "c": "x", "c": "y"} "#;
        let found = find(&["/a/b/2", "/c", "/a", "/a/b/0", "/c", "/no"], text);
        assert_eq!(found, [Some("30"), Some(r#""y""#), Some(r#"{"b": [10, 20, 30]}"#), Some("10"), Some(r#""y""#), None]);
    }

    #[test]
    fn nothing_is_found_in_invalid_json() {
        for text in ["", "plain text", r#"{"a": 1"#, r#"{"a": 1} x"#, r#"{"a": 1, "b": tru}"#] {
            assert_eq!(find(&["/a"], text), [None], "{text}");
        }
    }

    #[test]
    fn deeply_nested_text_is_parsed() {
        let deep = format!(r#"{{"x": {}{}, "a": 1}}"#, "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(find(&["/a"], &deep), [Some("1")]);
    }

    #[test]
    fn faulty_pointers_are_reported_with_the_fix() {
        assert!(tokens("kind").unwrap_err().contains("write `/kind`"));
        assert!(tokens("$.kind").is_err());
        assert!(tokens("/a~2").unwrap_err().contains("`~0` for `~`"));
        assert!(tokens("/a~").is_err());
        assert!(tokens(&"/a".repeat(33)).unwrap_err().contains("33 levels"));
    }
}
