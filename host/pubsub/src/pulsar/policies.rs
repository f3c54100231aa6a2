//! Tenants, namespaces and their policies, which `weir init` creates and `weir doctor` checks: they require an administrator of the broker, whereas
//! queues require only an administrator of the tenant.

use reqwest::Method;
use serde_json::{Value, json};

use super::admin::Admin;
use super::lifecycle::DROP_OLDEST;
use super::names::{TopicName, quoted};
use super::restrictions;
use crate::backend::{Policy, PolicyState, Provision};
use crate::error::{PubsubError, Result};
use crate::error_text::chain;
use crate::topic::{Class, Topic};

/// One resource that one call creates or sets.
struct Provisioning {
    name: String,
    reason: &'static str,
    /// The command for an administrator, in place of the call.
    command: String,
    /// The tenant or the namespace that shows whether the resource exists, and the check of its response.
    space: String,
    is_there: fn(&Value) -> bool,
    method: Method,
    path: String,
    body: Value,
}

const TENANT: &str = "each topicspace is a tenant";
const TENANT_ADMIN: &str =
    "the command replaces the list of administrators: add those that pulsar-admin tenants get prints; then run weir init again";
const NAMESPACE: &str = "the topics of each class have their own namespace";
const NO_AUTO_CREATED_TOPICS: &str =
    "automatically created topics would accept messages that no queue keeps; a missing queue must be noticed";
const AUTO_CREATED_TOPICS: &str = "topics of answers and signals are created by their users, also after a restart of the broker";
const NO_EXPIRY: &str = "a message is kept until it is acknowledged, even if its processor is offline for long";
const KEPT_WHEN_UNREAD: &str = "a queue is kept while it has no consumer";
const KEPT_WHEN_IDLE: &str = "a queue is kept when idle";
const NOTHING_DROPPED: &str = "a queue without a consumer must not lose its oldest messages; exits have their own limit";
const BOUNDS: &str = "exits drop their oldest messages above a limit, and the dead-letter queue refuses messages above its own";
const NO_QUEUES_BY_THEMSELVES: &str =
    "a queue that another client creates by subscribing would collect messages for ever once it is unused";
/// A topic that need not exist.
const ANY_TOPIC: &str = "weir-probe";

/// What the tenant of a topicspace needs, and whether it is set; with [`Provision::Set`] missing items are created first, as far as that is
/// permitted. Restrictions set by an administrator are reported and left unchanged.
pub(super) async fn policies(admin: &Admin, topicspace: &str, provision: Provision) -> Result<Vec<Policy>> {
    // Nothing can be read or set in a tenant of other administrators.
    if admin.is_forbidden(&namespace_path(topicspace)).await? {
        return Ok(vec![of_others(topicspace)]);
    }
    let mut policies = Vec::new();
    let clusters: Vec<String> = admin.get("clusters").await?.unwrap_or_default();
    for step in steps(topicspace, &clusters) {
        policies.push(check_or_execute(admin, step, provision).await?);
    }
    for class in Class::ALL {
        policies.extend(limits(admin, topicspace, class).await?);
    }
    policies.extend(bounds(admin, topicspace).await?);
    Ok(policies)
}

/// The policy for a tenant that exists if the role is not its administrator.
fn of_others(topicspace: &str) -> Policy {
    Policy {
        name: format!("administrator of tenant {topicspace}"),
        reason: TENANT_ADMIN,
        command: format!("pulsar-admin tenants update {topicspace} --admin-roles ROLE"),
        state: PolicyState::Blocking("the tenant exists, and the role of the token is not one of its administrators".to_owned()),
        is_new: false,
    }
}

/// The path of a tenant or a namespace in the admin API.
fn namespace_path(space: &str) -> String {
    let parts: Vec<String> = space.split('/').map(quoted).collect();
    format!("namespaces/{}", parts.join("/"))
}

/// Checks one of the steps, and executes it if requested.
async fn check_or_execute(admin: &Admin, step: Provisioning, provision: Provision) -> Result<Policy> {
    let policy = |state, is_new, step: Provisioning| Policy { name: step.name, reason: step.reason, command: step.command, state, is_new };
    match is_there(admin, &step).await {
        Ok(true) => return Ok(policy(PolicyState::Set, false, step)),
        Ok(false) if provision == Provision::Look => {
            let missing = PolicyState::Missing("not set".to_owned());
            return Ok(policy(missing, false, step));
        }
        // Without the permission to read it, report it as unknown, with the command that lists it.
        Err(PubsubError::Refused { .. }) if provision == Provision::Look => {
            let verb = if step.space.contains('/') { "policies" } else { "list" };
            let unknown = PolicyState::Unknown { list_command: format!("pulsar-admin namespaces {verb} {}", step.space) };
            return Ok(policy(unknown, false, step));
        }
        Ok(false) | Err(PubsubError::Refused { .. }) => {}
        Err(error) => return Err(error),
    }
    match admin.provide(step.method.clone(), &step.path, &step.body).await {
        Ok(()) => Ok(policy(PolicyState::Set, true, step)),
        Err(error @ PubsubError::Refused { .. }) => Ok(policy(PolicyState::Missing(chain(&error)), false, step)),
        Err(error) => Err(error),
    }
}

async fn is_there(admin: &Admin, step: &Provisioning) -> Result<bool> {
    let found: Option<Value> = admin.get(&namespace_path(&step.space)).await?;
    Ok(found.is_some_and(|value| (step.is_there)(&value)))
}

/// Restrictions in the policies of a namespace; `None` without the permission to read them, which other policies report.
async fn limits(admin: &Admin, topicspace: &str, class: Class) -> Result<Option<Policy>> {
    let found: Option<Value> = match admin.get(&namespace_path(&format!("{topicspace}/{class}"))).await {
        Err(PubsubError::Refused { .. }) => return Ok(None),
        found => found?,
    };
    let Some(found) = found else { return Ok(None) };
    let space = format!("{topicspace}/{class}");
    let mut restricted = restrictions::of(&found, &space, class);
    if class == Class::Flow {
        restricted.extend(restrictions::of_topics(admin, topicspace).await);
    }
    let told = restricted.iter().map(|restricted| restricted.told.as_str()).collect::<Vec<_>>().join("; ");
    let commands: Vec<&str> = restricted.iter().map(|restricted| restricted.command.as_str()).collect();
    let state = match restricted.iter().any(|restricted| restricted.is_blocking) {
        _ if restricted.is_empty() => PolicyState::Set,
        true => PolicyState::Blocking(told),
        false => PolicyState::Limited(told),
    };
    let name = format!("no restrictions in {space}");
    Ok(Some(Policy { name, reason: restrictions::REASON, command: commands.join("; "), state, is_new: false }))
}

/// Whether topics can have a bound; `None` without the permission to read that.
async fn bounds(admin: &Admin, topicspace: &str) -> Result<Option<Policy>> {
    let topic_name = TopicName::of(&Topic::new(Class::Flow, topicspace, ANY_TOPIC).map_err(PubsubError::not_a_queue)?)?;
    let state = match admin.has_topic_policies(&topic_name).await {
        Ok(true) => PolicyState::Set,
        Ok(false) => PolicyState::Missing("the broker has no topic policies, so exits and dead letters have no limit".to_owned()),
        Err(PubsubError::Refused { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let command = "set topicLevelPoliciesEnabled=true in broker.conf of all nodes, and restart them".to_owned();
    Ok(Some(Policy { name: "limits of exits and dead letters".to_owned(), reason: BOUNDS, command, state, is_new: false }))
}

/// All steps, in order of execution.
fn steps(topicspace: &str, clusters: &[String]) -> Vec<Provisioning> {
    let tenant = quoted(topicspace);
    let mut steps = vec![Provisioning {
        name: format!("tenant {topicspace}"),
        reason: TENANT,
        command: format!("pulsar-admin tenants create {topicspace} --admin-roles ROLE"),
        space: topicspace.to_owned(),
        is_there: |_| true,
        method: Method::PUT,
        path: format!("tenants/{tenant}"),
        body: json!({"allowedClusters": clusters}),
    }];
    for class in Class::ALL {
        let path = format!("namespaces/{tenant}/{class}");
        steps.push(Provisioning {
            name: format!("namespace {topicspace}/{class}"),
            reason: NAMESPACE,
            command: format!("pulsar-admin namespaces create {topicspace}/{class}"),
            space: format!("{topicspace}/{class}"),
            is_there: |_| true,
            method: Method::PUT,
            path,
            body: json!({}),
        });
    }
    steps.extend(Class::ALL.into_iter().map(|class| auto_created_topics(topicspace, class)));
    steps.extend(flow_policies(topicspace));
    steps.extend([Class::Flow, Class::Request].map(|class| idle_topics(topicspace, class)));
    steps
}

fn auto_created_topics(topicspace: &str, class: Class) -> Provisioning {
    let on = !class.has_queues();
    let flags = if on { "--enable --type non-partitioned" } else { "--disable" };
    let namespace = format!("namespaces/{}/{class}", quoted(topicspace));
    Provisioning {
        name: format!("automatic topics of {topicspace}/{class}: {}", if on { "on" } else { "off" }),
        reason: if on { AUTO_CREATED_TOPICS } else { NO_AUTO_CREATED_TOPICS },
        command: format!("pulsar-admin namespaces set-auto-topic-creation {topicspace}/{class} {flags}"),
        path: format!("{namespace}/autoTopicCreation"),
        space: format!("{topicspace}/{class}"),
        is_there: if on {
            |value| {
                let found = &value["autoTopicCreationOverride"];
                found["allowAutoTopicCreation"] == json!(true) && found["topicType"] == json!("non-partitioned")
            }
        } else {
            |value| value["autoTopicCreationOverride"]["allowAutoTopicCreation"] == json!(false)
        },
        method: Method::POST,
        body: match on {
            true => json!({"allowAutoTopicCreation": true, "topicType": "non-partitioned"}),
            false => json!({"allowAutoTopicCreation": false}),
        },
    }
}

/// Policies that preserve messages and queues of flows.
fn flow_policies(topicspace: &str) -> Vec<Provisioning> {
    let namespace = format!("namespaces/{}/flow", quoted(topicspace));
    let step = |name: &str, reason, command: String, is_there, method, path: &str, body| Provisioning {
        name: name.replace("flow", &format!("{topicspace}/flow")),
        reason,
        command,
        space: format!("{topicspace}/flow"),
        is_there,
        method,
        path: format!("{namespace}/{path}"),
        body,
    };
    let command = |words: &str| format!("pulsar-admin namespaces {}", words.replace("SPACE", &format!("{topicspace}/flow")));
    let ttl = command("set-message-ttl SPACE --messageTTL 0");
    let expiry = command("set-subscription-expiration-time SPACE --time 0");
    let [by_size, by_age] =
        ["destination_storage", "message_age"].map(|kind| command(&format!("remove-backlog-quota SPACE --type {kind}")));
    vec![
        step(
            "automatic subscriptions of flow: off",
            NO_QUEUES_BY_THEMSELVES,
            command("set-auto-subscription-creation SPACE --disable"),
            |found| found["autoSubscriptionCreationOverride"]["allowAutoSubscriptionCreation"] == json!(false),
            Method::POST,
            "autoSubscriptionCreation",
            json!({"allowAutoSubscriptionCreation": false}),
        ),
        step(
            "expiry of flow: none",
            NO_EXPIRY,
            ttl,
            |found| found["message_ttl_in_seconds"] == json!(0),
            Method::POST,
            "messageTTL",
            json!(0),
        ),
        step(
            "expiry of queues of flow: none",
            KEPT_WHEN_UNREAD,
            expiry,
            |found| found["subscription_expiration_time_minutes"] == json!(0),
            Method::POST,
            "subscriptionExpirationTime",
            json!(0),
        ),
        step(
            "size limit of all topics of flow: drops nothing",
            NOTHING_DROPPED,
            by_size,
            |found| found["backlog_quota_map"]["destination_storage"]["policy"] != json!(DROP_OLDEST),
            Method::DELETE,
            "backlogQuota?backlogQuotaType=destination_storage",
            Value::Null,
        ),
        step(
            "age limit of all topics of flow: drops nothing",
            NOTHING_DROPPED,
            by_age,
            |found| found["backlog_quota_map"]["message_age"]["policy"] != json!(DROP_OLDEST),
            Method::DELETE,
            "backlogQuota?backlogQuotaType=message_age",
            Value::Null,
        ),
    ]
}

fn idle_topics(topicspace: &str, class: Class) -> Provisioning {
    let namespace = format!("namespaces/{}/{class}", quoted(topicspace));
    Provisioning {
        name: format!("idle topics of {topicspace}/{class}: kept"),
        reason: KEPT_WHEN_IDLE,
        command: format!(
            "pulsar-admin namespaces set-inactive-topic-policies {topicspace}/{class} --disable-delete-while-inactive \
             --max-inactive-duration 1h --delete-mode delete_when_no_subscriptions"
        ),
        path: format!("{namespace}/inactiveTopicPolicies"),
        space: format!("{topicspace}/{class}"),
        is_there: |found| found["inactive_topic_policies"]["deleteWhileInactive"] == json!(false),
        method: Method::POST,
        body: json!({
            "inactiveTopicDeleteMode": "delete_when_no_subscriptions",
            "maxInactiveDurationSeconds": 3600,
            "deleteWhileInactive": false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_auto_created_only_where_no_admin_creates_them() {
        let steps = steps("tg", &["one".to_owned()]);
        let on: Vec<_> = steps.iter().filter(|step| step.body["allowAutoTopicCreation"] == json!(true)).map(|step| &step.path).collect();
        assert_eq!(on, ["namespaces/tg/response/autoTopicCreation", "namespaces/tg/notify/autoTopicCreation"]);
        // In a namespace without any settings, all of them are missing.
        let is_set = |step: &&Provisioning| step.method == Method::POST;
        assert_eq!(steps.iter().filter(is_set).count(), 9);
        for step in steps.iter().filter(is_set) {
            assert!(!(step.is_there)(&json!({})), "{}", step.name);
        }
        assert_eq!(steps[0].body, json!({"allowedClusters": ["one"]}));
    }

    #[test]
    fn a_dropping_namespace_policy_is_removed_and_a_refusing_one_is_kept() {
        for (policy, is_fine) in [(DROP_OLDEST, false), ("producer_exception", true)] {
            let found = json!({"backlog_quota_map": {"destination_storage": {"policy": policy}}});
            let steps = steps("tg", &[]);
            let step = steps.iter().find(|step| step.path.ends_with("backlogQuotaType=destination_storage"));
            assert_eq!(step.map(|step| (step.is_there)(&found)), Some(is_fine), "{policy}");
        }
    }
}
