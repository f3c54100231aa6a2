//! The wire protocol of the flow service and the records that it stores in config, as documented in `docs/wire.md`.
//!
//! Requests and answers are snake_case with every field present; records in config are kebab-case. Unknown fields are ignored; a missing field has
//! its default; `null` stays null and is rejected where the field is used.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use weir_config::protocol::ServiceError;
use weir_config::records::{ComponentRef, Entry};

pub use weir_config::names::{BLUEPRINT_TYPE, DESCRIPTOR_TYPE, FLOW_TYPE, LEFTOVER_TYPE, PARAMETER_TYPE, QUEUE_MADE_TYPE};

/// The error type of an operation that does not exist.
pub const BAD_OPERATION: &str = "bad-operation";
/// The error type of all other errors.
pub const FLOW_ERROR: &str = "flow-error";

/// One request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
// The OpenAPI document describes the gateway's format, with the outermost names in kebab-case.
#[schema(as = FlowRequest, rename_all = "kebab-case")]
pub struct Request {
    /// `list-blueprints`, `get-blueprint`, `put-blueprint`, `delete-blueprint`, `list-flows`, `get-flow`, `start-flow`, `stop-flow`,
    /// and Weir's own `swap`, `list-orphans` and `remove-orphans`.
    pub operation: Option<String>,
    /// For the operations on blueprints and for `start-flow`.
    pub blueprint_name: Option<String>,
    /// For `put-blueprint`: the blueprint's JSON text.
    pub blueprint_definition: Option<String>,
    /// For `start-flow`: a description of the flow.
    pub description: Option<String>,
    /// For the operations on flows.
    pub flow_id: Option<String>,
    /// For `start-flow`: values by parameter name; strings, numbers or booleans.
    pub parameters: Option<BTreeMap<String, serde_json::Value>>,
    /// For `start-flow`: create no exits, so unread results are not kept (Weir extension).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub drop_exits: bool,
    /// For `start-flow`: reject a flow with a processor that nothing provides (Weir extension). A processor is provided by a deployment,
    /// by a program that has a `descriptor` in config, by a host that reported its name within 20 s, or by a program listed in `external`.
    #[serde(alias = "require-readers", skip_serializing_if = "std::ops::Not::not")]
    pub require_readers: bool,
    /// For `start-flow`: processors provided by external programs (Weir extension).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<String>,
    /// For `stop-flow`: how to handle messages that are still in the flow's queues (Weir extension). `discard`, the default, deletes them;
    /// with `refuse` the flow is stopped only if there are none. For `remove-orphans`, whose default is `refuse`: the same for queues that
    /// no flow uses any more.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Backlog>)]
    pub backlog: Option<serde_json::Value>,
    /// For `swap`: the processor, `NAME` or `NAME:VARIANT` (Weir extension).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// For `swap`: the deployment to switch to, `NAME@VERSION`, or `NAME` for the newest (Weir extension).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// For `swap`: also swap other flows that share the processor's entry (Weir extension).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    /// For `swap`: discard the rollback target, so that the previous component can be removed (Weir extension).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub forget: bool,
}

impl Default for Request {
    fn default() -> Self {
        let empty = || Some(String::new());
        Request {
            operation: empty(),
            blueprint_name: empty(),
            blueprint_definition: empty(),
            description: empty(),
            flow_id: empty(),
            parameters: Some(BTreeMap::new()),
            drop_exits: false,
            require_readers: false,
            external: Vec::new(),
            backlog: None,
            processor: None,
            component: None,
            shared: false,
            forget: false,
        }
    }
}

impl Request {
    /// A request with everything but the operation at its default.
    pub fn new(operation: &str) -> Self {
        Request { operation: Some(operation.to_owned()), ..Self::default() }
    }
}

/// A field as given: `null` is a value like any other.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
}

/// How to handle messages that are still in the queues of a flow when it is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Backlog {
    /// They are deleted with the queues.
    #[default]
    Discard,
    /// They stay, and the flow is not stopped.
    Refuse,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = FlowAnswer, rename_all = "kebab-case")]
pub struct Response {
    /// For `list-blueprints`.
    pub blueprint_names: Vec<String>,
    /// For `list-flows`.
    pub flow_ids: Vec<String>,
    /// For `get-blueprint`: the JSON document, `null` if it does not exist.
    pub blueprint_definition: Option<String>,
    /// For `get-flow`: the flow's record as a JSON text.
    pub flow: Option<String>,
    /// For `get-flow`.
    pub description: Option<String>,
    /// For `get-flow`: the values that the flow runs with.
    pub parameters: BTreeMap<String, String>,
    /// The error.
    pub error: Option<ServiceError>,
    /// Human-readable notes: assumptions and skipped steps (Weir extension).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// For `swap`: the result (Weir extension).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swapped: Option<Swapped>,
    /// For `list-orphans` and `remove-orphans`: at most 1,000 (Weir extension).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub orphans: Vec<Orphan>,
}

/// A queue that the flow service created and that no flow uses any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Orphan {
    /// The topic that feeds it.
    pub topic: String,
    /// The subscription that it serves.
    pub subscription: String,
    /// Messages in it; `null` if the broker does not count them.
    pub messages_count: Option<u64>,
    /// Whether it was deleted.
    pub is_removed: bool,
    /// Why it was not, human-readable.
    pub kept_because: Option<String>,
}

/// The result of a swap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Swapped {
    /// The processor.
    pub processor: String,
    /// The key of its entry.
    pub variant: String,
    /// The new component of the entry.
    pub component: ComponentRef,
    /// The previous component; absent if it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<ComponentRef>,
    /// Whether it already had that component, so nothing was written.
    #[serde(default)]
    pub unchanged: bool,
    /// Other flows that share the entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sharers: Vec<String>,
}

impl Default for Response {
    fn default() -> Self {
        Response {
            blueprint_names: Vec::new(),
            flow_ids: Vec::new(),
            blueprint_definition: Some(String::new()),
            flow: Some(String::new()),
            description: Some(String::new()),
            parameters: BTreeMap::new(),
            error: None,
            notes: Vec::new(),
            swapped: None,
            orphans: Vec::new(),
        }
    }
}

impl Response {
    /// An error response.
    pub fn of_error(kind: &str, message: String) -> Self {
        Response { error: Some(ServiceError { kind: kind.to_owned(), message }), ..Self::default() }
    }
}

/// A flow, as stored in config type `flow`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FlowRecord {
    /// Its purpose, for people.
    #[serde(default)]
    pub description: String,
    /// The blueprint that it was started from.
    pub blueprint_name: String,
    /// Its interfaces, by name.
    #[serde(default)]
    pub interfaces: BTreeMap<String, Interface>,
    /// The values that it runs with, by parameter name.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// Its transition; absent while it is running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<FlowStatus>,
    /// Only while it is being stopped with `refuse` (Weir extension).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<Backlog>,
    /// The id of the request that started it, to recognise that request if it is redelivered (Weir extension).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Only while it is being stopped: the id of that request (Weir extension).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_request: Option<String>,
    /// What it owns (Weir extension): later operations use this and never the blueprint, which may have changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanRecord>,
}

impl FlowRecord {
    /// The record while the flow is being stopped unconditionally, for the request with this id, if any.
    pub(crate) fn stopping(&self, request: Option<&str>) -> FlowRecord {
        let stop_request = request.map(str::to_owned);
        let mut stopping = FlowRecord { status: Some(FlowStatus::Stopping), backlog: None, stop_request, ..self.clone() };
        stopping.plan.iter_mut().flat_map(|plan| &mut plan.entries).for_each(|entry| entry.kept = None);
        stopping
    }

    /// Whether a stop that may still be refused is in progress: meanwhile it owns what its plan names.
    pub fn is_refusing(&self) -> bool {
        self.status == Some(FlowStatus::Stopping) && self.backlog == Some(Backlog::Refuse)
    }
}

/// The transition of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowStatus {
    /// Its queues and entries are being created.
    Starting,
    /// It is being changed.
    Updating,
    /// Its entries and queues are being deleted.
    Stopping,
}

/// An interface of a flow. Other fields are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Interface {
    /// Requests and their answers.
    Service {
        /// The topic of requests.
        request: String,
        /// The topic of answers.
        response: String,
    },
    /// Messages that enter or leave the flow.
    Flow {
        /// The topic.
        flow: String,
    },
}

/// What a flow owns, by name. Several flows may share a resource; it is removed with the last of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlanRecord {
    /// Its queues.
    #[serde(default)]
    pub queues: Vec<QueueRecord>,
    /// Its entries.
    #[serde(default)]
    pub entries: Vec<EntryRecord>,
}

/// One queue of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct QueueRecord {
    /// The topic that feeds it.
    pub topic: String,
    /// The subscription that it serves.
    pub subscription: String,
    /// For exits: the size above which it drops its oldest messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_oldest_above_bytes: Option<u64>,
    /// Only while the flow starts: the queue existed before, so rolling back the start keeps it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub found: bool,
}

/// One entry of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EntryRecord {
    /// The processor.
    pub processor: String,
    /// The entry's key.
    pub variant: String,
    /// Its outputs: topic by spec name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// Only while the flow starts: what is written, so that rolling back the start removes exactly that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
    /// Only while the flow is being stopped with `refuse`: the entry's text, which is restored if the stop is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn responses_always_have_all_fields() {
        expect_test::expect![[
            r#"{"blueprint_names":[],"flow_ids":[],"blueprint_definition":"","flow":"","description":"","parameters":{},"error":null}"#
        ]]
        .assert_eq(&serde_json::to_string(&Response::default()).unwrap());
        let error = serde_json::to_string(&Response::of_error(FLOW_ERROR, "no".to_owned())).unwrap();
        assert!(error.ends_with(r#""error":{"type":"flow-error","message":"no"}}"#), "{error}");
    }

    #[test]
    fn missing_request_fields_have_defaults_and_null_stays_null() {
        let missing: Request = serde_json::from_str(r#"{"operation": "start-flow", "other": 1}"#).unwrap();
        assert_eq!(missing, Request::new("start-flow"));
        let null: Request =
            serde_json::from_str(r#"{"operation": null, "description": null, "flow_id": null, "parameters": null}"#).unwrap();
        assert_eq!((null.operation, null.description, null.flow_id, null.parameters), (None, None, None, None));
        expect_test::expect![[
            r#"{"operation":"list-flows","blueprint_name":"","blueprint_definition":"","description":"","flow_id":"","parameters":{}}"#
        ]]
        .assert_eq(&serde_json::to_string(&Request::new("list-flows")).unwrap());
    }

    #[test]
    fn a_foreign_record_is_read_and_ours_adds_only_applicable_fields() {
        let text = r#"{"description":"d","blueprint-name":"b","interfaces":{"in":{"flow":"flow:tg:x"},"ask":{"request":"request:tg:a","response":"response:tg:a"}},"parameters":{"p":"1"}}"#;
        let record: FlowRecord = serde_json::from_str(text).unwrap();
        assert_eq!(record.interfaces["in"], Interface::Flow { flow: "flow:tg:x".to_owned() });
        assert_eq!(serde_json::to_value(&record).unwrap(), serde_json::from_str::<serde_json::Value>(text).unwrap());
    }
}
