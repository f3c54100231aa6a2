//! What a broker's error means.

use crate::error::PubsubError;
use crate::error_text::shown;
use crate::topic::{Queue, Topic};

/// What the broker answered in place of what was asked for: an error of the binary protocol.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Refusal {
    pub(super) kind: Kind,
    text: String,
}

/// What can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// There is no such topic, subscription, namespace or tenant.
    NotFound,
    /// A consumer holds it exclusively, or an exclusive one asks for what has others.
    Held,
    /// No right, a wrong token, something that the broker does not permit.
    Refused,
    /// The topic is above a bound that refuses messages.
    Full,
    /// A message is above the largest that a policy of its topic permits.
    TooLarge,
    /// A producer that suffers no other beside it has the topic: a deletion looks at it.
    Fenced,
    /// It may work later: the topic moves to another node, or the broker is starting.
    Passing,
}

impl Refusal {
    /// Of the number of an error and the broker's text.
    pub(super) fn of(error: i32, text: &str) -> Self {
        Refusal { kind: meaning(error, text), text: shown_long(text) }
    }

    /// As an error about a queue.
    pub(super) fn about(self, queue: &Queue) -> PubsubError {
        match self.kind {
            Kind::NotFound => PubsubError::no_queue(queue),
            Kind::Held => PubsubError::QueueHeld { queue: queue.clone() },
            _ => self.plain_in(&space(queue.topic())),
        }
    }

    /// As an error about a topic that is published on.
    pub(super) fn of_publishing(self, topic: &Topic) -> PubsubError {
        match self.kind {
            Kind::NotFound => PubsubError::no_queue_of(topic),
            Kind::Full => PubsubError::full(format!("a queue of {topic}"), None, None),
            _ => self.plain_in(&space(topic)),
        }
    }

    /// As an error about nothing in particular.
    pub(super) fn plain(self) -> PubsubError {
        self.plain_in(ANY_SPACE)
    }

    fn plain_in(self, space: &str) -> PubsubError {
        match self.kind {
            Kind::Refused | Kind::TooLarge => PubsubError::refused(format!("{}{}", self.text, fix(&self.text, space))),
            Kind::NotFound => PubsubError::refused(format!("{}; `weir init` creates the tenant and the namespaces", self.text)),
            Kind::Held | Kind::Full | Kind::Fenced | Kind::Passing => {
                let fix = storage_fix(&self.text);
                PubsubError::unavailable_because(format!("the broker refused for now{fix}"), self)
            }
        }
    }
}

/// What a text of the broker holds that cannot store messages, and what to do then.
const STORAGE: (&[&str], &str) = (
    &["non-faulty bookies", "Bookie operation", "BKNotEnoughBookies", "BKWriteException"],
    "the broker stores nothing: check its bookies and their disks (diskUsageThreshold)",
);

/// What a text of the broker holds that refuses for a policy or a right, and what to change then; SPACE is the namespace.
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

/// In place of a namespace that is not known.
pub(super) const ANY_SPACE: &str = "NAMESPACE";

/// What to change, where the text shows that: behind the text. `space` is the namespace that it is about.
pub(super) fn fix(text: &str, space: &str) -> String {
    let known = FIXES.iter().find(|(words, _)| words.iter().any(|word| text.contains(word)));
    known.map(|(_, fix)| format!("; {}", fix.replace("SPACE", space))).unwrap_or_default()
}

/// The same of what may pass by itself: where the broker cannot store messages.
pub(super) fn storage_fix(text: &str) -> String {
    let (words, fix) = STORAGE;
    if words.iter().any(|word| text.contains(word)) { format!("; {fix}") } else { String::new() }
}

fn space(topic: &Topic) -> String {
    format!("{}/{}", topic.topicspace(), topic.class())
}

/// Whether it refuses for a limit or a policy that a person has to change, in whatever error a broker puts that.
pub(super) fn is_of_policy(text: &str) -> bool {
    ["ncryption is required", "sub type", "max producers limit", "max consumers limit", "max same address", "xceed max", "xceed the max"]
        .iter()
        .any(|words| text.contains(words))
}

/// The meaning of `ServerError` and its text.
fn meaning(error: i32, text: &str) -> Kind {
    match error {
        _ if text.contains("aximum message size") => Kind::TooLarge,
        // MetadataError, ConsumerBusy, ProducerBusy, NotAllowed.
        1 | 5 | 16 | 22 if is_of_policy(text) => Kind::Refused,
        // MetadataError: brokers answer a lookup in a missing namespace so.
        1 if text.contains("not found") || text.contains("NotFound") => Kind::NotFound,
        3 | 4 => Kind::Refused,
        5 => Kind::Held,
        7 | 8 => Kind::Full,
        11 | 12 => Kind::NotFound,
        16 | 25 => Kind::Fenced,
        // UnsupportedVersion, TopicTerminated, InvalidTopicName, IncompatibleSchema, NotAllowed.
        10 | 15 | 17 | 18 | 22 => Kind::Refused,
        _ => Kind::Passing,
    }
}

/// What stands for a text that is empty.
pub(super) const NO_REASON: &str = "no reason given";
/// Characters of a text that are shown: of a longer one its beginning and its end, where the reason is.
const SHOWN_COUNT: usize = 300;
const END_COUNT: usize = 200;

/// A text of the broker: the first line, since stack traces follow.
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
            (11, "Topic does not exist", Kind::NotFound),
            (12, "Subscription does not exist", Kind::NotFound),
            (5, "Exclusive consumer is already connected", Kind::Held),
            (8, "Cannot create producer on topic with backlog quota exceeded", Kind::Full),
            (4, "Client is not authorized to Produce", Kind::Refused),
            (22, "Partitioned topic is not allowed", Kind::Refused),
            (6, "Topic is temporarily unavailable", Kind::Passing),
            (1, "Namespace not found", Kind::NotFound),
            (1, "Encryption is required in persistent://tg/flow/a", Kind::Refused),
            (5, "Topic reached max consumers limit", Kind::Refused),
            (16, "Topic reached max producers limit", Kind::Refused),
            (16, "Producer with name 'a' is already connected to topic", Kind::Fenced),
            (22, "Exceed maximum message size", Kind::TooLarge),
        ];
        for (error, text, kind) in cases {
            assert_eq!(Refusal::of(error, text).kind, kind, "{text}");
        }
    }

    #[test]
    fn each_fix_is_that_of_its_reason_and_names_the_namespace() {
        let topic: Topic = "flow:tg:a".parse().expect("a topic");
        let told = |error: i32, text: &str| crate::error_text::chain(&Refusal::of(error, text).of_publishing(&topic));
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
