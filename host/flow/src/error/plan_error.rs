//! Why a start or a swap is refused, for callers to match on. The errors that contain it, [`crate::FlowError::Plan`] and [`crate::FlowError::Swap`],
//! have the place.

use weir_config::records::{Unfit, ValueError};
use weir_pubsub::{NameError, Queue, Topic, names};

use crate::naming::shown;

/// Why a flow cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanRefusal {
    /// A variant or spec name is invalid.
    #[error("{problem}")]
    Name {
        /// The problem and the fix.
        problem: String,
    },
    /// The name of a topic, subscription or queue is invalid.
    #[error(transparent)]
    WireName(#[from] NameError),
    /// A variant or topic contains a variable without a value.
    #[error("{what} `{}` contains {{{}}}, which is undefined: give a parameter of that name a value", shown(.template), shown(.variable))]
    Undefined {
        /// `the variant` or `the topic`.
        what: &'static str,
        /// The template in the blueprint.
        template: String,
        /// The variable.
        variable: String,
    },
    /// Two processors of the blueprint have the same entry.
    #[error("has the same entry (variant `{}`) as {other}: give one of them another variant", shown(.variant))]
    SameEntry {
        /// The variant of both.
        variant: String,
        /// Where the other processor is.
        other: String,
    },
    /// Two topics of a processor have the same spec name.
    #[error("two topics have the same spec name: rename one of them")]
    SameSpec,
    /// The blueprint names a component that is not deployed.
    #[error(transparent)]
    NotDeployed(#[from] NotDeployed),
    /// The component of an entry that other flows use was removed.
    #[error("its component `{}` is no longer deployed: deploy it again", shown(.key))]
    ComponentGone {
        /// The key of its deployment.
        key: String,
    },
    /// A deployment was recorded under a key without a version.
    #[error("the deployment `{}` has no version: deploy it as NAME@VERSION", shown(.key))]
    WithoutVersion {
        /// The key.
        key: String,
    },
    /// The component does not accept the value of a parameter.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// The same, probably because a parameter of the flow has no value.
    #[error("{error}: the flow's parameter `{}` has no value and no default; give it a value", shown(.parameter))]
    OpenValue {
        /// Why the value is not accepted.
        error: ValueError,
        /// The parameter of the flow.
        parameter: String,
    },
    /// The component requires a parameter that the blueprint does not give.
    #[error("the component requires it: give it in the processor's `parameters`")]
    MissingParameter,
    /// The processor requires a topic that the blueprint does not give.
    #[error("is missing, and the processor {why}: add it to the processor's `topics`")]
    MissingTopic {
        /// What the processor needs it for.
        why: &'static str,
    },
    /// The processor would consume the requests to a service.
    #[error(
        "consumes `{topic}`, which only the {name} service may read: consume another topic. A processor may send requests to `{topic}` and \
         read `response:{space}:{name}` and `notify:{space}:{name}`",
        name = .topic.name(), space = .topic.topicspace()
    )]
    ReadsRequests {
        /// The topic of the requests.
        topic: Topic,
    },
    /// The flow would change a topic or parameter of an entry that other flows use.
    #[error(
        "other flows use this entry with {}, and this flow would change it to {}: use the same value, or add {{id}} to the variant",
        quoted(.there),
        quoted(.wanted)
    )]
    SharedEntry {
        /// Its current value; `None` if the entry has none.
        there: Option<String>,
        /// The value that this flow would set.
        wanted: Option<String>,
    },
    /// Two inputs or exits would share a queue.
    #[error("would share the queue {queue} with {other}: give one of them another topic or variant")]
    SharedQueue {
        /// The queue.
        queue: Queue,
        /// Where the other one is.
        other: String,
    },
}

/// Why a component cannot be swapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SwapRefusal {
    /// The flow is being stopped.
    #[error("the flow is stopping and can no longer be swapped")]
    Stopping,
    /// Another operation on the flow is in progress.
    #[error("the flow is in transition: wait until it is running, then swap")]
    BetweenStates,
    /// The flow has no processor with this name.
    #[error("the flow has no such processor; it has {}", listed(.known))]
    UnknownProcessor {
        /// The existing ones.
        known: Vec<String>,
    },
    /// The flow has several entries of the processor.
    #[error("the flow has several: use one of {}", listed(.known))]
    SeveralProcessors {
        /// Their names with the variants.
        known: Vec<String>,
    },
    /// The component is not deployed.
    #[error(transparent)]
    NotDeployed(#[from] NotDeployed),
    /// The component was removed meanwhile.
    #[error("the component `{key}` is no longer deployed: deploy it again")]
    ComponentGone {
        /// The key of its deployment.
        key: String,
    },
    /// The entry was deleted or cannot be read.
    #[error("its entry (variant `{}`) is missing or unreadable: start the flow again", shown(.variant))]
    EntryGone {
        /// The key of the entry.
        variant: String,
    },
    /// Other flows use the entry, and the order does not include them.
    #[error("its entry is shared with other flows ({}): add --shared to swap it in all of them", listed(.flows))]
    Shared {
        /// The other flows.
        flows: Vec<String>,
    },
    /// The component was built against another version of the contract.
    #[error("it was built against weir:processor {}; hosts serve 0.1.x: rebuild it against that version", shown(.world))]
    OtherContract {
        /// The version.
        world: String,
    },
    /// The entry does not fit the component.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The component does not read an input of the flow.
    #[error("it does not have the input `{input}`, which the flow uses (it has {}): swap to one that does", listed(.reads))]
    UnreadInput {
        /// The input.
        input: String,
        /// The inputs of the component.
        reads: Vec<String>,
    },
    /// The component has an input that the flow does not use.
    #[error("it has the input `{input}`, which this flow does not use: swap to one without it, or start a flow for it")]
    OtherInput {
        /// The input.
        input: String,
    },
}

/// A component that is not deployed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not deployed (deployed: {}): deploy it, or choose another", shown(.reference), deployed(.known))]
pub struct NotDeployed {
    /// The reference as given: `NAME@VERSION` or `NAME`.
    pub reference: String,
    /// Deployments of the same name, 20 at most.
    pub known: Vec<String>,
}

fn deployed(known: &[String]) -> String {
    if known.is_empty() { "none of that name".to_owned() } else { known.join(", ") }
}

fn listed(list: &[String]) -> String {
    names(list.iter().map(String::as_str))
}

fn quoted(value: &Option<String>) -> String {
    value.as_ref().map_or_else(|| "none".to_owned(), |value| format!("`{}`", shown(value)))
}
