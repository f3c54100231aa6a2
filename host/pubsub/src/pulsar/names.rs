//! Names on the wire: a topicspace is a tenant, a class a namespace in it; topics and subscriptions keep their names.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::backend::LockName;
use crate::error::{PubsubError, Result};
use crate::error_text::shown;
use crate::topic::{Class, Queue, Topic};

/// The prefix of subscriptions for browsing, which are not queues.
pub(super) const BROWSE_PREFIX: &str = "weir.look.";
/// The name of topics that are only looked up.
const PROBE: &str = "weir-probe";
/// The tenant that brokers use internally.
const SYSTEM_TENANT: &str = "pulsar";
/// The infix of the partitions of a topic.
const PARTITION: &str = "-partition-";
/// Characters that need no quoting in a path.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The full name of a topic in Pulsar.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TopicName {
    pub(super) is_persistent: bool,
    pub(super) tenant: String,
    pub(super) namespace: &'static str,
    pub(super) name: String,
}

impl TopicName {
    /// The name of a topic.
    ///
    /// # Errors
    /// `Refused` for a name that Pulsar does not allow.
    pub(super) fn of(topic: &Topic) -> Result<Self> {
        let (tenant, name) = (topic.topicspace(), topic.name());
        let is_plain = |c: char| c.is_alphanumeric() && c.is_ascii() || "-=:_".contains(c);
        if !tenant.chars().all(is_plain) {
            let reason = format!("topicspace `{}` is not a valid Pulsar tenant: use letters, digits and -=:_", shown(tenant));
            return Err(PubsubError::refused(reason));
        }
        if tenant == SYSTEM_TENANT {
            let reason = format!("topicspace `{SYSTEM_TENANT}` is the tenant of the broker's own topics: choose another topicspace");
            return Err(PubsubError::refused(reason));
        }
        let is_partition = name.rsplit_once(PARTITION).is_some_and(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
        if is_dots(name) {
            let reason =
                format!("{topic} cannot be a topic of Pulsar, whose admin API resolves `.` and `..` in paths: choose another name");
            return Err(PubsubError::refused(reason));
        }
        if name.contains('/') || name.starts_with("__") || is_partition {
            let fix = "a name on Pulsar must not contain `/`, start with `__` or end in `-partition-NUMBER`: choose another one";
            return Err(PubsubError::refused(format!("{topic} is not a valid Pulsar topic: {fix}")));
        }
        let is_persistent = topic.class().is_durable();
        Ok(TopicName { is_persistent, tenant: tenant.to_owned(), namespace: topic.class().as_str(), name: name.to_owned() })
    }

    /// The namespace, as in commands.
    pub(super) fn space(&self) -> String {
        format!("{}/{}", self.tenant, self.namespace)
    }

    /// The topic of a lock: in the namespace of `notify`, whose topics are created and deleted automatically. It is not the topic of a queue.
    pub(super) fn of_lock(lock: &LockName) -> Result<Self> {
        let topic = Topic::new(Class::Notify, lock.topicspace(), &lock.wire_name());
        TopicName::of(&topic.map_err(PubsubError::not_a_queue)?)
    }

    /// A topic of a tenant for lookups; it need not exist.
    pub(super) fn of_probe(tenant: &str) -> Result<Self> {
        TopicName::of(&Topic::new(Class::Notify, tenant, PROBE).map_err(PubsubError::not_a_queue)?)
    }

    /// The same in the namespace of the brokers themselves.
    pub(super) fn of_brokers() -> Self {
        TopicName { is_persistent: false, tenant: SYSTEM_TENANT.to_owned(), namespace: "system", name: PROBE.to_owned() }
    }

    /// Its domain, as in URLs.
    pub(super) fn domain(&self) -> &'static str {
        if self.is_persistent { "persistent" } else { "non-persistent" }
    }

    /// Its full name.
    pub(super) fn url(&self) -> String {
        format!("{}://{}/{}/{}", self.domain(), self.tenant, self.namespace, self.name)
    }

    /// Its path in the admin API.
    pub(super) fn path(&self) -> String {
        format!("{}/{}/{}/{}", self.domain(), quoted(&self.tenant), self.namespace, quoted(&self.name))
    }

    /// The path of one of its subscriptions in the admin API, which decodes it twice.
    pub(super) fn subscription_path(&self, subscription: &str) -> String {
        // A path that ends in dots would refer to something else.
        let once = if is_dots(subscription) { subscription.replace('.', "%2E") } else { quoted(subscription) };
        format!("{}/subscription/{}", self.path(), quoted(&once))
    }
}

/// Whether a part of a path means the current or the parent folder.
fn is_dots(name: &str) -> bool {
    name == "." || name == ".."
}

/// Quotes a part of a path.
pub(super) fn quoted(text: &str) -> String {
    utf8_percent_encode(text, QUOTED).to_string()
}

/// Whether a subscription may be a queue: not a browser or a reader of another client.
pub(super) fn is_queue(subscription: &str) -> bool {
    !subscription.starts_with(BROWSE_PREFIX)
}

/// The topic with a name in Pulsar; `None` if it is not one of Weir's.
pub(super) fn topic(class: Class, url: &str) -> Option<Topic> {
    let (_, rest) = url.split_once("://")?;
    let (tenant, rest) = rest.split_once('/')?;
    let (namespace, name) = rest.split_once('/')?;
    (namespace == class.as_str() && !name.starts_with("__")).then(|| Topic::new(class, tenant, name).ok()).flatten()
}

/// The queue of a topic and a subscription.
pub(super) fn queue(topic: &Topic, subscription: &str) -> Option<Queue> {
    is_queue(subscription).then(|| Queue::new(topic.clone(), subscription.parse().ok()?).ok()).flatten()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn topic_name(topic: &str) -> Result<TopicName> {
        TopicName::of(&topic.parse().unwrap())
    }

    #[test]
    fn names_are_those_of_the_wire() {
        let cases = [
            ("flow:tg:text-load:a", "persistent://tg/flow/text-load:a"),
            ("request:tg:config", "non-persistent://tg/request/config"),
            ("response:tg:config", "non-persistent://tg/response/config"),
            ("notify:tg:config", "non-persistent://tg/notify/config"),
        ];
        for (text, url) in cases {
            assert_eq!(topic_name(text).unwrap().url(), url);
            let of: Topic = text.parse().unwrap();
            assert_eq!(topic(of.class(), url), Some(of));
        }
        assert_eq!(topic(Class::Flow, "persistent://tg/flow/__change_events"), None);
        assert_eq!(topic(Class::Flow, "persistent://tg/other/a"), None);
    }

    #[test]
    fn paths_are_escaped_once_per_decoding() {
        let topic_name = topic_name("flow:tg:a b%+é").unwrap();
        assert_eq!(topic_name.path(), "persistent/tg/flow/a%20b%25%2B%C3%A9");
        assert_eq!(topic_name.subscription_path("x/y+"), "persistent/tg/flow/a%20b%25%2B%C3%A9/subscription/x%252Fy%252B");
        assert_eq!(topic_name.subscription_path(".."), "persistent/tg/flow/a%20b%25%2B%C3%A9/subscription/%252E%252E");
    }

    #[test]
    fn names_invalid_in_pulsar_are_refused() {
        for text in [
            "flow:tg:a/b",
            "flow:tg:__change_events",
            "flow:tg:a-partition-3",
            "flow:t g:a",
            "flow:tü:a",
            "flow:tg:.",
            "flow:tg:..",
            "flow:pulsar:a",
        ] {
            let error = topic_name(text).unwrap_err();
            assert!(matches!(error, PubsubError::Refused { .. }), "{text}: {error}");
        }
        for text in ["flow:tg:a-partition-b", "flow:tg:...", "flow:tg:.a"] {
            assert!(topic_name(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_lock_is_not_a_queue() {
        let topic_name = TopicName::of_lock(&LockName::new("config", "tg").unwrap()).unwrap();
        assert_eq!(topic_name.url(), "non-persistent://tg/notify/weir.lock.config.tg");
    }
}
