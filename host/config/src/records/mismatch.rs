//! Reasons why an entry does not fit its component, for callers to match on.

use std::sync::Arc;

use weir_pubsub::{NameError, Topic, chain, names};

use super::descriptor::ValueError;

/// Why an entry does not fit its component: all faults at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(|mismatch| chain(mismatch)).collect::<Vec<_>>().join("; "))]
pub struct Unfit(pub(super) Vec<Mismatch>);

impl Unfit {
    /// The faults; at least one.
    pub fn mismatches(&self) -> &[Mismatch] {
        &self.0
    }
}

/// One fault of an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The component requires a grant that its deployment does not give.
    #[error("the component requires the grant `{grant}`, which its deployment does not have")]
    MissingGrant {
        /// Which.
        grant: String,
    },
    /// The entry has no topic of a name that the component uses.
    #[error("the flow assigns no topic to {what} `{name}`: add it to the processor's `topics` in the blueprint")]
    MissingTopic {
        /// How the component uses it, for people.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A topic of the entry is invalid.
    #[error("topic `{name}`")]
    NotATopic {
        /// The topic's name in the entry.
        name: String,
        /// The problem.
        #[source]
        source: NameError,
    },
    /// An input reads a topic of a class without queues.
    #[error("input `{input}` reads {topic}: only flow and request topics have queues")]
    InputWithoutQueue {
        /// The input.
        input: String,
        /// Its inputs.
        topic: Topic,
    },
    /// The name of an input's queue is invalid.
    #[error("input `{input}`")]
    InputQueue {
        /// The input.
        input: String,
        /// The problem with the name.
        #[source]
        source: NameError,
    },
    /// Responses would be read from a topic of another class.
    #[error("topic `{name}` is {topic}: answers require a response topic")]
    OtherThanResponse {
        /// The topic's name in the entry.
        name: String,
        /// The value.
        topic: Topic,
    },
    /// The entry has a topic that the component does not use.
    #[error(
        "topic `{name}` is neither an input nor an output of the component (inputs: {}; outputs: {})",
        listed(.inputs),
        listed(.outputs)
    )]
    UnknownTopic {
        /// The topic's name in the entry.
        name: String,
        /// The inputs of the component.
        inputs: Arc<[String]>,
        /// Its outputs.
        outputs: Arc<[String]>,
    },
    /// A parameter has an invalid value.
    #[error("parameter `{parameter}`")]
    Value {
        /// The parameter.
        parameter: String,
        /// The problem with the value.
        #[source]
        source: ValueError,
    },
    /// A required parameter has no value.
    #[error("parameter `{parameter}` is required and not set: set it in the processor's `parameters`")]
    MissingParameter {
        /// The parameter.
        parameter: String,
    },
}

fn listed(list: &[String]) -> String {
    names(list.iter().map(String::as_str))
}
