//! Blueprints: templates of flows, parsed from JSON of any origin.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use weir_pubsub::Topic;

use crate::bounds::{check_count, check_description, check_parameters};
use crate::naming::{check_name, shown};
use crate::protocol::Interface;
use crate::template::{BLUEPRINT, ID, mentions};

pub use crate::naming::MAX_NAME_BYTES;

/// Maximum size of a blueprint, in bytes: the limit of one message to the config service.
pub const MAX_BLUEPRINT_BYTES: usize = 4 << 20;
/// Maximum number of processors in one blueprint.
pub const MAX_PROCESSORS_COUNT: usize = 10_000;

const TOP_FIELDS: &[&str] = &["blueprint", "flow", "interfaces", "parameters", "description", "tags"];
const PROCESSOR_FIELDS: &[&str] = &["topics", "parameters", "component"];

/// Why a blueprint cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlueprintError {
    /// Not JSON.
    #[error("the blueprint is not JSON: {problem} at line {line}, column {column}")]
    NotJson {
        /// The problem there.
        problem: String,
        /// From 1.
        line: usize,
        /// From 1; 0 for the end of a line.
        column: usize,
    },
    /// Larger than [`MAX_BLUEPRINT_BYTES`].
    #[error("the blueprint has {actual_bytes} bytes; the limit is {MAX_BLUEPRINT_BYTES}")]
    TooLarge {
        /// Its size.
        actual_bytes: usize,
    },
    /// More than [`MAX_PROCESSORS_COUNT`].
    #[error("the blueprint has {actual_count} processors; the limit is {MAX_PROCESSORS_COUNT}: split it into several")]
    TooManyProcessors {
        /// The number of processors.
        actual_count: usize,
    },
    /// A part of it is invalid.
    #[error("{place}: {problem}")]
    Field {
        /// Section, processor key and field.
        place: String,
        /// The problem and the fix.
        problem: String,
    },
}

/// A blueprint, checked as far as possible without its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blueprint {
    /// The processors of both sections.
    pub processors: Vec<ProcessorTemplate>,
    /// The interfaces of its flows, as templates.
    pub interfaces: BTreeMap<String, Interface>,
    /// The parameters that it declares.
    pub parameters: BTreeMap<String, DeclaredParameter>,
    /// Unknown fields, most often misspelt, for people.
    pub unknown: Vec<String>,
}

/// One processor of a blueprint. All but the name are templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessorTemplate {
    /// Section and key, for errors.
    pub place: String,
    /// The processor.
    pub processor: String,
    /// The key of its entry.
    pub variant: String,
    /// Topic by spec name.
    pub topics: BTreeMap<String, String>,
    /// Value by parameter name.
    pub parameters: BTreeMap<String, String>,
    /// The deployment: `NAME@VERSION`, or `NAME` for its newest version.
    pub component: Option<String>,
}

/// One parameter that a blueprint declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclaredParameter {
    /// The key of its config value of type `parameter-type`.
    pub kind: Option<String>,
    /// The parameter whose value it inherits if it has none.
    pub controlled_by: Option<String>,
}

fn fault<T>(place: impl Into<String>, problem: impl Into<String>) -> Result<T, BlueprintError> {
    Err(BlueprintError::Field { place: place.into(), problem: problem.into() })
}

impl Blueprint {
    /// Whether it contains a variable anywhere.
    pub fn mentions(&self, variable: &str) -> bool {
        let of_processor = |processor: &ProcessorTemplate| {
            let ProcessorTemplate { place: _, processor: _, variant, topics, parameters, component } = processor;
            let maps = [topics, parameters].into_iter().flatten().flat_map(|(name, value)| [name, value]);
            std::iter::once(variant).chain(component).chain(maps).any(|template| mentions(template, variable))
        };
        let of_interface = |interface: &Interface| match interface {
            Interface::Flow { flow } => mentions(flow, variable),
            Interface::Service { request, response } => mentions(request, variable) || mentions(response, variable),
        };
        self.processors.iter().any(of_processor) || self.interfaces.values().any(of_interface)
    }

    /// Reads and checks a blueprint.
    ///
    /// # Errors
    /// [`BlueprintError`], naming section, processor key, field and the fix.
    pub fn parse(text: &str) -> Result<Self, BlueprintError> {
        if text.len() > MAX_BLUEPRINT_BYTES {
            return Err(BlueprintError::TooLarge { actual_bytes: text.len() });
        }
        let value: Value = serde_json::from_str(text).map_err(not_json)?;
        let top = object("the blueprint", &value)?;
        let mut processors = section(top, "blueprint")?;
        processors.append(&mut section(top, "flow")?);
        if processors.is_empty() {
            return fault(
                "sections `blueprint` and `flow`",
                "both are empty: name at least one processor, as \"NAME:VARIANT\": {\"topics\": {...}}",
            );
        }
        if let Some(Value::String(description)) = top.get("description") {
            check_description(description).or_else(|problem| fault("field `description`", problem))?;
        }
        let mut unknown = unknown("the blueprint", top, TOP_FIELDS);
        for name in ["blueprint", "flow"] {
            for (key, fields) in top.get(name).and_then(Value::as_object).into_iter().flatten() {
                let place = format!("section `{name}`, processor `{}`", shown(key));
                unknown.extend(fields.as_object().into_iter().flat_map(|fields| self::unknown(&place, fields, PROCESSOR_FIELDS)));
            }
        }
        Ok(Blueprint { processors, interfaces: interfaces(top)?, parameters: parameters(top)?, unknown })
    }

    /// The keys of type `parameter-type` that its parameters refer to.
    pub fn parameter_types(&self) -> BTreeSet<&str> {
        self.parameters.values().filter_map(|parameter| parameter.kind.as_deref()).collect()
    }
}

/// Unknown fields. They are not an error: other programs may define more.
fn unknown(place: &str, fields: &Map<String, Value>, known: &[&str]) -> Vec<String> {
    let unknown = fields.keys().filter(|name| !known.contains(&name.as_str()));
    unknown.map(|name| format!("{place}, field `{}`: unknown, ignored (known: {})", shown(name), known.join(", "))).collect()
}

fn not_json(error: serde_json::Error) -> BlueprintError {
    let text = error.to_string();
    let problem = text.split(" at line ").next().unwrap_or_default().to_owned();
    BlueprintError::NotJson { problem, line: error.line(), column: error.column() }
}

fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Number(value) => format!("the number {value}"),
        Value::String(value) => format!("the string \"{}\"", shown(value)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn object<'v>(place: &str, value: &'v Value) -> Result<&'v Map<String, Value>, BlueprintError> {
    value.as_object().map_or_else(|| fault(place, format!("is {}, and must be an object", kind_of(value))), Ok)
}

fn optional_object<'v>(place: &str, parent: &'v Map<String, Value>, name: &str) -> Result<Option<&'v Map<String, Value>>, BlueprintError> {
    parent.get(name).map(|value| object(place, value)).transpose()
}

/// Reads an object of strings; anything else is reported with its fix.
fn texts(place: &str, what: &str, parent: &Map<String, Value>, name: &str) -> Result<BTreeMap<String, String>, BlueprintError> {
    let Some(fields) = optional_object(&format!("{place}, field `{name}`"), parent, name)? else {
        return Ok(BTreeMap::new());
    };
    let mut texts = BTreeMap::new();
    for (key, value) in fields {
        let place = || format!("{place}, {what} `{}`", shown(key));
        check_name(key).or_else(|problem| fault(place(), problem))?;
        match value {
            Value::String(text) => texts.insert(key.clone(), text.clone()),
            Value::Number(_) | Value::Bool(_) => {
                return fault(place(), format!("is {}, and must be a string: write \"{value}\"", kind_of(value)));
            }
            _ => return fault(place(), format!("is {}, and must be a string", kind_of(value))),
        };
    }
    check_parameters(&texts).or_else(|problem| fault(format!("{place}, field `{name}`"), problem))?;
    Ok(texts)
}

fn section(top: &Map<String, Value>, name: &str) -> Result<Vec<ProcessorTemplate>, BlueprintError> {
    let place = format!("section `{name}`");
    let Some(entries) = optional_object(&place, top, name)? else {
        return fault(place, format!("is missing: add \"{name}\": {{}}, even if it is empty"));
    };
    if entries.len() > MAX_PROCESSORS_COUNT {
        return Err(BlueprintError::TooManyProcessors { actual_count: entries.len() });
    }
    entries.iter().map(|(key, value)| processor(&place, key, value)).collect()
}

fn processor(section: &str, key: &str, value: &Value) -> Result<ProcessorTemplate, BlueprintError> {
    let place = format!("{section}, processor `{}`", shown(key));
    let Some((name, variant)) = key.split_once(':') else {
        return fault(place, "the key has no variant: write it as PROCESSOR:VARIANT, for example \"chunker:{id}\"");
    };
    check_name(name).or_else(|problem| fault(format!("{place}, the part before `:`"), problem))?;
    check_name(variant).or_else(|problem| fault(format!("{place}, the part after `:`"), problem))?;
    let fields = object(&place, value)?;
    let topics = texts(&place, "topic", fields, "topics")?;
    for (spec, topic) in &topics {
        check_topic(topic).or_else(|problem| fault(format!("{place}, topic `{}`", shown(spec)), problem))?;
    }
    let component = match fields.get("component") {
        None | Some(Value::Null) => None,
        Some(Value::String(reference)) => Some(reference.clone()),
        Some(other) => {
            return fault(
                format!("{place}, field `component`"),
                format!("is {}, and must be a string such as \"chunker@1.2.0\"", kind_of(other)),
            );
        }
    };
    let parameters = texts(&place, "parameter", fields, "parameters")?;
    Ok(ProcessorTemplate { place, processor: name.to_owned(), variant: variant.to_owned(), topics, parameters, component })
}

/// Checks a topic's template. If the class is a variable, it can only be checked once it is filled in.
fn check_topic(template: &str) -> Result<(), String> {
    let class = template.split(':').next().unwrap_or_default();
    if class.contains('{') {
        return Ok(());
    }
    template.parse::<Topic>().map(|_| ()).map_err(|error| error.to_string())
}

fn interfaces(top: &Map<String, Value>) -> Result<BTreeMap<String, Interface>, BlueprintError> {
    let Some(fields) = optional_object("section `interfaces`", top, "interfaces")? else {
        return Ok(BTreeMap::new());
    };
    fields.iter().map(|(name, value)| Ok((name.clone(), interface(name, value)?))).collect()
}

fn interface(name: &str, value: &Value) -> Result<Interface, BlueprintError> {
    let place = format!("section `interfaces`, interface `{}`", shown(name));
    check_name(name).or_else(|problem| fault(&place, problem))?;
    if let Value::String(topic) = value {
        return fault(place, format!("is a plain string: write {{\"flow\": \"{}\"}}", shown(topic)));
    }
    let fields = object(&place, value)?;
    let topic = |field: &str| match fields.get(field) {
        None => Ok(None),
        Some(Value::String(topic)) => {
            check_topic(topic).or_else(|problem| fault(format!("{place}, field `{field}`"), problem))?;
            Ok(Some(topic.clone()))
        }
        Some(other) => fault(format!("{place}, field `{field}`"), format!("is {}, and must be a topic", kind_of(other))),
    };
    match (topic("flow")?, topic("request")?, topic("response")?) {
        (Some(flow), None, None) => Ok(Interface::Flow { flow }),
        (None, Some(request), Some(response)) => Ok(Interface::Service { request, response }),
        _ => fault(place, "must be either {\"flow\": TOPIC} or {\"request\": TOPIC, \"response\": TOPIC}"),
    }
}

fn parameters(top: &Map<String, Value>) -> Result<BTreeMap<String, DeclaredParameter>, BlueprintError> {
    let Some(fields) = optional_object("section `parameters`", top, "parameters")? else {
        return Ok(BTreeMap::new());
    };
    check_count(fields.len()).or_else(|problem| fault("section `parameters`", problem))?;
    let mut declared = BTreeMap::new();
    for (name, value) in fields {
        declared.insert(name.clone(), parameter(name, value)?);
    }
    check_controllers(&declared)?;
    Ok(declared)
}

fn parameter(name: &str, value: &Value) -> Result<DeclaredParameter, BlueprintError> {
    let place = format!("section `parameters`, parameter `{}`", shown(name));
    check_name(name).or_else(|problem| fault(&place, problem))?;
    if [ID, BLUEPRINT].contains(&name) {
        return fault(place, format!("{{{name}}} is the flow's own {name}: choose another name"));
    }
    let fields = object(&place, value)?;
    let text = |field: &str| match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => fault(format!("{place}, field `{field}`"), format!("is {}, and must be a string", kind_of(other))),
    };
    Ok(DeclaredParameter { kind: text("type")?, controlled_by: text("controlled-by")? })
}

/// Follows `controlled-by` from every parameter, each step once.
fn check_controllers(declared: &BTreeMap<String, DeclaredParameter>) -> Result<(), BlueprintError> {
    let mut ends_well = BTreeSet::new();
    for name in declared.keys() {
        let place = || format!("section `parameters`, parameter `{}`, field `controlled-by`", shown(name));
        let mut path = BTreeSet::from([name.as_str()]);
        let mut at = name.as_str();
        while let Some(controller) = declared.get(at).and_then(|parameter| parameter.controlled_by.as_deref()) {
            if !declared.contains_key(controller) {
                return fault(
                    place(),
                    format!("`{}` is not among the blueprint's parameters: declare it or name another", shown(controller)),
                );
            }
            if ends_well.contains(controller) {
                break;
            }
            if !path.insert(controller) {
                return fault(place(), format!("leads back to `{}`: remove the cycle", shown(controller)));
            }
            at = controller;
        }
        ends_well.extend(path);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = r#"{
        "description": "d", "tags": ["t"],
        "blueprint": {"loader:{blueprint}": {"topics": {"output": "flow:tg:text:{id}"}}},
        "flow": {"splitter:{id}": {"topics": {"input": "flow:tg:text:{id}"}, "parameters": {"size": "{size}"}, "component": "splitter@1.0.0"}},
        "interfaces": {"in": {"flow": "flow:tg:text:{id}"}, "ask": {"request": "request:tg:ask:{id}", "response": "response:tg:ask:{id}"}},
        "parameters": {"size": {"type": "chunk-size", "order": 1}, "other": {"type": "chunk-size", "controlled-by": "size"}}
    }"#;

    #[test]
    fn a_blueprint_is_parsed_completely() {
        let blueprint = Blueprint::parse(GOOD).unwrap();
        assert_eq!(blueprint.processors.len(), 2);
        let splitter = &blueprint.processors[1];
        assert_eq!((splitter.processor.as_str(), splitter.variant.as_str()), ("splitter", "{id}"));
        assert_eq!(splitter.component.as_deref(), Some("splitter@1.0.0"));
        assert_eq!(blueprint.parameters["other"].controlled_by.as_deref(), Some("size"));
        assert_eq!(blueprint.parameter_types(), BTreeSet::from(["chunk-size"]));
        assert_eq!(blueprint.interfaces["in"], Interface::Flow { flow: "flow:tg:text:{id}".to_owned() });
    }

    #[test]
    fn faults_name_the_place_and_the_fix() {
        let check = |text: &str, expected: &str| assert_eq!(Blueprint::parse(text).unwrap_err().to_string(), expected, "{text}");
        check("{\n  \"flow\": nonsense}", "the blueprint is not JSON: expected ident at line 2, column 12");
        check("[]", "the blueprint: is a list, and must be an object");
        check(r#"{"flow": {}}"#, r#"section `blueprint`: is missing: add "blueprint": {}, even if it is empty"#);
        check(r#"{"blueprint": {}}"#, r#"section `flow`: is missing: add "flow": {}, even if it is empty"#);
        check(
            r#"{"blueprint": {}, "flow": {}}"#,
            r#"sections `blueprint` and `flow`: both are empty: name at least one processor, as "NAME:VARIANT": {"topics": {...}}"#,
        );
        let flow = |processor: &str, expected: &str| check(&format!(r#"{{"blueprint": {{}}, "flow": {{{processor}}}}}"#), expected);
        flow(
            r#""chunker": {}"#,
            r#"section `flow`, processor `chunker`: the key has no variant: write it as PROCESSOR:VARIANT, for example "chunker:{id}""#,
        );
        flow(
            r#""a/b:{id}": {}"#,
            "section `flow`, processor `a/b:{id}`, the part before `:`: the name contains '/': names must not contain control characters, /, * or #",
        );
        flow(r#"":{id}": {}"#, "section `flow`, processor `:{id}`, the part before `:`: the name is empty: give it one");
        flow(
            r#""a:x\u0007": {}"#,
            r"section `flow`, processor `a:x\u{7}`, the part after `:`: the name contains '\u{7}': names must not contain control characters, /, * or #",
        );
        flow(r#""a:b": []"#, "section `flow`, processor `a:b`: is a list, and must be an object");
        flow(
            r#""a:b": {"topics": {"input": "queue:tg:x"}}"#,
            "section `flow`, processor `a:b`, topic `input`: topic `queue:tg:x` has the unknown class `queue`: it must be flow, request, response or notify",
        );
        flow(
            r#""a:b": {"topics": {"input": 5}}"#,
            r#"section `flow`, processor `a:b`, topic `input`: is the number 5, and must be a string: write "5""#,
        );
        flow(
            r#""a:b": {"parameters": {"size": true}}"#,
            r#"section `flow`, processor `a:b`, parameter `size`: is the boolean true, and must be a string: write "true""#,
        );
        flow(
            r#""a:b": {"component": {}}"#,
            r#"section `flow`, processor `a:b`, field `component`: is an object, and must be a string such as "chunker@1.2.0""#,
        );
    }

    #[test]
    fn faults_of_interfaces_and_parameters_name_the_place_and_the_fix() {
        let check = |rest: &str, expected: &str| {
            let text = format!(r#"{{"blueprint": {{}}, "flow": {{"a:b": {{}}}}, {rest}}}"#);
            assert_eq!(Blueprint::parse(&text).unwrap_err().to_string(), expected, "{text}");
        };
        check(
            r#""interfaces": {"in": "flow:tg:x"}"#,
            r#"section `interfaces`, interface `in`: is a plain string: write {"flow": "flow:tg:x"}"#,
        );
        check(
            r#""interfaces": {"in": {"request": "request:tg:x"}}"#,
            r#"section `interfaces`, interface `in`: must be either {"flow": TOPIC} or {"request": TOPIC, "response": TOPIC}"#,
        );
        check(
            r#""interfaces": {"in": {"flow": 1}}"#,
            "section `interfaces`, interface `in`, field `flow`: is the number 1, and must be a topic",
        );
        check(r#""parameters": {"id": {}}"#, "section `parameters`, parameter `id`: {id} is the flow's own id: choose another name");
        check(r#""parameters": {"p": "integer"}"#, "section `parameters`, parameter `p`: is the string \"integer\", and must be an object");
        check(
            r#""parameters": {"p": {"controlled-by": "q"}}"#,
            "section `parameters`, parameter `p`, field `controlled-by`: `q` is not among the blueprint's parameters: declare it or name another",
        );
        check(
            r#""parameters": {"p": {"controlled-by": "q"}, "q": {"controlled-by": "p"}}"#,
            "section `parameters`, parameter `p`, field `controlled-by`: leads back to `p`: remove the cycle",
        );
    }

    #[test]
    fn size_and_number_are_bounded_and_names_in_errors_truncated() {
        assert!(matches!(Blueprint::parse(&" ".repeat(MAX_BLUEPRINT_BYTES + 1)), Err(BlueprintError::TooLarge { .. })));
        let many: Vec<String> = (0..=MAX_PROCESSORS_COUNT).map(|at| format!(r#""p{at}:v": {{}}"#)).collect();
        let text = format!(r#"{{"blueprint": {{}}, "flow": {{{}}}}}"#, many.join(","));
        assert_eq!(Blueprint::parse(&text), Err(BlueprintError::TooManyProcessors { actual_count: MAX_PROCESSORS_COUNT + 1 }));
        let long = format!(r#"{{"blueprint": {{}}, "flow": {{"{}:v": {{}}}}}}"#, "n".repeat(10_000));
        let message = Blueprint::parse(&long).unwrap_err().to_string();
        assert!(message.contains("10000 bytes; the limit is 128") && message.len() < 400, "{message}");
    }

    #[test]
    fn a_long_chain_of_controllers_resolves_quickly() {
        let chain: Vec<String> = (1..1_000).map(|at| format!(r#""p{at}": {{"controlled-by": "p{}"}}"#, at - 1)).collect();
        let text = format!(r#"{{"blueprint": {{}}, "flow": {{"a:b": {{}}}}, "parameters": {{"p0": {{}}, {}}}}}"#, chain.join(","));
        assert_eq!(Blueprint::parse(&text).unwrap().parameters.len(), 1_000);
    }

    proptest! {
        #[test]
        fn arbitrary_strings_never_panic(text in r#"[{}\[\]":,a-z0-9\\ ]{0,80}"#, cut in 0..GOOD.len()) {
            let _ = Blueprint::parse(&text);
            let _ = Blueprint::parse(&GOOD[..cut]);
        }
    }
}
