//! Translates field names: kebab-case on the gateway (`flow-id`), snake_case on the services' queues (`flow_id`). Only the names of the outermost
//! object are translated: what is below belongs to the user (parameters, definitions, keys).

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::{GatewayError, Result};

/// The field by which the flow service may use the reserved part of the configuration's capacity; removed from requests of clients.
const RESERVE: &str = "reserve";

/// The request in the flow service's format.
pub(crate) fn flow_request(body: &[u8]) -> Result<Bytes> {
    request(body).map(|fields| Bytes::from(Value::Object(fields).to_string()))
}

/// The request in the config service's format, without fields that clients of the gateway may not use.
pub(crate) fn config_request(body: &[u8]) -> Result<Bytes> {
    let mut fields = request(body)?;
    fields.remove(RESERVE);
    Ok(Bytes::from(Value::Object(fields).to_string()))
}

fn request(body: &[u8]) -> Result<Map<String, Value>> {
    let fields = object(body, "the body")?;
    Ok(fields.into_iter().map(|(name, value)| (name.replace('-', "_"), value)).collect())
}

/// The answer in the gateway's format: null fields are omitted, empty ones stay.
pub(crate) fn answer(body: &[u8]) -> Result<Bytes> {
    // Answers may be large: values are copied once and not parsed.
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
        let there = flow_request(br#"{"flow-id": "a-b", "parameters": {"chunk-size": "1"}}"#).unwrap();
        assert_eq!(there, r#"{"flow_id":"a-b","parameters":{"chunk-size":"1"}}"#);
        let back = answer(br#"{"blueprint_names": [], "flow": "", "error": null, "parameters": {"chunk_size": "1"}}"#).unwrap();
        assert_eq!(back, r#"{"blueprint-names":[],"flow":"","parameters":{"chunk_size": "1"}}"#);
    }

    #[test]
    fn clients_cannot_use_the_capacity_reserved_for_the_flow_service() {
        let there = config_request(br#"{"operation": "put", "reserve": true, "type": ""}"#).unwrap();
        assert_eq!(there, r#"{"operation":"put","type":""}"#);
    }

    #[test]
    fn non_objects_are_refused() {
        assert!(config_request(b"[1]").unwrap_err().to_string().contains("JSON object"));
        assert_eq!(flow_request(b"{").unwrap_err().to_string(), "the body is not JSON");
    }
}
