//! Classification of a broker's errors.

use crate::error::PubsubError;
use crate::error_text::shown;
use crate::topic::{Queue, Topic};

/// An error of the binary protocol in response to a command.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct BrokerError {
    pub(super) kind: BrokerErrorKind,
    text: String,
}

/// The kind of error, by what can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BrokerErrorKind {
    /// The topic, subscription, namespace or tenant does not exist.
    NotFound,
    /// A consumer holds it exclusively, or an exclusive consumer was requested and it has others.
    Held,
    /// No permission, a wrong token, or something that the broker does not allow.
    Refused,
    /// The topic is above a bound that refuses messages.
    Full,
    /// A message is larger than a policy of its topic allows.
    TooLarge,
    /// The topic has an exclusive producer: a deletion is inspecting it.
    Fenced,
    /// A retry may succeed: the topic moves to another node, or the broker is starting.
    Passing,
}

impl BrokerError {
    /// Classifies an error by its code and the broker's text.
    pub(super) fn of(error: i32, text: &str) -> Self {
        BrokerError { kind: meaning(error, text), text: shown_long(text) }
    }

    /// Converts it to an error about a queue.
    pub(super) fn about(self, queue: &Queue) -> PubsubError {
        match self.kind {
            BrokerErrorKind::NotFound => PubsubError::no_queue(queue),
            BrokerErrorKind::Held => PubsubError::QueueHeld { queue: queue.clone() },
            _ => self.plain_in(&space(queue.topic())),
        }
    }

    /// Converts it to an error about a topic that is published on.
    pub(super) fn of_publishing(self, topic: &Topic) -> PubsubError {
        match self.kind {
            BrokerErrorKind::NotFound => PubsubError::no_queue_of(topic),
            BrokerErrorKind::Full => PubsubError::full(format!("a queue of {topic}"), None, None),
            _ => self.plain_in(&space(topic)),
        }
    }

    /// Converts it to an error without a queue or topic.
    pub(super) fn plain(self) -> PubsubError {
        self.plain_in(ANY_SPACE)
    }

    fn plain_in(self, space: &str) -> PubsubError {
        match self.kind {
            BrokerErrorKind::Refused | BrokerErrorKind::TooLarge => {
                PubsubError::refused(format!("{}{}", self.text, fix(&self.text, space)))
            }
            BrokerErrorKind::NotFound => PubsubError::refused(format!("{}; `weir init` creates the tenant and the namespaces", self.text)),
            BrokerErrorKind::Held | BrokerErrorKind::Full | BrokerErrorKind::Fenced | BrokerErrorKind::Passing => {
                let fix = storage_fix(&self.text);
                PubsubError::unavailable_because(format!("the broker refused for now{fix}"), self)
            }
        }
    }
}

/// Phrases in the text of a broker that cannot store messages, and the fix.
const STORAGE: (&[&str], &str) = (
    &["non-faulty bookies", "Bookie operation", "BKNotEnoughBookies", "BKWriteException"],
    "the broker stores nothing: check its bookies and their disks (diskUsageThreshold)",
);

/// Phrases in the text of a refusal due to a policy or permission, and the fix; SPACE is the namespace.
const FIXES: &[(&[&str], &str)] = &[
    STORAGE,
    (
        &["SchemaValidation", "IncompatibleSchema", "ncompatible schema", "a schema"],
        "the topic has a schema that does not permit plain bytes: delete it (pulsar-admin schemas delete), or run pulsar-admin namespaces \
         set-schema-validation-enforce SPACE --disable",
    ),
    (&["ncryption is required"], "Weir does not encrypt messages: run pulsar-admin namespaces set-encryption-required SPACE --disable"),
    (&["sub type"], "Weir needs all types of subscriptions: run pulsar-admin namespaces remove-subscription-types-enabled SPACE"),
    (&["max producers limit"], "raise maxProducersPerTopic, or run pulsar-admin namespaces remove-max-producers-per-topic SPACE"),
    (
        &["ubscription reached max consumers"],
        "raise maxConsumersPerSubscription, or run pulsar-admin namespaces remove-max-consumers-per-subscription SPACE",
    ),
    (&["max consumers limit"], "raise maxConsumersPerTopic, or run pulsar-admin namespaces remove-max-consumers-per-topic SPACE"),
    (&["max same address"], "raise maxSameAddressProducersPerTopic and maxSameAddressConsumersPerTopic in broker.conf"),
    (
        &["maximum number of subscriptions"],
        "raise maxSubscriptionsPerTopic, or run pulsar-admin namespaces remove-max-subscriptions-per-topic SPACE",
    ),
    (&["maximum number of topics"], "raise maxTopicsPerNamespace, or run pulsar-admin namespaces remove-max-topics-per-namespace SPACE"),
    (&["aximum message size"], "raise maxMessageSize: pulsar-admin topicPolicies remove-max-message-size"),
    (&["artition"], "it exists as a partitioned topic: delete it, or choose another name"),
    (
        &["configured retention quota"],
        "the limit of an exit or of the dead-letter queue is above the retention of the namespace: run pulsar-admin namespaces \
         remove-retention SPACE",
    ),
    (&["uthoriz"], "the role of the token lacks permission: make it an administrator of the tenant (docs/pulsar.md lists the rights)"),
    (&["uthentic"], "check the token of broker.token-file: it is missing, wrong or has expired"),
];

/// Used if the namespace is unknown.
pub(super) const ANY_SPACE: &str = "NAMESPACE";

/// The fix, appended to the text, if the text identifies the problem. `space` is the namespace concerned.
pub(super) fn fix(text: &str, space: &str) -> String {
    let known = FIXES.iter().find(|(words, _)| words.iter().any(|word| text.contains(word)));
    known.map(|(_, fix)| format!("; {}", fix.replace("SPACE", space))).unwrap_or_default()
}

/// The same for an error that may pass: the broker cannot store messages.
pub(super) fn storage_fix(text: &str) -> String {
    let (words, fix) = STORAGE;
    if words.iter().any(|word| text.contains(word)) { format!("; {fix}") } else { String::new() }
}

fn space(topic: &Topic) -> String {
    format!("{}/{}", topic.topicspace(), topic.class())
}

/// Whether it is a refusal due to a limit or a policy that an operator must change, whatever error code a broker uses.
pub(super) fn is_of_policy(text: &str) -> bool {
    ["ncryption is required", "sub type", "max producers limit", "max consumers limit", "max same address", "xceed max", "xceed the max"]
        .iter()
        .any(|words| text.contains(words))
}

/// The meaning of `ServerError` and its text.
fn meaning(error: i32, text: &str) -> BrokerErrorKind {
    match error {
        _ if text.contains("aximum message size") => BrokerErrorKind::TooLarge,
        // MetadataError, ConsumerBusy, ProducerBusy, NotAllowed.
        1 | 5 | 16 | 22 if is_of_policy(text) => BrokerErrorKind::Refused,
        // MetadataError: the response to a lookup in a missing namespace.
        1 if text.contains("not found") || text.contains("NotFound") => BrokerErrorKind::NotFound,
        3 | 4 => BrokerErrorKind::Refused,
        5 => BrokerErrorKind::Held,
        7 | 8 => BrokerErrorKind::Full,
        11 | 12 => BrokerErrorKind::NotFound,
        16 | 25 => BrokerErrorKind::Fenced,
        // UnsupportedVersion, TopicTerminated, InvalidTopicName, IncompatibleSchema, NotAllowed.
        10 | 15 | 17 | 18 | 22 => BrokerErrorKind::Refused,
        _ => BrokerErrorKind::Passing,
    }
}

/// The replacement for an empty text.
pub(super) const NO_REASON: &str = "no reason given";
/// The maximum number of characters displayed; of a longer text, its beginning and its end, which has the reason.
const SHOWN_COUNT: usize = 300;
const END_COUNT: usize = 200;

/// The text of a broker, limited to its first line, since stack traces follow.
pub(super) fn shown_long(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or(NO_REASON);
    let count = line.chars().count();
    if count <= SHOWN_COUNT {
        return line.to_owned();
    }
    let end = line.chars().skip(count - END_COUNT).flat_map(char::escape_default);
    format!("{} ... {}", shown(line), end.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read() {
        let cases = [
            (11, "Topic does not exist", BrokerErrorKind::NotFound),
            (12, "Subscription does not exist", BrokerErrorKind::NotFound),
            (5, "Exclusive consumer is already connected", BrokerErrorKind::Held),
            (8, "Cannot create producer on topic with backlog quota exceeded", BrokerErrorKind::Full),
            (4, "Client is not authorized to Produce", BrokerErrorKind::Refused),
            (22, "Partitioned topic is not allowed", BrokerErrorKind::Refused),
            (6, "Topic is temporarily unavailable", BrokerErrorKind::Passing),
            (1, "Namespace not found", BrokerErrorKind::NotFound),
            (1, "Encryption is required in persistent://tg/flow/a", BrokerErrorKind::Refused),
            (5, "Topic reached max consumers limit", BrokerErrorKind::Refused),
            (16, "Topic reached max producers limit", BrokerErrorKind::Refused),
            (16, "Producer with name 'a' is already connected to topic", BrokerErrorKind::Fenced),
            (22, "Exceed maximum message size", BrokerErrorKind::TooLarge),
        ];
        for (error, text, kind) in cases {
            assert_eq!(BrokerError::of(error, text).kind, kind, "{text}");
        }
    }

    #[test]
    fn each_fix_is_that_of_its_reason_and_names_the_namespace() {
        let topic: Topic = "flow:tg:a".parse().expect("a topic");
        let told = |error: i32, text: &str| crate::error_text::chain(&BrokerError::of(error, text).of_publishing(&topic));
        let cases = [
            (4, "Client is not authorized to Produce", "administrator of the tenant", "broker.token-file"),
            (3, "Failed to authenticate", "broker.token-file", "administrator"),
            (22, "Encryption is required in persistent://tg/flow/a", "set-encryption-required tg/flow --disable", "SPACE"),
            (2, "ManagedLedgerException: Not enough non-faulty bookies available", "diskUsageThreshold", "SPACE"),
        ];
        for (error, text, words, never) in cases {
            let told = told(error, text);
            assert!(told.contains(words) && !told.contains(never), "{text}: {told}");
        }
        let retention = fix("Backlog Quota exceeds configured retention quota for topic", "tg/flow");
        assert!(retention.ends_with("remove-retention tg/flow"), "{retention}");
    }

    #[test]
    fn only_the_first_line_of_a_text_is_shown() {
        assert_eq!(shown_long("\n one\n\tat java.lang"), "one");
        assert_eq!(shown_long(""), "no reason given");
        assert!(shown_long(&"x".repeat(10_000)).len() < 400);
        let long = format!("java.util.Completion{}: Not enough non-faulty bookies", "x".repeat(1_000));
        let shown = shown_long(&long);
        assert!(shown.starts_with("java.util.") && shown.ends_with(": Not enough non-faulty bookies"), "{shown}");
    }
}
