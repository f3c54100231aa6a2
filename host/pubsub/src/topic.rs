//! Topics, their classes, and the queues that subscriptions create.
//!
//! The class alone determines how a topic is stored, shared and cleaned up; there is no "consumer type".

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use crate::error_text::shown;

/// The maximum length of a queue name on the wire ([`Queue::wire_name`]), in bytes: the limit of AMQP 0-9-1's short strings.
pub(crate) const MAX_QUEUE_NAME_BYTES: usize = 255;

/// How a topic is stored, shared and cleaned up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Durable; one consumer of each subscription gets a message; the flow service creates and deletes the queue.
    Flow,
    /// Not durable; one consumer of each subscription gets a message; created and deleted like `flow`.
    Request,
    /// Not durable; every subscriber gets a message; its queue exists as long as the subscriber.
    Response,
    /// As `response`, for notifications instead of answers.
    Notify,
}

impl Class {
    /// All classes, in the order of the wire document.
    pub const ALL: [Class; 4] = [Class::Flow, Class::Request, Class::Response, Class::Notify];

    /// The class's name, as in `class:topicspace:name`.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Flow => "flow",
            Class::Request => "request",
            Class::Response => "response",
            Class::Notify => "notify",
        }
    }

    /// Whether messages survive a restart of the broker.
    pub fn is_durable(self) -> bool {
        self == Class::Flow
    }

    /// Whether consumers of one subscription share an existing queue, as opposed to each having its own.
    pub fn has_queues(self) -> bool {
        matches!(self, Class::Flow | Class::Request)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a string is not a valid topic, subscription or queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Not of the form `class:topicspace:name`.
    #[error("`{text}` is not a topic: write it as class:topicspace:name, for example flow:tg:text-load:default")]
    NotATopic {
        /// The given string, truncated.
        text: String,
    },
    /// A class that does not exist.
    #[error("topic `{text}` has the unknown class `{class}`: it must be flow, request, response or notify")]
    UnknownClass {
        /// The given string, truncated.
        text: String,
        /// The given class, truncated.
        class: String,
    },
    /// A character that is not allowed in names.
    #[error("{what} `{text}` contains {character:?}, which is not allowed there")]
    BadCharacter {
        /// The kind of name.
        what: &'static str,
        /// The given string, truncated, control characters escaped.
        text: String,
        /// The offending character.
        character: char,
    },
    /// An empty name.
    #[error("{what} must not be empty")]
    Empty {
        /// The kind of name.
        what: &'static str,
    },
    /// A queue whose name on the wire is too long.
    #[error(
        "the queue name `{text}...` has {actual_bytes} bytes; the limit is {MAX_QUEUE_NAME_BYTES}: shorten the topic, the processor's name or its variant"
    )]
    TooLong {
        /// The beginning of the name.
        text: String,
        /// The actual length in bytes.
        actual_bytes: usize,
    },
}

fn check_characters(what: &'static str, text: &str, forbidden: &[char]) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    match text.chars().find(|c| c.is_control() || forbidden.contains(c)) {
        Some(character) => Err(NameError::BadCharacter { what, text: shown(text), character }),
        None => Ok(()),
    }
}

/// A topic identifier, `class:topicspace:name`, split at the first two colons only: names may contain `:` but not `*` or `#`.
///
/// Cloning is cheap.
#[derive(Clone)]
pub struct Topic {
    text: Arc<str>,
    class: Class,
    name_start: usize,
}

impl Topic {
    /// Creates a topic from its parts.
    ///
    /// # Errors
    /// As [`Topic::from_str`].
    pub fn new(class: Class, topicspace: &str, name: &str) -> Result<Self, NameError> {
        format!("{class}:{topicspace}:{name}").parse()
    }

    /// The class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The topicspace: all processes that share the broker's queues use the same one (`tg` by default).
    pub fn topicspace(&self) -> &str {
        &self.text[self.class.as_str().len() + 1..self.name_start - 1]
    }

    /// The part after the second colon.
    pub fn name(&self) -> &str {
        &self.text[self.name_start..]
    }

    /// The whole string.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Topic {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut parts = text.splitn(3, ':');
        let (Some(class_text), Some(space), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NameError::NotATopic { text: shown(text) });
        };
        let Some(class) = Class::ALL.into_iter().find(|c| c.as_str() == class_text) else {
            return Err(NameError::UnknownClass { text: shown(text), class: shown(class_text) });
        };
        check_characters("the topicspace of a topic", space, &['*', '#', '.', '/'])?;
        check_characters("the name of a topic", name, &['*', '#'])?;
        Ok(Topic { text: text.into(), class, name_start: class_text.len() + space.len() + 2 })
    }
}

impl PartialEq for Topic {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Topic {}

impl Hash for Topic {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl PartialOrd for Topic {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Topic {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({})", self.text)
    }
}

/// The name of a subscription to a topic: all its consumers share its queue. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subscription(Arc<str>);

impl Subscription {
    /// The string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Subscription {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check_characters("a subscription", text, &['*', '#'])?;
        Ok(Subscription(text.into()))
    }
}

impl fmt::Display for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A queue: one subscription of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Queue {
    topic: Topic,
    subscription: Subscription,
}

impl Queue {
    /// Creates a queue name from its parts.
    ///
    /// # Errors
    /// [`NameError::TooLong`] when its name on the wire has more than 255 bytes.
    pub fn new(topic: Topic, subscription: Subscription) -> Result<Self, NameError> {
        let queue = Queue { topic, subscription };
        let name = queue.wire_name();
        if name.len() > MAX_QUEUE_NAME_BYTES {
            return Err(NameError::TooLong { text: shown(&name), actual_bytes: name.len() });
        }
        Ok(queue)
    }

    /// The topic whose messages it receives.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The subscription.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// Its name on brokers: `TOPICSPACE.CLASS.NAME.SUBSCRIPTION`.
    pub fn wire_name(&self) -> String {
        let topic = &self.topic;
        format!("{}.{}.{}.{}", topic.topicspace(), topic.class(), topic.name(), self.subscription)
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.subscription, self.topic)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Arbitrary strings, and strings that are almost topics.
    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof![".*", "(flow|request|response|notify|queue|):[a-z.*/\\PC]{0,4}:\\PC{0,12}", "[:*#\\x00-\\x1f\u{202e}a-z]{0,20}"]
    }

    proptest! {
        #[test]
        fn arbitrary_strings_never_panic_and_round_trip(text in hostile()) {
            if let Ok(topic) = text.parse::<Topic>() {
                prop_assert_eq!(topic.to_string(), text.as_str());
                prop_assert_eq!(format!("{}:{}:{}", topic.class(), topic.topicspace(), topic.name()), text.as_str());
                prop_assert_eq!(Topic::new(topic.class(), topic.topicspace(), topic.name()).unwrap(), topic);
            }
        }

        #[test]
        fn refusals_are_one_short_printable_line(text in hostile()) {
            let errors = [text.parse::<Topic>().err(), text.parse::<Subscription>().err()];
            for message in errors.into_iter().flatten().map(|error| error.to_string()) {
                prop_assert!(!message.chars().any(char::is_control) && message.len() < 2000, "{message:?}");
            }
        }

        #[test]
        fn a_queue_name_is_valid_for_brokers_or_an_error(topic in hostile(), subscription in hostile()) {
            if let (Ok(topic), Ok(subscription)) = (topic.parse::<Topic>(), subscription.parse::<Subscription>())
                && let Ok(queue) = Queue::new(topic, subscription)
            {
                prop_assert!(queue.wire_name().len() <= MAX_QUEUE_NAME_BYTES);
            }
        }
    }

    #[test]
    fn topics_are_split_at_the_first_two_colons_only() {
        let topic: Topic = "flow:tg:text-load:default".parse().unwrap();
        assert_eq!((topic.class(), topic.topicspace(), topic.name()), (Class::Flow, "tg", "text-load:default"));
        assert_eq!(topic.to_string(), "flow:tg:text-load:default");
    }

    #[test]
    fn faulty_topics_are_named() {
        let check = |text: &str, word: &str| {
            let message = text.parse::<Topic>().unwrap_err().to_string();
            assert!(message.contains(word), "{text:?} gave {message:?}");
        };
        check("", "class:topicspace:name");
        check("flow:tg", "class:topicspace:name");
        check("queue:tg:x", "`queue`");
        check("flow::x", "topicspace");
        check("flow:tg:", "empty");
        check("flow:tg:a*b", "'*'");
        check("flow:tg:a\nb", "'\\n'");
        assert!("x".repeat(10_000).parse::<Topic>().unwrap_err().to_string().len() < 300);
    }

    #[test]
    fn a_queue_has_the_name_of_the_wire_and_a_limit_on_it() {
        let topic: Topic = "flow:tg:load:one".parse().unwrap();
        let queue = Queue::new(topic.clone(), "chunker--one--input".parse().unwrap()).unwrap();
        assert_eq!(queue.wire_name(), "tg.flow.load:one.chunker--one--input");
        let long = format!("chunker--{}--input", "v".repeat(300)).parse().unwrap();
        assert!(matches!(Queue::new(topic, long), Err(NameError::TooLong { actual_bytes: 333, .. })));
    }
}
