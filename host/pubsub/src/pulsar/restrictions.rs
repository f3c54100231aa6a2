//! Policies of a namespace that interfere with Weir. They are an administrator's decision: Weir reports them and leaves them unchanged.

use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::admin::Admin;
use super::lifecycle::REFUSING;
use super::names::{self, TopicName};
use crate::topic::Class;

/// Limits below these may affect a few processes or flows.
const FEW_COUNT: u64 = 100;
const FEW_TOPICS_COUNT: u64 = 1000;
/// How many topics are checked, and how many concurrently.
const LOOKED_TOPICS_COUNT: usize = 500;
const MAX_CHECKS_COUNT: usize = 8;
pub(super) const REASON: &str = "an administrator has limited the namespace, and Weir does not change such limits";

/// A possible restriction.
struct Restriction {
    /// The broker's name of the field; `/` precedes a part of it.
    field: &'static str,
    is_in_the_way: fn(&Value) -> bool,
    /// Whether nothing works under this restriction.
    is_blocking: bool,
    consequence: &'static str,
    /// The command that removes it, after `pulsar-admin namespaces`; SPACE is the namespace.
    command: &'static str,
}

fn is_on(value: &Value) -> bool {
    *value == Value::Bool(true)
}

fn is_few(value: &Value) -> bool {
    value.as_u64().is_some_and(|limit| (1..FEW_COUNT).contains(&limit))
}

const ALL: &[Restriction] = &[
    Restriction {
        field: "encryption_required",
        is_in_the_way: is_on,
        is_blocking: true,
        consequence: "no message can be published, since Weir does not encrypt messages",
        command: "set-encryption-required SPACE --disable",
    },
    Restriction {
        field: "schema_validation_enforced",
        is_in_the_way: is_on,
        is_blocking: false,
        consequence: "nothing can be published on a topic that has a schema",
        command: "set-schema-validation-enforce SPACE --disable",
    },
    Restriction {
        field: "subscription_types_enabled",
        is_in_the_way: |value| {
            let types = value.as_array().map_or(&[][..], Vec::as_slice);
            !types.is_empty() && !["Exclusive", "Shared"].iter().all(|kind| types.contains(&Value::from(*kind)))
        },
        is_blocking: true,
        consequence: "queues cannot be read: the types Exclusive and Shared are required",
        command: "remove-subscription-types-enabled SPACE",
    },
    Restriction {
        field: "max_producers_per_topic",
        is_in_the_way: is_few,
        is_blocking: false,
        consequence: "limits how many processes can publish on a topic",
        command: "remove-max-producers-per-topic SPACE",
    },
    Restriction {
        field: "max_consumers_per_topic",
        is_in_the_way: is_few,
        is_blocking: false,
        consequence: "limits how many consumers can read a topic",
        command: "remove-max-consumers-per-topic SPACE",
    },
    Restriction {
        field: "max_consumers_per_subscription",
        is_in_the_way: is_few,
        is_blocking: false,
        consequence: "limits how many consumers can read a queue",
        command: "remove-max-consumers-per-subscription SPACE",
    },
    Restriction {
        field: "max_subscriptions_per_topic",
        is_in_the_way: is_few,
        is_blocking: false,
        consequence: "limits how many queues a topic can have",
        command: "remove-max-subscriptions-per-topic SPACE",
    },
    Restriction {
        field: "max_topics_per_namespace",
        is_in_the_way: |value| value.as_u64().is_some_and(|limit| (1..FEW_TOPICS_COUNT).contains(&limit)),
        is_blocking: false,
        consequence: "flows that need more queues cannot start",
        command: "remove-max-topics-per-namespace SPACE",
    },
    Restriction {
        field: "publishMaxMessageRate",
        is_in_the_way: |value| value.as_object().is_some_and(|clusters| clusters.values().any(is_rate)),
        is_blocking: false,
        consequence: "publishing above the rate of a topic is delayed, and what waits for more than 30 s is resent: outputs are duplicated",
        command: "remove-publish-rate SPACE",
    },
];

/// Whether it limits the rate of publishing.
fn is_rate(rate: &Value) -> bool {
    ["publishThrottlingRateInMsg", "publishThrottlingRateInByte"].iter().any(|part| rate[part].as_i64().is_some_and(|limit| limit > 0))
}

/// Whether a bound refuses messages. The broker reports disabled ones as -1.
fn refuses(quota: &Value, limit: &str) -> bool {
    quota["policy"].as_str().is_some_and(|policy| REFUSING.contains(&policy)) && quota[limit].as_i64().is_some_and(|limit| limit >= 0)
}

/// Restrictions of `flow` namespaces only, whose messages are stored.
const OF_FLOW: &[Restriction] = &[
    Restriction {
        field: "retention_policies",
        is_in_the_way: |value| {
            ["retentionTimeInMinutes", "retentionSizeInMB"].iter().all(|part| value[part].as_i64().is_some_and(|kept| kept != 0))
        },
        is_blocking: false,
        consequence: "messages that were acknowledged stay on the disks of the broker, and a queue that is made on their topic gets them; a \
                      flow whose exits have a limit above the retention cannot start",
        command: "remove-retention SPACE",
    },
    Restriction {
        field: "backlog_quota_map/destination_storage",
        is_in_the_way: |quota| refuses(quota, "limitSize"),
        is_blocking: false,
        consequence: "a topic whose queues hold more than this refuses all messages",
        command: "remove-backlog-quota SPACE --type destination_storage",
    },
    Restriction {
        field: "backlog_quota_map/message_age",
        is_in_the_way: |quota| refuses(quota, "limitTime"),
        is_blocking: false,
        consequence: "a topic whose oldest message is older than this refuses all messages",
        command: "remove-backlog-quota SPACE --type message_age",
    },
];

/// A restriction that was found.
#[derive(Debug)]
pub(super) struct Restricted {
    pub(super) told: String,
    /// The command that removes it.
    pub(super) command: String,
    /// Whether nothing works under this restriction.
    pub(super) is_blocking: bool,
}

/// The restrictions in the policies of a namespace.
pub(super) fn of(policies: &Value, space: &str, class: Class) -> Vec<Restricted> {
    let of_class = if class == Class::Flow { OF_FLOW } else { &[] };
    let restricted = |restriction: &Restriction| {
        let Restriction { field, is_in_the_way, is_blocking, consequence, command } = restriction;
        let value = policies.pointer(&format!("/{field}")).filter(|value| is_in_the_way(value))?;
        let command = format!("pulsar-admin namespaces {}", command.replace("SPACE", space));
        Some(Restricted { told: format!("{field} = {value}: {consequence}"), command, is_blocking: *is_blocking })
    };
    ALL.iter().chain(of_class).filter_map(restricted).collect()
}

/// The publish rate limits of single flow topics; empty without the permission to read them.
pub(super) async fn of_topics(admin: &Admin, topicspace: &str) -> Vec<Restricted> {
    let mut topics = admin.topics("persistent", topicspace, Class::Flow.as_str()).await.unwrap_or_default();
    topics.truncate(LOOKED_TOPICS_COUNT);
    let looked = stream::iter(topics).map(async |url: String| {
        let topic_name = TopicName::of(&names::topic(Class::Flow, &url)?).ok()?;
        let rate: Value = admin.get(&format!("{}/publishRate", topic_name.path())).await.ok()??;
        is_rate(&rate).then(|| Restricted {
            told: format!("publishRate of {url} = {rate}: publishing above it is delayed, and outputs are duplicated"),
            command: format!("pulsar-admin topicPolicies remove-publish-rate {url}"),
            is_blocking: false,
        })
    });
    looked.buffered(MAX_CHECKS_COUNT).filter_map(async |found| found).collect().await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_conflicting_queue_is_reported_with_the_fix() {
        let fields = |policies: Value| of(&policies, "tg/flow", Class::Flow).into_iter().map(|found| found.told).collect::<Vec<_>>();
        assert_eq!(fields(json!({})), Vec::<String>::new());
        let harmless = json!({
            "encryption_required": false, "max_producers_per_topic": 0, "max_topics_per_namespace": 5000,
            "subscription_types_enabled": ["Shared", "Exclusive", "Failover"],
            "retention_policies": {"retentionTimeInMinutes": 0, "retentionSizeInMB": 0},
            "publishMaxMessageRate": {"one": {"publishThrottlingRateInMsg": -1, "publishThrottlingRateInByte": 0}},
            "backlog_quota_map": {
                "destination_storage": {"limitSize": -1, "limitTime": -1, "policy": "producer_request_hold"},
                "message_age": {"limitSize": -1, "limitTime": -1, "policy": "producer_exception"},
            },
        });
        assert_eq!(fields(harmless), Vec::<String>::new());
        let limited = json!({
            "encryption_required": true, "max_consumers_per_topic": 1, "subscription_types_enabled": ["Exclusive"],
            "retention_policies": {"retentionTimeInMinutes": -1, "retentionSizeInMB": -1},
            "publishMaxMessageRate": {"one": {"publishThrottlingRateInMsg": 1, "publishThrottlingRateInByte": -1}},
            "backlog_quota_map": {"destination_storage": {"limitSize": 1000, "policy": "producer_exception"}},
        });
        let found = of(&limited, "tg/flow", Class::Flow);
        let told: Vec<_> = found.iter().map(|found| (found.command.as_str(), found.is_blocking)).collect();
        let expected = [
            ("pulsar-admin namespaces set-encryption-required tg/flow --disable", true),
            ("pulsar-admin namespaces remove-subscription-types-enabled tg/flow", true),
            ("pulsar-admin namespaces remove-max-consumers-per-topic tg/flow", false),
            ("pulsar-admin namespaces remove-publish-rate tg/flow", false),
            ("pulsar-admin namespaces remove-retention tg/flow", false),
            ("pulsar-admin namespaces remove-backlog-quota tg/flow --type destination_storage", false),
        ];
        assert_eq!(told, expected);
        assert_eq!(of(&limited, "tg/notify", Class::Notify).len(), 4);
    }
}
