#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use serde_json::Value;
use weir_config::records::ParameterKind;

use super::*;

const MINIMAL_MANIFEST: &str = "language = \"rust\"\nname = \"a\"\nversion = \"1.0.0\"\nconsumers = [\"input\"]\n";

fn parse(text: &str) -> Result<CheckedManifest, ManifestError> {
    Manifest::parse(Path::new("weir.toml"), text)
}

fn fault(text: &str) -> String {
    parse(text).map(drop).unwrap_err().to_string()
}

#[test]
fn everything_in_a_manifest_is_in_the_descriptor() {
    let text = r#"
        language = "python"
        name = "word-counter"
        version = "0.1.0"
        description = "Counts"
        source = "main.py"
        concurrency = 2
        config-types = ["prompt", { name = "rule", description = "r" }]

        [[consumers]]
        name = "input"
        order-by = "key"
        reply = "answer"
        [[producers]]
        name = "answer"
        [[producers]]
        name = "copies"
        optional = true
        [[parameters]]
        name = "shortest"
        type = "integer"
        default = 1
        enum = [1, 2]
        [[parameters]]
        name = "rules"
        type = "json"
        default = { a = [1, true], b = "x" }
        [[parameters]]
        name = "prefix"
        default = ""
        [[requests]]
        name = "shout"
        request = "shout-request"
        response = "shout-response"
        timeout-ms = 5000
        [[grants]]
        grant = "http"
        optional = true
        [limits]
        memory = "192 MiB"
        time = "30 s"
    "#;
    let CheckedManifest { manifest, descriptor } = parse(text).unwrap();
    assert_eq!((manifest.language().title, manifest.source()), ("Python", Path::new("main.py")));
    assert_eq!(
        (descriptor.name.as_deref(), descriptor.version.as_deref(), descriptor.concurrency),
        (Some("word-counter"), Some("0.1.0"), 2)
    );
    assert_eq!((descriptor.consumers[0].reply.as_deref(), descriptor.consumers[0].order_by.as_deref()), (Some("answer"), Some("key")));
    assert!(descriptor.producers[1].optional && descriptor.grants[0].optional);
    let defaults: Vec<_> = descriptor.parameters.iter().map(|parameter| parameter.default.as_deref().unwrap()).collect();
    assert_eq!(defaults, ["1", r#"{"a":[1,true],"b":"x"}"#, ""]);
    assert_eq!(
        (descriptor.parameters[0].kind, &descriptor.parameters[0].choices[..]),
        (ParameterKind::Integer, &["1".to_owned(), "2".to_owned()][..])
    );
    assert_eq!((descriptor.requests[0].timeout_ms, descriptor.config_types[1].description.as_str()), (5_000, "r"));
    assert_eq!((descriptor.limits.memory_bytes, descriptor.limits.time_ms), (Some(192 << 20), Some(30_000)));
}

#[test]
fn a_fault_names_the_line_the_key_and_a_suggestion() {
    let check = |text: &str, wanted: &str| {
        let found = fault(text);
        assert!(found.contains(wanted), "{text}\ngave {found}\nwanted {wanted}");
    };
    check(&MINIMAL_MANIFEST.replace("version", "verison"), "weir.toml:3: unknown key `verison`: did you mean `version`?");
    check(&format!("{MINIMAL_MANIFEST}consumer = [\"a\"]"), "weir.toml:5: unknown key `consumer`: did you mean `consumers`?");
    check(
        &MINIMAL_MANIFEST.replace("\"rust\"", "\"pyhton\""),
        "weir.toml:1: key `language`: unknown language `pyhton`: did you mean `python`?; must be one of: rust",
    );
    check(&MINIMAL_MANIFEST.replace("name = \"a\"\n", ""), "weir.toml: the key `name` is missing");
    check(&MINIMAL_MANIFEST.replace("\"1.0.0\"", "1"), "weir.toml:3: key `version`: invalid type: integer `1`, expected a string");
    check(&MINIMAL_MANIFEST.replace("\"1.0.0\"", "\"one\""), "weir.toml:3: key `version`: `one` is not a semantic version");
    check(&MINIMAL_MANIFEST.replace("\"a\"", "\"Big Name\""), "weir.toml:2: key `name`: `Big Name` must be lower-case");
    check(&MINIMAL_MANIFEST.replace("[\"input\"]", "[]"), "weir.toml:4: key `consumers`: it is empty");
    check(
        &MINIMAL_MANIFEST.replace("[\"input\"]", "[1]"),
        "weir.toml:4: key `consumers`: invalid type: integer `1`, expected a name, or a table",
    );
    check(
        &MINIMAL_MANIFEST.replace("[\"input\"]", "[{ name = \"a\", orderby = \"k\" }]"),
        "weir.toml:4: key `consumers`: unknown key `orderby`: did you mean `order-by`?",
    );
    check(&format!("{MINIMAL_MANIFEST}[limits]\nmemory = \"192 MB\""), "weir.toml:6: key `memory`: `192 MB`: a size must be a number with");
    check(&format!("{MINIMAL_MANIFEST}[limits]\nmemory = true"), "weir.toml:6: key `memory`: expected a string with a unit");
    check(&format!("{MINIMAL_MANIFEST}[limits]\ntime = \"2 h\""), "weir.toml:6: key `limits.time-ms`: is 7200000");
    check(
        &format!("{MINIMAL_MANIFEST}[[parameters]]\nname = \"size\"\ntype = \"integer\"\ndefault = \"big\""),
        "key `parameters.size.default`: `big` is not a whole number",
    );
    check(
        &format!("{MINIMAL_MANIFEST}[[parameters]]\nname = \"size\"\ntype = \"int\""),
        "weir.toml:7: key `type`: unknown value `int`; must be one of: string",
    );
    check(
        &format!("{MINIMAL_MANIFEST}[[parameters]]\nname = \"day\"\ndefault = 2026-01-01"),
        "weir.toml:7: key `parameters.day.default`: a date is not",
    );
    check(&format!("{MINIMAL_MANIFEST}[[grants]]\ngrant = \"http\""), "key `grants`: it requires the grant `http`");
    check(&format!("{MINIMAL_MANIFEST}name = \"b\""), "weir.toml:5: key `name`: duplicate key");
    check(&format!("{MINIMAL_MANIFEST}broken"), "weir.toml:5:");
    check("", "the key `language` is missing");
}

/// The keys that the parser accepts in a table, taken from its error about an unknown one.
fn keys(of: &str) -> BTreeSet<String> {
    let text = match of {
        "" => format!("{MINIMAL_MANIFEST}zzzzzz = 1"),
        "limits" => format!("{MINIMAL_MANIFEST}[limits]\nzzzzzz = 1"),
        "consumers" => MINIMAL_MANIFEST.replace("[\"input\"]", "[{ zzzzzz = 1 }]"),
        list => format!("{MINIMAL_MANIFEST}[[{list}]]\nzzzzzz = 1"),
    };
    let found = fault(&text);
    let (_, known) = found.split_once("unknown key `zzzzzz`; must be one of: ").unwrap_or_else(|| panic!("{of}: {found}"));
    known.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_schema_has_the_keys_that_the_parser_knows() {
    let schema: Value = serde_json::from_str(include_str!("../../../../wit/manifest.schema.json")).unwrap();
    let names = |object: &Value| object["properties"].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&schema), keys(""));
    assert_eq!(names(&schema["properties"]["limits"]), keys("limits"));
    for (list, definition) in [
        ("consumers", "consumer"),
        ("producers", "producer"),
        ("requests", "request"),
        ("parameters", "parameter"),
        ("config-types", "named"),
        ("grants", "grant"),
    ] {
        assert_eq!(names(&schema["$defs"][definition]), keys(list), "{list}");
        let reference = schema["properties"][list]["items"]["$ref"].as_str().unwrap();
        assert_eq!(reference, format!("#/$defs/{definition}"));
        assert_eq!(schema["$defs"][definition]["additionalProperties"], false, "{list}");
    }
    let languages: Vec<&str> = crate::LANGUAGES.iter().map(|language| language.name).collect();
    assert_eq!(schema["properties"]["language"]["enum"], serde_json::json!(languages));
    assert_eq!(schema["additionalProperties"], false);
}
