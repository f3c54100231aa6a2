//! The scope that an operation of the config or flow service requires: the paths that Weir shares with others carry it in the body.
//!
//! Decided from the bytes that the service receives, parsed as the service parses them. Unreadable or unknown operations require the largest scope:
//! another service implementation may understand them.

use serde::Deserialize;
use weir_config::names::{
    COMPONENT_TYPE, DESCRIPTOR_TYPE, ENTRY_TYPE_PREFIX, FLOW_SERVICE_TYPE, FLOW_TYPE, LEFTOVER_TYPE, QUEUE_MADE_TYPE,
};
use weir_config::protocol::Request;

use super::Scope;

/// Config types that decide what runs: deployments, what processors receive, and the records of the flow service, from which it writes entries and
/// deletes queues.
const DEPLOYED_TYPES: [&str; 7] = [COMPONENT_TYPE, DESCRIPTOR_TYPE, FLOW_TYPE, FLOW_SERVICE_TYPE, LEFTOVER_TYPE, QUEUE_MADE_TYPE, "parked"];

/// A scope, and what requires it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Required {
    pub(crate) scope: Scope,
    pub(crate) what: String,
}

/// The scope that a request to the config service requires.
pub(crate) fn of_config(body: &[u8]) -> Required {
    let Ok(request) = Request::read(body) else { return unknown("a request that is not one of the config service's") };
    match request.operation.as_deref().unwrap_or_default() {
        operation @ ("get" | "list" | "getvalues" | "config" | "list-types") => required(Scope::Read, format!("`{operation}`")),
        operation @ ("put" | "delete") => {
            let values = request.values.iter().flatten().map(|value| value.config_type.as_str());
            let mut types = request.keys.iter().flatten().map(|key| key.config_type.as_str()).chain(values);
            match types.find(|config_type| decides_what_runs(config_type)) {
                Some(found) => required(Scope::Deploy, format!("`{operation}` of the config type `{}`", weir_pubsub::shown(found))),
                None => required(Scope::Operate, format!("`{operation}` of configuration")),
            }
        }
        other => unknown_operation(other),
    }
}

/// The scope that a request to the flow service requires.
pub(crate) fn of_flow(body: &[u8]) -> Required {
    #[derive(Deserialize)]
    struct RequestedOperation {
        operation: Option<String>,
    }
    let Ok(asked) = serde_json::from_slice::<RequestedOperation>(body) else {
        return unknown("a request that is not one of the flow service's");
    };
    match asked.operation.as_deref().unwrap_or_default() {
        operation @ ("list-blueprints" | "get-blueprint" | "list-flows" | "get-flow" | "list-orphans") => {
            required(Scope::Read, format!("`{operation}`"))
        }
        operation @ ("put-blueprint" | "delete-blueprint" | "start-flow" | "stop-flow" | "swap" | "remove-orphans") => {
            required(Scope::Operate, format!("`{operation}`"))
        }
        other => unknown_operation(other),
    }
}

fn decides_what_runs(config_type: &str) -> bool {
    DEPLOYED_TYPES.contains(&config_type) || config_type.starts_with(ENTRY_TYPE_PREFIX)
}

fn required(scope: Scope, what: String) -> Required {
    Required { scope, what }
}

fn unknown(what: &str) -> Required {
    required(Scope::Deploy, what.to_owned())
}

fn unknown_operation(operation: &str) -> Required {
    required(Scope::Deploy, format!("the unknown operation `{}`", weir_pubsub::shown(operation)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_requires_read_and_writing_depends_on_the_type() {
        for (body, scope) in [
            (r#"{"operation":"get","keys":[{"type":"component","key":"a"}]}"#, Scope::Read),
            (r#"{"operation":"list","type":"processor:a"}"#, Scope::Read),
            (r#"{"operation":"getvalues","type":"flow"}"#, Scope::Read),
            (r#"{"operation":"config"}"#, Scope::Read),
            (r#"{"operation":"list-types"}"#, Scope::Read),
            (r#"{"operation":"put","values":[{"type":"prompt","key":"a","value":"1"}]}"#, Scope::Operate),
            (r#"{"operation":"put","values":[{"type":"flow-blueprint","key":"a","value":"1"}]}"#, Scope::Operate),
            (r#"{"operation":"put","values":[]}"#, Scope::Operate),
            (r#"{"operation":"delete","keys":[{"type":"parameter-type","key":"a"}]}"#, Scope::Operate),
            (r#"{"operation":"put","values":[{"type":"prompt","key":"a","value":"1"},{"type":"component","key":"a"}]}"#, Scope::Deploy),
            (r#"{"operation":"put","keys":[{"type":"descriptor","key":"a"}]}"#, Scope::Deploy),
            (r#"{"operation":"delete","keys":[{"type":"processor:a","key":"b"}]}"#, Scope::Deploy),
            (r#"{"operation":"delete","keys":[{"type":"flow","key":"b"}]}"#, Scope::Deploy),
            (r#"{"operation":"put","values":[{"type":"leftover","key":"b","value":""}]}"#, Scope::Deploy),
            (r#"{"operation":"dance"}"#, Scope::Deploy),
            (r#"{"operation":null}"#, Scope::Deploy),
            ("{}", Scope::Deploy),
            (r#"{"operation":"put","values":[{"type":1}]}"#, Scope::Deploy),
            ("[]", Scope::Deploy),
        ] {
            assert_eq!(of_config(body.as_bytes()).scope, scope, "{body}");
        }
        let deleted = of_config(br#"{"operation":"delete","keys":[{"type":"processor:a","key":"b"}]}"#);
        assert_eq!(deleted.what, "`delete` of the config type `processor:a`");
    }

    #[test]
    fn operations_on_flows_require_operate() {
        for (body, scope) in [
            (r#"{"operation":"list-flows"}"#, Scope::Read),
            (r#"{"operation":"get-blueprint","blueprint_name":"a"}"#, Scope::Read),
            (r#"{"operation":"start-flow"}"#, Scope::Operate),
            (r#"{"operation":"swap"}"#, Scope::Operate),
            (r#"{"operation":"Start-Flow"}"#, Scope::Deploy),
            (r#"{"operation":["get-flow"]}"#, Scope::Deploy),
            ("7", Scope::Deploy),
        ] {
            assert_eq!(of_flow(body.as_bytes()).scope, scope, "{body}");
        }
    }
}
