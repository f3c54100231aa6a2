//! Parts of a descriptor that a host ignores or could never grant: reported to the author before anything is deployed. Stored records are read
//! without this check, so that a later Weir may add keys.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use weir_pubsub::nearest;

use super::descriptor::Descriptor;

/// The keys of a descriptor and of the objects in its lists, according to `wit/descriptor.schema.json`.
const KEYS: [(&str, &[&str]); 8] = [
    (
        "",
        &[
            "schema",
            "name",
            "version",
            "description",
            "consumers",
            "producers",
            "requests",
            "parameters",
            "config-types",
            "grants",
            "limits",
            "concurrency",
        ],
    ),
    ("consumers", &["name", "description", "concurrency", "order-by", "reply"]),
    ("producers", &["name", "description", "optional"]),
    ("requests", &["name", "request", "response", "timeout-ms", "description"]),
    ("parameters", &["name", "type", "default", "required", "enum", "description"]),
    ("config-types", &["name", "description"]),
    ("grants", &["grant", "what", "why", "optional"]),
    ("limits", &["memory-bytes", "time-ms"]),
];
/// Grants that a descriptor may request. This version of Weir supports none of them.
const GRANTS: [&str; 6] = ["http", "keyvalue", "config", "env", "secrets", "fs"];

/// Finds unknown and duplicate keys, unknown grants, and grants that the component requires; for people.
pub fn descriptor_faults(text: &[u8], descriptor: &Descriptor) -> Vec<String> {
    let mut faults = Vec::new();
    // Invalid JSON was refused before.
    if let Ok(Node::Object(fields)) = serde_json::from_slice(text) {
        check_keys("", &fields, &mut faults);
        for (list, node) in &fields {
            match node {
                Node::List(items) => items.iter().for_each(|item| check_object(list, item, &mut faults)),
                node => check_object(list, node, &mut faults),
            }
        }
    }
    for grant in &descriptor.grants {
        let name = weir_pubsub::shown(&grant.grant);
        if !GRANTS.contains(&grant.grant.as_str()) {
            faults.push(format!("grant `{name}` does not exist; must be one of: {}", GRANTS.join(", ")));
        } else if !grant.optional {
            faults.push(format!(
                "it requires the grant `{name}`, and this version of Weir has no grants: make the component work without it and mark it \
                     \"optional\": true"
            ));
        }
    }
    faults
}

fn check_object(list: &str, node: &Node, faults: &mut Vec<String>) {
    if let Node::Object(fields) = node {
        check_keys(list, fields, faults);
    }
}

fn check_keys(list: &str, fields: &[(String, Node)], faults: &mut Vec<String>) {
    let Some((_, known)) = KEYS.iter().find(|(name, _)| *name == list) else { return };
    for (at, (key, _)) in fields.iter().enumerate() {
        let (shown, place) = (weir_pubsub::shown(key), if list.is_empty() { String::new() } else { format!(" in `{list}`") });
        if !known.contains(&key.as_str()) {
            let meant = nearest(key, known.iter().copied()).map(|meant| format!(": did you mean `{meant}`?")).unwrap_or_default();
            faults.push(format!("unknown key `{shown}`{place}{meant}; must be one of: {}", known.join(", ")));
        } else if fields[..at].iter().any(|(other, _)| other == key) {
            faults.push(format!("the key `{shown}`{place} appears twice: remove one"));
        }
    }
}

/// JSON with all its keys, including duplicates.
enum Node {
    Object(Vec<(String, Node)>),
    List(Vec<Node>),
    Other,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Node::Object(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Other)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::Value;

    fn faults(text: &str) -> Vec<String> {
        descriptor_faults(text.as_bytes(), &Descriptor::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn unknown_and_repeated_keys_are_named() {
        assert_eq!(faults(r#"{"schema": 1, "consumers": ["a", {"name": "b", "concurrency": 2}]}"#), Vec::<String>::new());
        assert!(
            faults(r#"{"schema": 1, "consumer": ["input"]}"#)[0]
                .starts_with("unknown key `consumer`: did you mean `consumers`?; must be one of: schema, name")
        );
        assert!(faults(r#"{"schema": 1, "limits": {"memory": 5}}"#)[0].starts_with("unknown key `memory` in `limits`"));
        assert!(faults(r#"{"schema": 1, "consumers": [{"name": "a", "orderby": "k"}]}"#)[0].contains("`orderby` in `consumers`"));
        assert!(
            faults(r#"{"schema": 1, "requests": [{"name": "a", "request": "b", "response": "c", "timeout": 1}]}"#)[0].contains("`timeout`")
        );
        assert_eq!(
            faults(r#"{"schema": 1, "producers": [{"name": "a", "name": "b"}]}"#),
            ["the key `name` in `producers` appears twice: remove one"]
        );
    }

    #[test]
    fn grants_that_do_not_exist_or_cannot_be_given_are_named() {
        assert!(
            faults(r#"{"schema": 1, "grants": [{"grant": "teleport", "optional": true}]}"#)[0].contains("grant `teleport` does not exist")
        );
        assert!(faults(r#"{"schema": 1, "grants": [{"grant": "http"}]}"#)[0].contains("requires the grant `http`"));
        assert!(faults(r#"{"schema": 1, "grants": [{"grant": "http", "optional": true}]}"#).is_empty());
    }

    #[test]
    fn the_keys_are_those_of_the_schema() {
        let schema: Value = serde_json::from_str(include_str!("../../../../wit/descriptor.schema.json")).unwrap();
        let names = |object: &Value| object["properties"].as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
        let known = |list: &str| KEYS.iter().find(|(name, _)| *name == list).unwrap().1.iter().map(ToString::to_string).collect();
        assert_eq!(names(&schema), known(""));
        for (list, definition) in [
            ("consumers", "consumer"),
            ("producers", "producer"),
            ("requests", "request"),
            ("parameters", "parameter"),
            ("config-types", "named"),
        ] {
            assert_eq!(names(&schema["$defs"][definition]), known(list), "{list}");
        }
        assert_eq!(names(&schema["properties"]["limits"]), known("limits"));
        let grants = &schema["properties"]["grants"]["items"];
        assert_eq!(names(grants), known("grants"));
        assert_eq!(grants["properties"]["grant"]["enum"], serde_json::json!(GRANTS));
    }
}
