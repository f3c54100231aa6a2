//! Tenants, namespaces and their policies, which `weir init` makes and `weir doctor` looks at: what only an administrator may do, while queues are
//! made by an administrator of the tenant.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::admin::Admin;
use super::names::quoted;
use crate::backend::{Policy, PolicyState, Provision};
use crate::error::{PubsubError, Result};
use crate::telling::chain;
use crate::topic::Class;

/// One thing that is made or set by one call.
struct Step {
    name: String,
    reason: &'static str,
    /// For an administrator, in place of the call.
    command: String,
    /// What shows whether it is there, and how it looks then.
    looked: String,
    is_there: fn(&Value) -> bool,
    method: Method,
    path: String,
    body: Value,
}

const TENANT: &str = "a topicspace is a tenant";
const NAMESPACE: &str = "the topics of each class are in a namespace of their own";
const NO_TOPICS_BY_THEMSELVES: &str =
    "topics that come by themselves would take messages that no queue keeps, where a missing queue is to be noticed";
const TOPICS_BY_THEMSELVES: &str = "the topics of answers and signals come with those who use them, also after a restart of the broker";
const NO_EXPIRY: &str = "a message stays until it is acknowledged, however long its processor is away";
const KEPT_WHEN_IDLE: &str = "a queue stays when nothing was published for a while";

/// What the tenant of a topicspace needs, and whether it is there; with [`Provision::Set`] what is missing is made first, as far as that is
/// permitted.
pub(super) async fn policies(admin: &Admin, topicspace: &str, provision: Provision) -> Result<Vec<Policy>> {
    let mut policies = Vec::new();
    let clusters: Vec<String> = admin.get("clusters").await?.unwrap_or_default();
    for step in steps(topicspace, &clusters) {
        policies.push(seen(admin, step, provision).await?);
    }
    Ok(policies)
}

/// Looks at one of them, and makes it if it is to be made.
async fn seen(admin: &Admin, step: Step, provision: Provision) -> Result<Policy> {
    let policy = |state, is_new, step: Step| Policy { name: step.name, reason: step.reason, command: step.command, state, is_new };
    match is_there(admin, &step).await {
        Ok(true) => return Ok(policy(PolicyState::Set, false, step)),
        Ok(false) if provision == Provision::Look => {
            let missing = PolicyState::Missing("it is not there".to_owned());
            return Ok(policy(missing, false, step));
        }
        // Who may not look may still be told what is to be there.
        Err(error @ PubsubError::Refused { .. }) if provision == Provision::Look => {
            let unknown = PolicyState::Unknown { list_command: format!("pulsar-admin namespaces list {} ({})", step.name, chain(&error)) };
            return Ok(policy(unknown, false, step));
        }
        Ok(false) | Err(PubsubError::Refused { .. }) => {}
        Err(error) => return Err(error),
    }
    let answer = admin.change(step.method.clone(), &step.path, &step.body).await?;
    let made = match answer.status {
        StatusCode::CONFLICT => Ok(()),
        _ => admin.checked(answer).map(|_| ()),
    };
    match made {
        Ok(()) => Ok(policy(PolicyState::Set, true, step)),
        Err(error @ PubsubError::Refused { .. }) => Ok(policy(PolicyState::Missing(chain(&error)), false, step)),
        Err(error) => Err(error),
    }
}

async fn is_there(admin: &Admin, step: &Step) -> Result<bool> {
    let answer = admin.send(Method::GET, &step.looked, None).await?;
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(false);
    }
    let value = admin.checked(answer)?.value();
    Ok((step.is_there)(&value))
}

/// All of them, in the order in which they are made.
fn steps(topicspace: &str, clusters: &[String]) -> Vec<Step> {
    let tenant = quoted(topicspace);
    let mut steps = vec![Step {
        name: format!("tenant {topicspace}"),
        reason: TENANT,
        command: format!("pulsar-admin tenants create {topicspace} --admin-roles ROLE"),
        looked: format!("namespaces/{tenant}"),
        is_there: |_| true,
        method: Method::PUT,
        path: format!("tenants/{tenant}"),
        body: json!({"allowedClusters": clusters}),
    }];
    for class in Class::ALL {
        steps.push(Step {
            name: format!("namespace {topicspace}/{class}"),
            reason: NAMESPACE,
            command: format!("pulsar-admin namespaces create {topicspace}/{class}"),
            looked: format!("namespaces/{tenant}/{class}/autoTopicCreation"),
            is_there: |_| true,
            method: Method::PUT,
            path: format!("namespaces/{tenant}/{class}"),
            body: json!({}),
        });
    }
    for class in Class::ALL {
        let on = !class.has_queues();
        let path = format!("namespaces/{tenant}/{class}/autoTopicCreation");
        let flags = if on { "--enable --type non-partitioned" } else { "--disable" };
        steps.push(Step {
            name: format!("topics of {topicspace}/{class} by themselves: {}", if on { "on" } else { "off" }),
            reason: if on { TOPICS_BY_THEMSELVES } else { NO_TOPICS_BY_THEMSELVES },
            command: format!("pulsar-admin namespaces set-auto-topic-creation {topicspace}/{class} {flags}"),
            looked: path.clone(),
            is_there: if on {
                |value| value["allowAutoTopicCreation"] == json!(true) && value["topicType"] == json!("non-partitioned")
            } else {
                |value| value["allowAutoTopicCreation"] == json!(false)
            },
            method: Method::POST,
            path,
            body: if on {
                json!({"allowAutoTopicCreation": true, "topicType": "non-partitioned"})
            } else {
                json!({"allowAutoTopicCreation": false})
            },
        });
    }
    let path = format!("namespaces/{tenant}/flow/messageTTL");
    steps.push(Step {
        name: format!("expiry of {topicspace}/flow: none"),
        reason: NO_EXPIRY,
        command: format!("pulsar-admin namespaces set-message-ttl {topicspace}/flow --messageTTL 0"),
        looked: path.clone(),
        is_there: |value| *value == json!(0),
        method: Method::POST,
        path,
        body: json!(0),
    });
    for class in [Class::Flow, Class::Request] {
        let path = format!("namespaces/{tenant}/{class}/inactiveTopicPolicies");
        steps.push(Step {
            name: format!("idle topics of {topicspace}/{class}: kept"),
            reason: KEPT_WHEN_IDLE,
            command: format!(
                "pulsar-admin namespaces set-inactive-topic-policies {topicspace}/{class} --disable-delete-while-inactive \
                 --max-inactive-duration 1h --delete-mode delete_when_no_subscriptions"
            ),
            looked: path.clone(),
            is_there: |value| value["deleteWhileInactive"] == json!(false),
            method: Method::POST,
            path,
            body: json!({
                "inactiveTopicDeleteMode": "delete_when_no_subscriptions",
                "maxInactiveDurationSeconds": 3600,
                "deleteWhileInactive": false,
            }),
        });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_come_by_themselves_only_where_nobody_makes_them() {
        let steps = steps("tg", &["one".to_owned()]);
        let on: Vec<_> = steps.iter().filter(|step| step.body["allowAutoTopicCreation"] == json!(true)).map(|step| &step.path).collect();
        assert_eq!(on, ["namespaces/tg/response/autoTopicCreation", "namespaces/tg/notify/autoTopicCreation"]);
        // What is set is what is looked for.
        for step in steps.iter().filter(|step| step.method == Method::POST) {
            assert!((step.is_there)(&step.body), "{}", step.name);
            assert!(!(step.is_there)(&Value::Null), "{}", step.name);
        }
        assert_eq!(steps[0].body, json!({"allowedClusters": ["one"]}));
    }
}
