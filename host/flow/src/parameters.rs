//! Parameters of flows: given values, declared types, defaults and controllers are resolved to strings.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use weir_config::records::{ParameterKind, ParameterSpec};

use crate::blueprint::{Blueprint, DeclaredParameter};
use crate::bounds::check_parameters;
use crate::error::{FlowError, Result};
use crate::naming::{check_name, shown};

/// The type of a parameter: a config value of type `parameter-type`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterType {
    /// The required form of its string; any string if unspecified.
    kind: ParameterKind,
    default: Option<String>,
    required: bool,
    choices: Vec<String>,
}

/// The values that a flow runs with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Value by parameter name; a parameter without a value is omitted.
    pub values: BTreeMap<String, String>,
    /// Assumptions, for people.
    pub notes: Vec<String>,
}

impl ParameterType {
    /// Reads a config value of type `parameter-type`.
    ///
    /// # Errors
    /// [`FlowError::ParameterType`], naming the field.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let fault = |problem: String| FlowError::ParameterType { name: shown(name), problem };
        let value: Value = serde_json::from_str(text).map_err(|error| fault(format!("is not JSON: {error}")))?;
        let fields = value.as_object().ok_or_else(|| fault("must be an object".to_owned()))?;
        let default = match fields.get("default") {
            None | Some(Value::Null) => None,
            Some(value) => Some(text_of(value).ok_or_else(|| fault("field `default` must be a string, a number or a boolean".to_owned()))?),
        };
        let choices = match fields.get("enum") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| {
                    choice(item).ok_or_else(|| fault("field `enum` contains a value that is neither a string nor {\"id\": ...}".to_owned()))
                })
                .collect::<Result<_>>()?,
            Some(_) => return Err(fault("field `enum` must be a list".to_owned())),
        };
        let required = fields.get("required").and_then(Value::as_bool).unwrap_or_default();
        Ok(ParameterType { kind: kind(fields.get("type").and_then(Value::as_str).unwrap_or_default()), default, required, choices })
    }

    /// The type of a parameter that is not in the configuration: one of the plain types by its name, otherwise any string.
    fn undeclared(name: &str) -> Self {
        ParameterType { kind: kind(name), ..Self::default() }
    }

    fn check(&self, name: &str, value: &str) -> Result<()> {
        let spec = ParameterSpec { name: name.to_owned(), kind: self.kind, choices: self.choices.clone(), ..ParameterSpec::default() };
        spec.check_value(value).map_err(|error| FlowError::Parameter { name: shown(name), problem: error.to_string() })
    }
}

/// Unknown kinds are not checked: types of other programs may allow more than ours.
fn kind(name: &str) -> ParameterKind {
    match name {
        "integer" => ParameterKind::Integer,
        "number" => ParameterKind::Number,
        "boolean" => ParameterKind::Boolean,
        "json" => ParameterKind::Json,
        _ => ParameterKind::String,
    }
}

/// A string as it is, a number in JSON's shortest form (1.0 stays `1.0`, 5 stays `5`), a boolean as `true` or `false`; nothing else.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn choice(item: &Value) -> Option<String> {
    match item {
        Value::Object(fields) => fields.get("id").and_then(text_of),
        other => text_of(other),
    }
}

/// Determines the values of a flow's parameters: the given value; otherwise the type's default; otherwise the value of the parameter that controls
/// it. Given values that the blueprint does not declare are kept.
///
/// # Errors
/// [`FlowError::Parameter`] for one that is required and neither given nor defaulted, has the wrong type or is not in the enum, with the parameter
/// and the allowed values.
pub fn resolve(blueprint: &Blueprint, given: &BTreeMap<String, Value>, types: &BTreeMap<String, ParameterType>) -> Result<Resolved> {
    let mut resolved = Resolved::default();
    for (name, value) in given {
        let fault = |problem| FlowError::Parameter { name: shown(name), problem };
        check_name(name).map_err(fault)?;
        let text = text_of(value).ok_or_else(|| fault("must be a string, a number or a boolean".to_owned()))?;
        resolved.values.insert(name.clone(), text);
    }
    // Most often a typo; it is kept anyway, as in other implementations of the flow service.
    for name in given.keys().filter(|name| !blueprint.parameters.contains_key(*name) && !blueprint.mentions(name)) {
        let declared = blueprint.parameters.keys().map(|name| shown(name)).collect::<Vec<_>>().join(", ");
        let known = if declared.is_empty() { "it declares none".to_owned() } else { format!("declared: {declared}") };
        resolved.notes.push(format!("parameter `{}`: the blueprint neither declares nor uses it ({known})", shown(name)));
    }
    for (name, declared) in &blueprint.parameters {
        let kind = type_of(name, declared, types, &mut resolved.notes);
        match resolved.values.get(name) {
            Some(value) => kind.check(name, value)?,
            None => match kind.default {
                Some(default) => drop(resolved.values.insert(name.clone(), default)),
                None if kind.required => return Err(missing(name, &kind)),
                None => {}
            },
        }
    }
    take_from_controllers(&blueprint.parameters, &mut resolved.values);
    check_parameters(&resolved.values).map_err(|problem| FlowError::Request { field: "parameters", problem })?;
    Ok(resolved)
}

fn missing(name: &str, kind: &ParameterType) -> FlowError {
    let choices = if kind.choices.is_empty() { String::new() } else { format!(", one of {}", kind.choices.join(", ")) };
    FlowError::Parameter { name: shown(name), problem: format!("is required and has no default: give it a value{choices}") }
}

fn type_of(name: &str, declared: &DeclaredParameter, types: &BTreeMap<String, ParameterType>, notes: &mut Vec<String>) -> ParameterType {
    let Some(kind) = declared.kind.as_deref() else { return ParameterType::default() };
    types.get(kind).cloned().unwrap_or_else(|| {
        if !["string", "integer", "number", "boolean", "json"].contains(&kind) {
            notes.push(format!(
                "parameter `{}` has the type `{}`, which is not in config: any value is accepted, and there is no default",
                shown(name),
                shown(kind)
            ));
        }
        ParameterType::undeclared(kind)
    })
}

/// Gives each parameter without a value that of the nearest controller that has one. No chain is walked twice; the blueprint was checked for cycles.
fn take_from_controllers(declared: &BTreeMap<String, DeclaredParameter>, values: &mut BTreeMap<String, String>) {
    let mut hopeless = BTreeSet::new();
    for name in declared.keys() {
        let mut walked = Vec::new();
        let mut at = Some(name.as_str());
        while let Some(name) = at.filter(|name| !values.contains_key(*name) && !hopeless.contains(name)) {
            walked.push(name);
            at = declared.get(name).and_then(|parameter| parameter.controlled_by.as_deref());
        }
        match at.and_then(|name| values.get(name)).cloned() {
            Some(value) => values.extend(walked.into_iter().map(|name| (name.to_owned(), value.clone()))),
            None => hopeless.extend(walked),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    fn blueprint(parameters: &Value) -> Blueprint {
        Blueprint::parse(&json!({"blueprint": {}, "flow": {"a:b": {}}, "parameters": parameters}).to_string()).unwrap()
    }

    fn types(types: &Value) -> BTreeMap<String, ParameterType> {
        types
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), ParameterType::parse(name, &value.to_string()).unwrap()))
            .collect()
    }

    fn resolve_json(parameters: &Value, kinds: &Value, given: &Value) -> Result<BTreeMap<String, String>> {
        let given = given.as_object().unwrap().clone().into_iter().collect();
        resolve(&blueprint(parameters), &given, &types(kinds)).map(|resolved| resolved.values)
    }

    fn check(parameters: &Value, kinds: &Value, given: &Value, expected: &Value) {
        let values = resolve_json(parameters, kinds, given).unwrap();
        assert_eq!(serde_json::to_value(values).unwrap(), *expected, "{parameters} {kinds} {given}");
    }

    fn check_error(kind: &Value, given: &Value, expected: &str) {
        let error = resolve_json(&json!({"p": {"type": "t"}}), &json!({"t": kind}), given).unwrap_err();
        assert_eq!(error.to_string(), expected, "{kind} {given}");
    }

    #[test]
    fn all_values_become_exact_strings() {
        for (value, text) in [(json!(5), "5"), (json!(0.25), "0.25"), (json!(1.0), "1.0"), (json!(true), "true"), (json!("x"), "x")] {
            check(&json!({}), &json!({}), &json!({"p": value}), &json!({"p": text}));
            check(&json!({"p": {"type": "t"}}), &json!({"t": {"default": value}}), &json!({}), &json!({"p": text}));
        }
    }

    #[test]
    fn a_given_value_overrides_the_default_and_the_default_the_controller() {
        let parameters = json!({"p": {"type": "t", "controlled-by": "q"}, "q": {"type": "u"}});
        let kinds = json!({"t": {"default": "own"}, "u": {}});
        check(&parameters, &kinds, &json!({"p": "given", "q": "controller"}), &json!({"p": "given", "q": "controller"}));
        check(&parameters, &kinds, &json!({"q": "controller"}), &json!({"p": "own", "q": "controller"}));
        check(&parameters, &json!({}), &json!({"q": "controller"}), &json!({"p": "controller", "q": "controller"}));
    }

    #[test]
    fn a_value_is_inherited_through_controllers_in_any_order() {
        let parameters = json!({"a": {"controlled-by": "z"}, "z": {"controlled-by": "m"}, "m": {"type": "t"}, "alone": {"controlled-by": "nobody"}, "nobody": {}});
        check(&parameters, &json!({"t": {"default": 7}}), &json!({}), &json!({"a": "7", "z": "7", "m": "7"}));
    }

    #[test]
    fn a_required_parameter_must_be_given_even_if_its_controller_has_a_value() {
        let parameters = json!({"p": {"type": "t", "controlled-by": "q"}, "q": {}});
        let kinds = json!({"t": {"required": true, "enum": ["a", {"id": "b", "description": "the b"}]}});
        let error = resolve_json(&parameters, &kinds, &json!({"q": "a"})).unwrap_err();
        assert_eq!(error.to_string(), "parameter `p`: is required and has no default: give it a value, one of a, b");
        check(&parameters, &json!({"t": {"required": true, "default": "d"}}), &json!({}), &json!({"p": "d"}));
    }

    #[test]
    fn values_of_the_wrong_type_or_outside_the_enum_are_reported() {
        check_error(&json!({"type": "integer"}), &json!({"p": "many"}), "parameter `p`: `many` is not a whole number");
        check_error(&json!({"type": "integer"}), &json!({"p": 1.0}), "parameter `p`: `1.0` is not a whole number");
        check_error(&json!({"type": "boolean"}), &json!({"p": "True"}), "parameter `p`: `True` is not true or false");
        check_error(&json!({"enum": ["a", {"id": "b"}]}), &json!({"p": "c"}), "parameter `p`: `c` is not one of a, b");
        check_error(&json!({}), &json!({"p": [1]}), "parameter `p`: must be a string, a number or a boolean");
        check_error(&json!({}), &json!({"p": null}), "parameter `p`: must be a string, a number or a boolean");
    }

    #[test]
    fn extra_parameters_are_kept_and_unknown_types_reported() {
        check(&json!({"p": {"type": "integer"}}), &json!({}), &json!({"p": 1, "extra": 2}), &json!({"p": "1", "extra": "2"}));
        let resolved = resolve(&blueprint(&json!({"p": {"type": "nowhere"}})), &BTreeMap::new(), &BTreeMap::new()).unwrap();
        assert_eq!(
            resolved.notes,
            ["parameter `p` has the type `nowhere`, which is not in config: any value is accepted, and there is no default"]
        );
    }

    #[test]
    fn faulty_types_are_named() {
        let check = |text: &str, word: &str| {
            let message = ParameterType::parse("t", text).unwrap_err().to_string();
            assert!(message.starts_with("parameter-type `t`") && message.contains(word), "{text} gave {message}");
        };
        check("nonsense", "not JSON");
        check("[]", "object");
        check(r#"{"default": {}}"#, "`default`");
        check(r#"{"enum": {}}"#, "`enum`");
        check(r#"{"enum": [[]]}"#, "`enum`");
    }
}
