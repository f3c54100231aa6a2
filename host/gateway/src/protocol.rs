//! What Weir's own paths answer, in kebab-case. The command line reads the same types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use weir_config::records::{ComponentRecord, ComponentRef, HostStatus};

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorAnswer {
    /// What went wrong.
    pub error: ErrorBody,
}

/// An error as callers get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// For programs.
    #[serde(rename = "type")]
    pub kind: String,
    /// For people: what, where, why, with all causes.
    pub message: String,
}

/// A message as one line of an answer. One of `body`, `text` and `base64` is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MessageLine {
    /// 32 hexadecimal digits.
    pub id: Option<String>,
    /// What came with it.
    pub properties: BTreeMap<String, String>,
    /// Its body, where that is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Its body, where that is another text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its body, where that is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// A dead letter with the whole message, as one line of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterLine {
    /// Why it is there.
    pub letter: DeadLetterSummary,
    /// What could not be handled.
    pub message: MessageLine,
}

/// The answer to `GET /healthz` and `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`, `ready` or `not ready`.
    pub status: String,
    /// What is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to `POST components`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Deployed {
    /// The deployment's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether the same bytes were deployed under this name and version before.
    pub unchanged: bool,
    /// The record as it is in the configuration.
    pub record: ComponentRecord,
    /// The running entries that go on with what they have.
    pub not_reached: Vec<Unreached>,
}

/// A running entry that a deployment does not reach.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Unreached {
    /// The processor.
    pub processor: String,
    /// The key of its entry.
    pub variant: String,
    /// The flow, where the entry belongs to one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// `NAME@VERSION` that it runs; none for a program outside of Weir.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<String>,
}

/// The answer to an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// Messages that are stored durably. With an error: those before it, and perhaps some right behind it.
    pub count: u64,
    /// Why it ended early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// The answer to `GET status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The gateway's version of Weir.
    pub version: String,
    /// The topicspace that it serves.
    pub topicspace: String,
    /// The newest version of the configuration.
    pub config_version: u64,
    /// The hosts that reported lately.
    pub hosts: Vec<HostReport>,
    /// The flows, by id.
    pub flows: Vec<FlowSummary>,
    /// The queues of flows, and the dead letters.
    pub queues: Vec<QueueSummary>,
}

/// The newest report of one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct HostReport {
    /// How long ago it came, in milliseconds.
    pub age_ms: u64,
    /// What the host said.
    #[serde(flatten)]
    pub status: HostStatus,
}

/// One flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct FlowSummary {
    /// Its id.
    pub id: String,
    /// The blueprint that it was started from.
    pub blueprint: String,
    /// For people.
    pub description: String,
    /// `running`, `starting`, `updating` or `stopping`.
    pub status: String,
    /// Its parameters, resolved.
    pub parameters: BTreeMap<String, String>,
    /// Its interfaces: the class of each.
    pub interfaces: BTreeMap<String, InterfaceKind>,
    /// Its processors, with what each runs.
    pub processors: Vec<FlowProcessor>,
}

/// What an interface takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceKind {
    /// Messages, one way.
    Flow,
    /// Requests, answered.
    Request,
}

/// One processor of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowProcessor {
    /// Its name.
    pub processor: String,
    /// The key of its entry.
    pub variant: String,
    /// What the entry names; none for a program outside of Weir.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentRef>,
}

/// One queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct QueueSummary {
    /// The topic.
    pub topic: String,
    /// Who reads it.
    pub subscription: String,
    /// The flows that use it.
    pub flows: Vec<String>,
    /// The interface that is read from it, where it is an exit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<String>,
    /// Messages in it, those in work included; none when the queue is missing.
    pub depth_count: Option<u64>,
    /// Messages in work.
    pub unsettled_count: u64,
    /// Its size.
    pub size_bytes: u64,
    /// Its readers.
    pub consumer_count: u64,
    /// Messages dropped because of the queue's own bound.
    pub dropped_count: u64,
    /// Messages lost because the disk did not keep them, since the broker was opened.
    #[serde(default)]
    pub damaged_count: u64,
}

/// The answer to `GET queues`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Queues {
    /// The queues, by topic and subscription.
    pub queues: Vec<QueueSummary>,
}

/// The answer to `GET dead-letters`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct DeadLetters {
    /// All that are there.
    pub depth_count: u64,
    /// The oldest ones, up to the limit.
    pub letters: Vec<DeadLetterSummary>,
}

/// One dead letter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct DeadLetterSummary {
    /// Its place in the queue, to go on behind.
    pub position: u64,
    /// The message's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The topic that it came from.
    pub topic: String,
    /// Whose queue it was.
    pub subscription: String,
    /// The type of the last error.
    pub error: String,
    /// What the error says.
    pub reason: String,
    /// How often it was tried.
    pub attempts_count: u32,
    /// The component that tried it.
    pub digest: String,
    /// The start of its body, as text.
    pub body: String,
    /// The size of its body.
    pub body_bytes: u64,
}
