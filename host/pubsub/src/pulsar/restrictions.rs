//! Policies of a namespace that refuse what Weir does. They are an administrator's decision: Weir tells of them and leaves them as they are.

use serde_json::Value;

use crate::topic::Class;

/// Limits below these may refuse a few processes or flows.
const FEW_COUNT: u64 = 100;
const FEW_TOPICS_COUNT: u64 = 1000;
pub(super) const REASON: &str = "an administrator has limited the namespace, and Weir does not change such limits";

/// One that may be there.
struct Restriction {
    /// As the broker writes it.
    field: &'static str,
    is_in_the_way: fn(&Value) -> bool,
    consequence: &'static str,
    /// What removes it, behind `pulsar-admin namespaces`; SPACE is the namespace.
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
        consequence: "no message can be published, since Weir does not encrypt messages",
        command: "set-encryption-required SPACE --disable",
    },
    Restriction {
        field: "schema_validation_enforced",
        is_in_the_way: is_on,
        consequence: "nothing can be published on a topic that has a schema",
        command: "set-schema-validation-enforce SPACE --disable",
    },
    Restriction {
        field: "subscription_types_enabled",
        is_in_the_way: |value| {
            let types = value.as_array().map_or(&[][..], Vec::as_slice);
            !types.is_empty() && !["Exclusive", "Shared"].iter().all(|kind| types.contains(&Value::from(*kind)))
        },
        consequence: "queues cannot be read: the types Exclusive and Shared are required",
        command: "remove-subscription-types-enabled SPACE",
    },
    Restriction {
        field: "max_producers_per_topic",
        is_in_the_way: is_few,
        consequence: "limits how many processes can publish on a topic",
        command: "remove-max-producers-per-topic SPACE",
    },
    Restriction {
        field: "max_consumers_per_topic",
        is_in_the_way: is_few,
        consequence: "limits how many consumers can read a topic",
        command: "remove-max-consumers-per-topic SPACE",
    },
    Restriction {
        field: "max_consumers_per_subscription",
        is_in_the_way: is_few,
        consequence: "limits how many consumers can read a queue",
        command: "remove-max-consumers-per-subscription SPACE",
    },
    Restriction {
        field: "max_subscriptions_per_topic",
        is_in_the_way: is_few,
        consequence: "limits how many queues a topic can have",
        command: "remove-max-subscriptions-per-topic SPACE",
    },
    Restriction {
        field: "max_topics_per_namespace",
        is_in_the_way: |value| value.as_u64().is_some_and(|limit| (1..FEW_TOPICS_COUNT).contains(&limit)),
        consequence: "flows that need more queues cannot start",
        command: "remove-max-topics-per-namespace SPACE",
    },
];

/// Of `flow` alone, whose messages are kept.
const OF_FLOW: &[Restriction] = &[Restriction {
    field: "retention_policies",
    is_in_the_way: |value| {
        ["retentionTimeInMinutes", "retentionSizeInMB"].iter().all(|part| value[part].as_i64().is_some_and(|kept| kept != 0))
    },
    consequence: "acknowledged messages stay on the broker's disks, and a new queue on their topic receives them",
    command: "remove-retention SPACE",
}];

/// What of the policies of a namespace is in the way, each with what removes it.
pub(super) fn of(policies: &Value, space: &str, class: Class) -> Vec<(String, String)> {
    let of_class = if class == Class::Flow { OF_FLOW } else { &[] };
    let found = ALL.iter().chain(of_class).filter(|restriction| (restriction.is_in_the_way)(&policies[restriction.field]));
    let told = |restriction: &Restriction| {
        let Restriction { field, consequence, command, .. } = restriction;
        let value = &policies[field];
        (format!("{field} = {value}: {consequence}"), format!("pulsar-admin namespaces {}", command.replace("SPACE", space)))
    };
    found.map(told).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_in_the_way_is_told_with_what_removes_it() {
        let fields = |policies: Value| of(&policies, "tg/flow", Class::Flow).into_iter().map(|(told, _)| told).collect::<Vec<_>>();
        assert_eq!(fields(json!({})), Vec::<String>::new());
        let harmless = json!({
            "encryption_required": false, "max_producers_per_topic": 0, "max_topics_per_namespace": 5000,
            "subscription_types_enabled": ["Shared", "Exclusive", "Failover"],
            "retention_policies": {"retentionTimeInMinutes": 0, "retentionSizeInMB": 0},
        });
        assert_eq!(fields(harmless), Vec::<String>::new());
        let limited = json!({
            "encryption_required": true, "max_consumers_per_topic": 1, "subscription_types_enabled": ["Exclusive"],
            "retention_policies": {"retentionTimeInMinutes": -1, "retentionSizeInMB": -1},
        });
        let found = of(&limited, "tg/flow", Class::Flow);
        assert_eq!(found.len(), 4, "{found:?}");
        assert_eq!(found[0].1, "pulsar-admin namespaces set-encryption-required tg/flow --disable");
        assert_eq!(of(&limited, "tg/notify", Class::Notify).len(), 3);
    }
}
