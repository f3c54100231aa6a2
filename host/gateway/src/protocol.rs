//! Responses of Weir's own paths, in kebab-case. The command line parses the same types.

mod host_report;
mod imported;
mod missing;
mod position;
mod removal;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use weir_config::protocol::Usage;
use weir_config::records::{ComponentRecord, ComponentRef};

pub use self::host_report::{HostReport, Presence};
pub use self::imported::Imported;
pub use self::missing::{MissingService, ServiceName};
pub use self::position::Position;
pub use self::removal::{PruneRequest, Pruned, PrunedFile, RemoveComponent, RemovedComponent, pruned};

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorAnswer {
    /// The error.
    pub error: ErrorBody,
}

/// An error as returned to callers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// For programs.
    #[serde(rename = "type")]
    pub kind: String,
    /// Human-readable: what, where and why, with all causes.
    pub message: String,
}

/// A message as one line of an answer. It has exactly one of `body`, `text` and `base64`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MessageLine {
    /// 32 hexadecimal digits.
    pub id: Option<String>,
    /// Its properties.
    pub properties: BTreeMap<String, String>,
    /// Its body, if it is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Its body, if it is other text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its body, if it is not text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// Options for taking messages from an exit: the body of `POST .../take`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TakeRequest {
    /// End after this many messages; default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// End when no message came for so many milliseconds; 0: when the exit is empty. Default: the stream continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// How long the lease lasts without an acknowledgement while messages are unacknowledged, in milliseconds: from 100 to 3600000,
    /// default 60000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
}

/// The first line of what `POST .../take` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaseLine {
    /// The lease's id: 32 hexadecimal digits.
    pub lease: String,
}

/// A message delivered under a lease. It has exactly one of `body`, `text` and `base64`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TakenLine {
    /// Its number under this lease, from 1; used to acknowledge it.
    pub receipt: u64,
    /// The message.
    #[serde(flatten)]
    pub message: MessageLine,
}

/// The body of `POST .../acknowledge`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acknowledge {
    /// The lease's id, from the first line of the stream.
    pub lease: String,
    /// The receipt of the last message to acknowledge; all before it are acknowledged too. 0 acknowledges nothing and renews the lease.
    pub through: u64,
    /// Whether to end the lease: all other messages are requeued before the answer, and the stream ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub end: bool,
}

/// The answer to `POST .../acknowledge`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Acknowledged {
    /// How many messages this request has settled.
    pub acknowledged_count: u64,
}

/// A dead letter with the whole message, as one line of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterLine {
    /// Why it became a dead letter.
    pub letter: DeadLetterSummary,
    /// The message that could not be handled.
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
    /// The stored record.
    pub record: ComponentRecord,
    /// The running entries that keep their current component.
    pub not_reached: Vec<Unreached>,
}

/// The answer to `GET deployments/{deployment}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deployment {
    /// `NAME@VERSION`.
    pub component: String,
    /// The effective limits, by name.
    pub limits: BTreeMap<String, EffectiveLimit>,
    /// The effective retry policy, by name.
    pub retry: BTreeMap<String, EffectiveLimit>,
    /// The stored record.
    pub record: ComponentRecord,
}

/// An effective limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EffectiveLimit {
    /// The number, in the unit that its name ends with.
    pub value: u64,
    /// Its source.
    pub from: LimitSource,
}

/// The source of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LimitSource {
    /// It was given when the version was deployed, and never changes.
    Deployment,
    /// It is the setting, as Weir was started with it.
    Settings,
}

/// A running entry that does not use the new deployment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Unreached {
    /// The processor.
    pub processor: String,
    /// The key of its entry.
    pub variant: String,
    /// The flow, if the entry belongs to a single one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The flows that use a shared entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<String>,
    /// The `NAME@VERSION` that it runs; absent if it has no component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<String>,
}

/// The answer to `GET status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The gateway's version of Weir.
    pub version: String,
    /// The newest version of `weir:processor` that it checks components against. Empty for older versions.
    #[serde(default)]
    pub contract: String,
    /// When this was answered, in milliseconds since 1970, by the gateway's clock.
    #[serde(default)]
    pub time_ms: u64,
    /// The services that do not answer. Without the config service, flows and queues are empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingService>,
    /// The topicspace that it serves.
    pub topicspace: String,
    /// The newest version of the configuration; 0 while the config service does not answer.
    pub config_version: u64,
    /// The size of the whole configuration and its limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    pub config_usage: Option<Usage>,
    /// Why the broker is currently not working, human-readable: it accepts no messages, or is unavailable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker_problem: Option<String>,
    /// The hosts that reported within the last two minutes and have not stopped.
    pub hosts: Vec<HostReport>,
    /// The flows, by id.
    pub flows: Vec<FlowSummary>,
    /// The queues of flows, the dead-letter queue, and queues without a flow.
    pub queues: Vec<QueueSummary>,
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
    /// `running`, `starting`, `updating`, `stopping` or `unreadable`.
    pub status: String,
    /// Its parameters, resolved.
    pub parameters: BTreeMap<String, String>,
    /// Its interfaces: the class of each.
    pub interfaces: BTreeMap<String, InterfaceKind>,
    /// Its processors, with what each runs.
    pub processors: Vec<FlowProcessor>,
}

/// The kind of an interface.
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
    /// The component of the entry; none for an external program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentRef>,
}

/// One queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct QueueSummary {
    /// The topic.
    pub topic: String,
    /// Its subscription.
    pub subscription: String,
    /// The flows that use it.
    pub flows: Vec<String>,
    /// The interface that it belongs to, if it is an exit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<String>,
    /// Whether a flow uses it, but the broker has no such queue.
    #[serde(default)]
    pub is_missing: bool,
    /// Messages in it, including those in flight; null if the queue is missing or the broker does not count them.
    pub depth_count: Option<u64>,
    /// Messages waiting for a consumer, excluding those in flight; null if the broker does not count them.
    #[serde(default)]
    pub ready_count: Option<u64>,
    /// Messages in flight; null if the broker does not count them.
    pub unsettled_count: Option<u64>,
    /// Its size; null if the broker does not report it.
    pub size_bytes: Option<u64>,
    /// Its consumers; null if the broker does not count them.
    pub consumer_count: Option<u64>,
    /// Messages dropped because of the queue's limit; null if the broker does not count them.
    pub dropped_count: Option<u64>,
    /// The limit above which it refuses messages, if any; the dead-letter queue has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// Messages refused because of that limit since Weir was started; each repetition counts. Null if the broker does not count them.
    #[serde(default)]
    pub refused_count: Option<u64>,
    /// Whether that limit is reached: a message was refused, and none was accepted or removed since. Null if the broker does not report it.
    #[serde(default)]
    pub is_full: Option<bool>,
    /// Messages that the broker lost after it had confirmed them, since it was opened; null when the broker does not count them.
    #[serde(default)]
    pub damaged_count: Option<u64>,
    /// Whether it does not belong to a flow, for example because the configuration was lost: it has no consumer.
    #[serde(default)]
    pub is_unowned: bool,
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
    /// The total; null if the broker does not count them.
    pub depth_count: Option<u64>,
    /// The oldest selected ones, up to the limit or 1 MiB of text.
    pub letters: Vec<DeadLetterSummary>,
    /// The position to continue after, if there may be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<Position>,
    /// The position of the newest letter that the queue ever had; absent if there was none, or if the broker does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Position>,
}

/// Which dead letters: `ids`, `flow` with `processor` (one of them is enough), or `all`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetterOrder {
    /// Positions and message ids, at most 10,000; an id selects all letters of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<DeadLetterId>>,
    /// Only those of this flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// Only those of this processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// All of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
    /// Only those after this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Position>,
    /// Only those up to this position; default: those present at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<Position>,
    /// Stop after about this many, and return the position to continue from; by default, and with `ids`, all are processed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A position, or the id of a message in 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum DeadLetterId {
    /// A position as a number.
    Position(u64),
    /// Either of them as a string.
    Text(String),
}

/// The answer to `POST dead-letters/redrive`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct DeadLettersRedriven {
    /// Letters that were resent.
    pub redriven_count: u64,
    /// Selected letters that were kept, and ids or positions that do not exist.
    pub failed_count: u64,
    /// The first 100 of those.
    pub failures: Vec<DeadLetterFailure>,
    /// With `limit`: the position to continue after (`after`), if there may be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<Position>,
    /// The position up to which letters are processed; pass it again (`through`) to continue. Absent if the broker does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Position>,
}

/// The answer to `POST dead-letters/delete`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct DeadLettersDeleted {
    /// Letters that were deleted.
    pub deleted_count: u64,
    /// Selected letters that were kept, and ids or positions that do not exist.
    pub failed_count: u64,
    /// The first 100 of those.
    pub failures: Vec<DeadLetterFailure>,
    /// With `limit`: the position to continue after (`after`), if there may be more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<Position>,
    /// The position up to which letters are processed; pass it again (`through`) to continue. Absent if the broker does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Position>,
}

/// A dead letter that was kept, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterFailure {
    /// Its position in the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The message's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The flows that it came from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<String>,
    /// The topic that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The subscription whose queue it was in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// `queue-missing`, `queue-full`, `gone`, `in-progress`, `not-found`, `foreign`, `incomplete`, `unreadable`, `too-large`,
    /// `unavailable` or `outcome-unknown`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Human-readable: what is wrong, and the fix.
    pub message: String,
}

impl DeadLetterFailure {
    /// A failure with nothing but its kind.
    pub(crate) fn of(kind: &str) -> Self {
        DeadLetterFailure { kind: kind.to_owned(), ..Self::default() }
    }
}

/// One dead letter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct DeadLetterSummary {
    /// Its position in the queue, to continue after.
    pub position: Position,
    /// The message's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The topic that it came from.
    pub topic: String,
    /// The subscription of the queue.
    pub subscription: String,
    /// The type of the last error.
    pub error: String,
    /// The error message.
    pub reason: String,
    /// The number of attempts.
    pub attempts_count: u32,
    /// The component that attempted it.
    pub digest: String,
    /// Its deployment, `NAME@VERSION`; empty in letters of earlier versions of Weir.
    #[serde(default)]
    pub component: String,
    /// When it was given up, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<u64>,
    /// The version of the configuration at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_version: Option<u64>,
    /// The flows that it came from.
    #[serde(default)]
    pub flows: Vec<String>,
    /// The processor that gave it up.
    #[serde(default)]
    pub processor: String,
    /// The key of the processor's entry.
    #[serde(default)]
    pub variant: String,
    /// The parts of the message that were dropped because the letter exceeded a limit; it cannot be resent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// Why it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// The start of its body, as text.
    pub body: String,
    /// The size of its body.
    pub body_bytes: u64,
}
