//! Names on the gateway are in kebab-case (`flow-id`), names on the services' queues in snake_case (`flow_id`). Only the names of the
//! outermost object are translated: what is below it belongs to the user (parameters, definitions, keys).

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::{GatewayError, Result};

/// A request as the service takes it.
pub(crate) fn request(body: &[u8]) -> Result<Bytes> {
    let fields = object(body, "the body")?;
    Ok(Bytes::from(Value::Object(fields.into_iter().map(|(name, value)| (name.replace('-', "_"), value)).collect()).to_string()))
}

/// An answer as the gateway gives it: fields that are null are left out, empty ones stay.
pub(crate) fn answer(body: &[u8]) -> Result<Bytes> {
    // Answers may be large: what is below the outermost names is copied once, and not read.
    let fields: BTreeMap<String, &RawValue> =
        serde_json::from_slice(body).map_err(|source| GatewayError::NotJson { what: "the service's answer".to_owned(), source })?;
    let kept = fields.into_iter().filter(|(_, value)| value.get() != "null");
    let named: BTreeMap<String, &RawValue> = kept.map(|(name, value)| (name.replace('_', "-"), value)).collect();
    serde_json::to_vec(&named).map(Bytes::from).map_err(|_| GatewayError::Broken { what: "writing an answer" })
}

fn object(body: &[u8], what: &str) -> Result<Map<String, Value>> {
    match serde_json::from_slice(body).map_err(|source| GatewayError::NotJson { what: what.to_owned(), source })? {
        Value::Object(fields) => Ok(fields),
        _ => {
            Err(GatewayError::BadField { field: what.to_owned(), problem: "must be a JSON object such as {\"operation\": ...}".to_owned() })
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_are_translated_at_the_outermost_level_only() {
        let there = request(br#"{"flow-id": "a-b", "parameters": {"chunk-size": "1"}}"#).unwrap();
        assert_eq!(there, r#"{"flow_id":"a-b","parameters":{"chunk-size":"1"}}"#);
        let back = answer(br#"{"blueprint_names": [], "flow": "", "error": null, "parameters": {"chunk_size": "1"}}"#).unwrap();
        assert_eq!(back, r#"{"blueprint-names":[],"flow":"","parameters":{"chunk_size": "1"}}"#);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(request(b"[1]").unwrap_err().to_string().contains("JSON object"));
        assert_eq!(request(b"{").unwrap_err().to_string(), "the body is not JSON");
    }
}
