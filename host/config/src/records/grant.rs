//! Permissions that a deployment grants its component beyond the contract.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::bounds::OutOfBound;

/// The form of a grant, as errors show it.
const FORM: &str = r#"{"grant": NAME, "what": [STRING, ...]}"#;

/// A permission of a component beyond its queues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// The kind: `http`, `keyvalue`, `config`, `env`, `secrets` or `fs`.
    pub grant: String,
    /// The targets, for example hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub what: Vec<String>,
}

/// Checks the form of the field `grants` of a deployment, so that the error names the grant. An unknown field could be meant as a restriction, so it
/// is rejected.
pub(super) fn check_form(record: &Value) -> Result<(), OutOfBound> {
    match record.get("grants") {
        None => Ok(()),
        Some(Value::Array(grants)) => grants.iter().enumerate().try_for_each(|(at, grant)| match is_grant(grant) {
            true => Ok(()),
            false => other_form(format!("grants.{at}"), grant, FORM),
        }),
        Some(other) => other_form("grants".to_owned(), other, &format!("a list of {FORM}")),
    }
}

fn is_grant(value: &Value) -> bool {
    let Value::Object(fields) = value else { return false };
    let is_what = |what: &Value| what.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    fields.get("grant").is_some_and(Value::is_string)
        && fields.iter().all(|(name, value)| name == "grant" || (name == "what" && is_what(value)))
}

fn other_form(field: String, value: &Value, form: &str) -> Result<(), OutOfBound> {
    // Escaped quotes would make it unrecognizable as JSON.
    let shown = weir_pubsub::shown(&value.to_string()).replace("\\\"", "\"");
    Err(OutOfBound { field, problem: format!("is {shown}; it must be {form}") })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::component::ComponentRecord;
    use super::*;
    use serde_json::json;

    fn read(grants: Value) -> Result<ComponentRecord, String> {
        let digest = format!("sha256:{}", "00".repeat(32));
        let record = json!({"digest": digest, "size-bytes": 1, "world": "0.1.0", "descriptor": {"schema": 1}, "grants": grants});
        serde_json::from_value(record).map_err(|error: serde_json::Error| error.to_string())
    }

    #[test]
    fn a_grant_is_stored_with_its_name_and_scope() {
        let grants = json!([{"grant": "http", "what": ["example.org"]}, {"grant": "env"}]);
        let record = read(grants.clone()).unwrap();
        assert_eq!(record.grants[0], Grant { grant: "http".to_owned(), what: vec!["example.org".to_owned()] });
        assert_eq!(serde_json::to_value(&record).unwrap()["grants"], grants);
    }

    #[test]
    fn any_other_form_is_refused_with_field_value_and_expected_form() {
        let form = r#"{"grant": NAME, "what": [STRING, ...]}"#;
        assert_eq!(read(json!(["http"])).unwrap_err(), format!(r#"field `grants.0` is "http"; it must be {form}"#));
        for grants in [json!("http"), json!({"http": []}), json!(7), json!(null)] {
            assert_eq!(read(grants.clone()).unwrap_err(), format!("field `grants` is {grants}; it must be a list of {form}"));
        }
        let wrong = [
            json!({}),
            json!(null),
            json!([]),
            json!({"grant": 1}),
            json!({"grant": "http", "what": "example.org"}),
            json!({"grant": "http", "what": [1]}),
            json!({"grant": "http", "what": null}),
            json!({"grant": "http", "but-not": ["example.org"]}),
        ];
        for grant in wrong {
            let fault = read(json!([{"grant": "env"}, grant])).unwrap_err();
            assert_eq!(fault, format!("field `grants.1` is {grant}; it must be {form}"));
        }
    }

    #[test]
    fn a_grant_that_is_too_large_is_refused_by_its_field() {
        let fault = |grant: Value| read(json!([grant])).unwrap_err();
        let long = fault(json!({"grant": "h".repeat(129)}));
        assert_eq!(long, "field `grants.0.grant` has 129 bytes; at most 128 are allowed");
        let many = fault(json!({"grant": "http", "what": vec!["a"; 65]}));
        assert_eq!(many, "field `grants.0.what` has 65 elements; at most 64 are allowed");
        let large = fault(json!({"grant": "http", "what": ["a".repeat(1025)]}));
        assert_eq!(large, "field `grants.0.what.0` has 1025 bytes; at most 1024 are allowed");
        assert!(fault(json!("h".repeat(10_000))).len() < 500, "the value is cut");
    }
}
