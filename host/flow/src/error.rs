//! Errors of blueprints and flows.

mod backlog;
mod plan_error;
mod unserved;

use weir_config::ConfigError;
use weir_pubsub::{NameError, PubsubError, chain};

/// The result of an operation on flows.
pub type Result<T, E = FlowError> = std::result::Result<T, E>;

use crate::blueprint::BlueprintError;

pub(crate) use self::unserved::hint;
pub use self::{
    backlog::{HeldAt, HeldMessages},
    plan_error::{NotDeployed, PlanRefusal, SwapRefusal},
    unserved::{Unserved, UnservedCause},
};

/// Why an operation on blueprints or flows failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// The request names an operation that does not exist.
    #[error(
        "operation `{operation}` does not exist: use list-blueprints, get-blueprint, put-blueprint, delete-blueprint, list-flows, get-flow, \
             start-flow, stop-flow, swap, list-orphans or remove-orphans"
    )]
    BadOperation {
        /// The operation that was requested.
        operation: String,
    },
    /// A field of the request is missing, `null` or not usable.
    #[error("field `{field}` of the request: {problem}")]
    Request {
        /// Which field.
        field: &'static str,
        /// The problem.
        problem: String,
    },
    /// The blueprint is faulty.
    #[error(transparent)]
    Blueprint(#[from] BlueprintError),
    /// The blueprint does not exist.
    #[error("blueprint `{name}` does not exist: store it first, or use one listed by `weir blueprint list`")]
    UnknownBlueprint {
        /// The name.
        name: String,
    },
    /// A flow with this id already exists.
    #[error("flow `{id}` already exists; stop it first, or choose another id")]
    FlowExists {
        /// The id.
        id: String,
    },
    /// The flow does not exist.
    #[error("flow `{id}` does not exist: `weir flow list` lists all flows")]
    UnknownFlow {
        /// The id.
        id: String,
    },
    /// A value of the flow's parameters is missing or not allowed.
    #[error("parameter `{name}`: {problem}")]
    Parameter {
        /// The parameter.
        name: String,
        /// The problem and the fix.
        problem: String,
    },
    /// A config value of type `parameter-type` is faulty.
    #[error("parameter-type `{name}` in config: {problem}")]
    ParameterType {
        /// Its key.
        name: String,
        /// The problem.
        problem: String,
    },
    /// A processor or interface of the blueprint is not valid in this flow.
    #[error("{place}")]
    Plan {
        /// Section, processor key and field.
        place: String,
        /// The problem and the fix.
        #[source]
        source: PlanRefusal,
    },
    /// A component cannot be swapped.
    #[error("{place}")]
    Swap {
        /// The flow, and the part of it that the order names.
        place: String,
        /// The problem and the fix.
        #[source]
        source: SwapRefusal,
    },
    /// Nothing provides some of the flow's processors.
    #[error(
        "nothing provides {}: deploy a component for each (`weir deploy NAME FILE.wasm`), correct the name in the blueprint, or, for an \
             external program, add --external NAME",
        listed(.processors, *.more_count)
    )]
    Unserved {
        /// Which and why, up to 50.
        processors: Vec<Unserved>,
        /// The number of further ones.
        more_count: usize,
    },
    /// The flow is larger than the config service accepts in one write.
    #[error("the flow would have {processors_count} processors, too many for one configuration write: split the blueprint into several")]
    TooLarge {
        /// The number of entries that it would have.
        processors_count: usize,
        /// The exceeded limit.
        #[source]
        source: ConfigError,
    },
    /// A config value written by another program is not readable.
    #[error("the value of type `{config_type}` and key `{key}` in config is not readable: {problem}")]
    Unreadable {
        /// The value's type.
        config_type: String,
        /// Its key.
        key: String,
        /// The problem and the fix.
        problem: String,
    },
    /// Another flow service is running on this broker: stop it, or use another topicspace.
    #[error("another flow service holds {what}: stop it first, or choose another topicspace")]
    Held {
        /// The lock or the request queue.
        what: String,
    },
    /// The service has lost its lock: another one may hold it. Its pending operations were dropped.
    #[error("the lock of the flow service is lost")]
    LockLost {
        /// Why.
        #[source]
        source: PubsubError,
    },
    /// Another flow service leads: it has acquired the lock since. Nothing more was written, and the pending operations of this one were dropped.
    #[error("another flow service has taken over")]
    Fenced,
    /// The config service failed or cannot be reached.
    #[error("{action}")]
    Config {
        /// The operation.
        action: String,
        /// The error of the config service.
        #[source]
        source: ConfigError,
    },
    /// The same configuration was changed concurrently: this step changed nothing; check and retry.
    #[error("{what} was changed concurrently: check it and try again")]
    Changed {
        /// The object that was changed.
        what: String,
    },
    /// The flow still holds messages, and the stop was requested only without any: it keeps running.
    #[error("flow `{}` still holds {held}; it is not stopped: {}", .held.flow, .held.next_step())]
    NotEmpty {
        /// The number of messages, and where they are.
        held: HeldMessages,
    },
    /// The flow is too large to be removed from the configuration and restored in one write.
    #[error(
        "flow `{id}` is too large to be stopped without --discard: stop its senders and read its exits, then run `weir flow stop {id} \
             --discard`"
    )]
    TooLargeToRefuse {
        /// The flow.
        id: String,
        /// The exceeded limit.
        #[source]
        source: ConfigError,
    },
    /// The shutdown of the service interrupted a stop that may be refused: the flow keeps running.
    #[error("the flow service is shutting down; flow `{id}` was not stopped: repeat the command when the service is back")]
    StopCutOff {
        /// The flow.
        id: String,
    },
    /// An earlier start of this flow failed or was interrupted, and is still in the configuration.
    #[error("an earlier start of flow `{id}` failed")]
    LeftBehind {
        /// The flow.
        id: String,
    },
    /// A queue that an earlier stop left over may be read or hold messages, and the broker does not count its consumers: the flow is not started.
    #[error(
        "queue {queue} is left over from an earlier stop, may hold messages, and the broker does not count its consumers: stop its \
             consumers, empty or delete it with the broker's own tools, then start the flow again"
    )]
    LeftoverInUse {
        /// The queue.
        queue: String,
    },
    /// An operation failed, and could not be rolled back: the service will retry that.
    #[error("{failed}; its changes have not been rolled back yet: the flow service retries that every 30 s and when it starts")]
    NotUndone {
        /// Why the operation failed, with its causes.
        failed: String,
        /// Why it was not rolled back.
        #[source]
        source: Box<FlowError>,
    },
    /// The service is shutting down; pending operations continue when it is back.
    #[error("the flow service is shutting down; {what} continues when it is back")]
    ShuttingDown {
        /// The unfinished operation.
        what: String,
    },
    /// The flow service answered with an error: the request was invalid or could not be executed.
    #[error("{message}")]
    Answered {
        /// For programs: `bad-operation` or `flow-error`.
        kind: String,
        /// For people.
        message: String,
    },
    /// The response of the flow service is malformed.
    #[error("the answer of the flow service cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// A string is not a valid name.
    #[error("{what}")]
    Name {
        /// Where it occurs.
        what: String,
        /// The problem.
        #[source]
        source: NameError,
    },
    /// The broker failed.
    #[error("{action}")]
    Broker {
        /// The operation.
        action: String,
        /// The error of the broker.
        #[source]
        source: PubsubError,
    },
}

impl FlowError {
    /// Whether the same request may succeed later: the broker or the config service was unavailable.
    pub fn is_transient(&self) -> bool {
        match self {
            FlowError::Config { source, .. } => source.is_transient(),
            FlowError::Broker { source, .. } | FlowError::LockLost { source } => is_unanswered(source),
            FlowError::ShuttingDown { .. } => true,
            _ => false,
        }
    }

    /// For `map_err`: the config service failed at this action.
    pub(crate) fn config(action: impl Into<String>) -> impl FnOnce(ConfigError) -> FlowError {
        let action = action.into();
        move |source| FlowError::Config { action, source }
    }

    /// For `map_err` of conditional writes: a conflict means that the named object was changed concurrently.
    pub(crate) fn writing(what: impl Into<String>) -> impl FnOnce(ConfigError) -> FlowError {
        let what = what.into();
        move |source| match source {
            ConfigError::Conflict { .. } => FlowError::Changed { what },
            source => FlowError::Config { action: format!("writing {what}"), source },
        }
    }

    /// An operation failed, and rolling it back as well.
    pub(crate) fn not_undone(failed: &FlowError, source: FlowError) -> FlowError {
        FlowError::NotUndone { failed: chain(failed), source: Box::new(source) }
    }

    /// For `map_err`: the broker failed at this action.
    pub(crate) fn broker(action: impl Into<String>) -> impl FnOnce(PubsubError) -> FlowError {
        let action = action.into();
        move |source| FlowError::Broker { action, source }
    }

    /// For `map_err`: the named object is not a valid name.
    pub(crate) fn name(what: impl Into<String>) -> impl FnOnce(NameError) -> FlowError {
        let what = what.into();
        move |source| FlowError::Name { what, source }
    }
}

fn listed(processors: &[Unserved], more_count: usize) -> String {
    let more = (more_count > 0).then(|| format!("and {more_count} more"));
    processors.iter().map(Unserved::to_string).chain(more).collect::<Vec<_>>().join(", ")
}

/// Whether the broker did not answer at all, so that a retry may succeed.
pub(crate) fn is_unanswered(error: &PubsubError) -> bool {
    matches!(error, PubsubError::Unavailable { .. } | PubsubError::TimedOut { .. } | PubsubError::OutcomeUnknown { .. })
}
