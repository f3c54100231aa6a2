//! The names that several crates build or parse: topics, subscriptions, config types and their keys. Only this file defines them; `docs/wire.md`
//! lists them.

use weir_pubsub::{Class, LockName, NameError, Queue, Subscription, Topic};

/// The config type of deployments; the key is [`deployment_key`].
pub const COMPONENT_TYPE: &str = "component";
/// The config type of blueprints; the key is the blueprint's name.
pub const BLUEPRINT_TYPE: &str = "flow-blueprint";
/// The config type of flows; the key is the flow's id.
pub const FLOW_TYPE: &str = "flow";
/// The config type of parameter types; the key is the `type` of a blueprint's parameter.
pub const PARAMETER_TYPE: &str = "parameter-type";
/// The config type with which external programs declare what they consume; the key is the processor's name.
pub const DESCRIPTOR_TYPE: &str = "descriptor";
/// The config type of queues that could not be deleted yet; the key is the queue's name on the wire.
pub const LEFTOVER_TYPE: &str = "leftover";
/// The config type of queues that the flow service created; the key is the queue's name on the wire.
pub const QUEUE_MADE_TYPE: &str = "queue-made";
/// The config type of the flow service itself; the keys are [`LEADER_KEY`] and [`DONE_KEY`].
pub const FLOW_SERVICE_TYPE: &str = "flow-service";
/// The id of the flow service that may write: a condition of each of its writes. Each new holder of the lock writes its own.
pub const LEADER_KEY: &str = "leader";
/// The ids of completed requests to stop a flow, oldest first: a redelivered request is answered from these.
pub const DONE_KEY: &str = "done";
/// The prefix of the config types of entries.
pub const ENTRY_TYPE_PREFIX: &str = "processor:";

/// The name of the dead-letter topic (class `flow`).
const DEAD_LETTERS_TOPIC_NAME: &str = "weir-dead-letters";
/// The only subscription of that topic.
const DEAD_LETTERS_SUBSCRIPTION: &str = "weir";
/// The name of the topics of host reports: summaries on class `notify`, details on class `response`.
const STATUS_TOPIC_NAME: &str = "weir-status";
/// The name of the topic (class `notify`) for requests for details of hosts.
const STATUS_ASK_TOPIC_NAME: &str = "weir-ask";

/// The separator of the parts of a subscription.
const SEPARATOR: &str = "--";
/// The placeholder for the processor in the subscription of an exit.
const EXIT_READER: &str = "gateway";

/// A service that answers requests on its own topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    name: &'static str,
    subscription: &'static str,
}

/// The config service.
pub const CONFIG_SERVICE: Service = Service { name: "config", subscription: "config-svc" };
/// The flow service.
pub const FLOW_SERVICE: Service = Service { name: "flow", subscription: "flow-svc" };

impl Service {
    /// Its name, which is also that of its topics.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The queue of requests to it: `request:TOPICSPACE:NAME`.
    ///
    /// # Errors
    /// If the topicspace is invalid.
    pub fn requests(self, topicspace: &str) -> Result<Queue, NameError> {
        Queue::new(Topic::new(Class::Request, topicspace, self.name)?, self.subscription.parse()?)
    }

    /// The lock of the service, which one process holds at a time.
    ///
    /// # Errors
    /// If the topicspace is invalid.
    pub fn lock(self, topicspace: &str) -> Result<LockName, NameError> {
        LockName::new(self.name, topicspace)
    }

    /// The topic of its answers: `response:TOPICSPACE:NAME`.
    ///
    /// # Errors
    /// If the topicspace is invalid.
    pub fn responses(self, topicspace: &str) -> Result<Topic, NameError> {
        Topic::new(Class::Response, topicspace, self.name)
    }

    /// The topic on which it publishes changes: `notify:TOPICSPACE:NAME`.
    ///
    /// # Errors
    /// If the topicspace is invalid.
    pub fn notifies(self, topicspace: &str) -> Result<Topic, NameError> {
        Topic::new(Class::Notify, topicspace, self.name)
    }
}

/// Whether this is the request topic of a config or flow service in any topicspace.
pub fn is_request_topic_of_service(topic: &Topic) -> bool {
    topic.class() == Class::Request && [CONFIG_SERVICE, FLOW_SERVICE].iter().any(|service| service.name == topic.name())
}

/// The dead-letter queue: `flow:TOPICSPACE:weir-dead-letters`.
///
/// # Errors
/// If the topicspace is invalid.
pub fn dead_letters(topicspace: &str) -> Result<Queue, NameError> {
    Queue::new(Topic::new(Class::Flow, topicspace, DEAD_LETTERS_TOPIC_NAME)?, DEAD_LETTERS_SUBSCRIPTION.parse()?)
}

/// Whether a topic string is that of dead letters in any topicspace.
pub fn is_dead_letters(topic: &str) -> bool {
    topic.parse::<Topic>().is_ok_and(|topic| topic.class() == Class::Flow && topic.name() == DEAD_LETTERS_TOPIC_NAME)
}

/// The queues of a topicspace that belong to services instead of flows.
///
/// # Errors
/// If the topicspace is invalid.
pub fn service_queues(topicspace: &str) -> Result<[Queue; 3], NameError> {
    Ok([CONFIG_SERVICE.requests(topicspace)?, FLOW_SERVICE.requests(topicspace)?, dead_letters(topicspace)?])
}

/// The topic on which hosts publish their summaries: `notify:TOPICSPACE:weir-status`.
///
/// # Errors
/// If the topicspace is invalid.
pub fn status_summaries(topicspace: &str) -> Result<Topic, NameError> {
    Topic::new(Class::Notify, topicspace, STATUS_TOPIC_NAME)
}

/// The topic on which hosts publish requested details: `response:TOPICSPACE:weir-status`.
///
/// # Errors
/// If the topicspace is invalid.
pub fn status_details(topicspace: &str) -> Result<Topic, NameError> {
    Topic::new(Class::Response, topicspace, STATUS_TOPIC_NAME)
}

/// The topic for requests for details: `notify:TOPICSPACE:weir-ask`.
///
/// # Errors
/// If the topicspace is invalid.
pub fn status_asks(topicspace: &str) -> Result<Topic, NameError> {
    Topic::new(Class::Notify, topicspace, STATUS_ASK_TOPIC_NAME)
}

/// The subscription of one input of a processor, or for the answers of one service that it sends requests to: `PROCESSOR--VARIANT--SPEC`.
///
/// # Errors
/// If a name contains an invalid character.
pub fn processor_subscription(processor: &str, variant: &str, spec: &str) -> Result<Subscription, NameError> {
    processor_subscription_text(processor, variant, spec).parse()
}

/// The same as an unchecked string, for records written by other programs.
pub fn processor_subscription_text(processor: &str, variant: &str, spec: &str) -> String {
    [processor, variant, spec].join(SEPARATOR)
}

/// The spec name in a subscription; `None` if it is not a subscription of this processor and variant.
pub fn spec_of_subscription<'s>(subscription: &'s str, processor: &str, variant: &str) -> Option<&'s str> {
    let rest = subscription.strip_prefix(processor)?.strip_prefix(SEPARATOR)?;
    rest.strip_prefix(variant)?.strip_prefix(SEPARATOR).filter(|spec| !spec.is_empty())
}

/// The processor and the variant of a subscription that no entry defines: split at the first and the last separator, which is wrong if a processor's
/// name or a spec name contains one.
pub fn parts_of_subscription(subscription: &str) -> Option<(&str, &str)> {
    let (processor, rest) = subscription.split_once(SEPARATOR)?;
    let (variant, _) = rest.rsplit_once(SEPARATOR)?;
    Some((processor, variant))
}

/// The subscription of the exit queue of an interface: `gateway--FLOW--INTERFACE`.
///
/// # Errors
/// If a name contains an invalid character.
pub fn exit_subscription(flow: &str, interface: &str) -> Result<Subscription, NameError> {
    processor_subscription(EXIT_READER, flow, interface)
}

/// The interface to whose exit a subscription belongs; `None` if it is not an exit of this flow.
pub fn interface_of_exit<'s>(subscription: &'s str, flow: &str) -> Option<&'s str> {
    spec_of_subscription(subscription, EXIT_READER, flow)
}

/// The config type of a processor's entries: `processor:PROCESSOR`; the key is the variant.
pub fn entry_type(processor: &str) -> String {
    format!("{ENTRY_TYPE_PREFIX}{processor}")
}

/// The processor of a config type of entries.
pub fn processor_of_entry_type(config_type: &str) -> Option<&str> {
    config_type.strip_prefix(ENTRY_TYPE_PREFIX).filter(|name| !name.is_empty())
}

/// The name of an entry in requests if a flow has several of one processor: `PROCESSOR:VARIANT`.
pub fn entry_name(processor: &str, variant: &str) -> String {
    format!("{processor}:{variant}")
}

/// The config key of a deployment: `NAME@VERSION`.
pub fn deployment_key(name: &str, version: &str) -> String {
    format!("{name}@{version}")
}

/// The name and the version of a deployment's key.
pub fn parts_of_deployment_key(key: &str) -> Option<(&str, &str)> {
    key.rsplit_once('@')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn queue(queue: &Queue) -> String {
        format!("{} {}", queue.topic(), queue.subscription())
    }

    #[test]
    fn names_are_those_of_the_wire() {
        let queues = service_queues("tg").unwrap();
        assert_eq!(
            queues.iter().map(queue).collect::<Vec<_>>(),
            ["request:tg:config config-svc", "request:tg:flow flow-svc", "flow:tg:weir-dead-letters weir"]
        );
        let topics = [
            CONFIG_SERVICE.responses("tg"),
            CONFIG_SERVICE.notifies("tg"),
            FLOW_SERVICE.responses("tg"),
            status_summaries("tg"),
            status_details("tg"),
            status_asks("tg"),
        ];
        assert_eq!(
            topics.map(|topic| topic.unwrap().to_string()),
            [
                "response:tg:config",
                "notify:tg:config",
                "response:tg:flow",
                "notify:tg:weir-status",
                "response:tg:weir-status",
                "notify:tg:weir-ask"
            ]
        );
        let locks = [CONFIG_SERVICE, FLOW_SERVICE].map(|service| service.lock("tg").unwrap().to_string());
        assert_eq!(locks, ["weir.lock.config.tg", "weir.lock.flow.tg"]);
        assert_eq!(processor_subscription("p", "v", "input").unwrap().as_str(), "p--v--input");
        assert_eq!(exit_subscription("one", "out").unwrap().as_str(), "gateway--one--out");
        assert_eq!((entry_type("p"), entry_name("p", "v")), ("processor:p".to_owned(), "p:v".to_owned()));
        assert_eq!(deployment_key("p", "1.0.0"), "p@1.0.0");
        for wrong in [service_queues("a.b").is_err(), status_summaries("").is_err(), processor_subscription("p", "v", "*").is_err()] {
            assert!(wrong);
        }
    }

    #[test]
    fn names_round_trip_through_strings() {
        let topic = |text: &str| text.parse::<Topic>().unwrap();
        for (text, is_service) in
            [("request:tg:config", true), ("request:x:flow", true), ("request:tg:flows", false), ("flow:tg:flow", false)]
        {
            assert_eq!(is_request_topic_of_service(&topic(text)), is_service, "{text}");
        }
        let letters = ["flow:tg:weir-dead-letters", "notify:tg:weir-dead-letters", "flow:tg:my:weir-dead-letters", "weir-dead-letters"];
        assert_eq!(letters.map(is_dead_letters), [true, false, false, false]);
        let spec = |text| spec_of_subscription(text, "p--q", "v");
        assert_eq!((spec("p--q--v--a--b"), spec("p--q--v--"), spec("p--q--w--a"), spec("p--v--a")), (Some("a--b"), None, None, None));
        assert_eq!(parts_of_subscription("p--v--w--input"), Some(("p", "v--w")));
        assert_eq!((parts_of_subscription("p--v"), parts_of_subscription("weir")), (None, None));
        assert_eq!((interface_of_exit("gateway--one--out", "one"), interface_of_exit("gateway--one--out", "two")), (Some("out"), None));
        assert_eq!((processor_of_entry_type("processor:p"), processor_of_entry_type("processor:")), (Some("p"), None));
        assert_eq!(parts_of_deployment_key("p@1.0.0"), Some(("p", "1.0.0")));
    }
}
