//! Policies: settings of queues that are declared without arguments, such as flow queues, can only be set by the operator of RabbitMQ.
//!
//! A queue has one policy at a time, so there is one for each type of queue. Only the broker can determine which policy applies to a queue, since
//! policies match names by their own expressions: a queue is created to check that, and deleted.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::lifecycle::Lifecycle;
use super::management::Management;
use super::names;
use crate::backend::{Policy, PolicyState, QueueSpec};
use crate::error::{PubsubError, Result};
use crate::topic::{Class, Queue, Topic};

/// Longer than the longest time for which a host holds a message.
const CONSUMER_TIMEOUT_MS: u32 = 3_600_000;
/// The query for data that the broker has immediately; statistics are some seconds late.
const WITHOUT_STATISTICS: [(&str, &str); 2] = [("disable_stats", "true"), ("enable_queue_totals", "true")];

/// A version of RabbitMQ: major and minor.
type Version = (u32, u32);

/// The types that a flow queue may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Type {
    Quorum,
    Classic,
}

impl Type {
    const ALL: [Type; 2] = [Type::Quorum, Type::Classic];

    fn of(text: &str) -> Option<Self> {
        match text {
            "quorum" => Some(Type::Quorum),
            "classic" => Some(Type::Classic),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Type::Quorum => "weir-quorum",
            Type::Classic => "weir-classic",
        }
    }

    fn apply_to(self) -> &'static str {
        match self {
            Type::Quorum => "quorum_queues",
            Type::Classic => "classic_queues",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Type::Quorum => "without delivery-limit, quorum queues of RabbitMQ 4 delete a message after 20 deliveries",
            Type::Classic => "without consumer-timeout, a message that is held for more than 30 minutes closes its consumer",
        }
    }

    /// What a policy for such queues must contain in a version; if unknown, what the newest may need.
    fn definition(self, version: Option<Version>) -> Map<String, Value> {
        let mut definition = Map::new();
        // Before 4.0 the limit is off unless it is set.
        if self == Type::Quorum && version.is_none_or(|version| version >= (4, 0)) {
            definition.insert("delivery-limit".to_owned(), json!(-1));
        }
        // Policies support it from 3.12; from 4.3 classic queues have no such time-out.
        let has_timeout = version.is_none_or(|version| version >= (3, 12) && (self == Type::Quorum || version < (4, 3)));
        if has_timeout {
            definition.insert("consumer-timeout".to_owned(), json!(CONSUMER_TIMEOUT_MS));
        }
        definition
    }
}

/// One queue, as the management API returns it.
#[derive(Clone, Debug, Deserialize)]
struct ShownQueue {
    name: String,
    #[serde(rename = "type")]
    queue_type: Option<String>,
    /// The name of the one policy that applies to it.
    policy: Option<String>,
}

/// One policy, as the management API returns it.
#[derive(Debug, Deserialize)]
struct PolicyDefinition {
    name: String,
    definition: Map<String, Value>,
}

#[derive(Deserialize)]
struct Overview {
    rabbitmq_version: String,
}

/// The broker's data on the flow queues of a topicspace.
struct ObservedPolicies {
    version: Option<Version>,
    queues: Vec<ShownQueue>,
    policies: BTreeMap<String, Map<String, Value>>,
}

/// The policies that Weir needs, if the broker cannot be queried.
pub(super) fn unknown(vhost: &str, topicspace: &str) -> Vec<Policy> {
    let list_command = format!("rabbitmqctl list_policies -p {}", quoted(vhost));
    let of = |queue_type: Type| policy(queue_type, vhost, topicspace, None, PolicyState::Unknown { list_command: list_command.clone() });
    Type::ALL.map(of).into()
}

/// The policies that Weir needs on this broker, and whether they are set.
pub(super) async fn look(management: &Management, lifecycle: &Lifecycle, topicspace: &str) -> Result<Vec<Policy>> {
    let seen = observe(management, lifecycle, topicspace).await?;
    let of = |queue_type| policy(queue_type, &management.vhost, topicspace, seen.version, state(queue_type, &seen));
    Ok(Type::ALL.map(of).into())
}

/// Sets the policies, also for future queues, except for types whose queues already have what they need.
pub(super) async fn set(management: &Management, lifecycle: &Lifecycle, topicspace: &str) -> Result<Vec<Policy>> {
    let seen = observe(management, lifecycle, topicspace).await?;
    let mut set = Vec::new();
    for queue_type in Type::ALL {
        let definition = queue_type.definition(seen.version);
        if !definition.is_empty() && state(queue_type, &seen) != PolicyState::Set {
            let policy = json!({
                "pattern": pattern(topicspace), "apply-to": queue_type.apply_to(), "priority": 0, "definition": definition,
            });
            management.put(&["policies", &management.vhost, queue_type.name()], &policy).await?;
            set.push(queue_type.name());
        }
    }
    let mut policies = look(management, lifecycle, topicspace).await?;
    for policy in policies.iter_mut().filter(|policy| set.contains(&policy.name.as_str())) {
        if matches!(policy.state, PolicyState::NotNeeded(_)) {
            policy.state = PolicyState::Set;
        }
    }
    Ok(policies)
}

async fn observe(management: &Management, lifecycle: &Lifecycle, topicspace: &str) -> Result<ObservedPolicies> {
    let overview: Option<Overview> = management.get(&["overview"], &[("columns", "rabbitmq_version")]).await?;
    let version = overview.and_then(|overview| version(&overview.rabbitmq_version));
    let refused = |error: crate::topic::NameError| PubsubError::refused_because("the probe for policies cannot be created", error);
    let name = format!("weir-probe-{:016x}", rand::random::<u64>());
    let topic = Topic::new(Class::Flow, topicspace, &name).map_err(refused)?;
    let probe = Queue::new(topic, "probe".parse().map_err(refused)?).map_err(refused)?;
    lifecycle.create(&QueueSpec::new(probe.clone())).await?;
    let queues = all(management, topicspace).await;
    let deleted = lifecycle.delete_now(&probe, names::queue(&probe)?).await;
    let queues = queues?;
    deleted?;
    let policies: Option<Vec<PolicyDefinition>> = management.get(&["policies", &management.vhost], &[]).await?;
    let policies = policies.unwrap_or_default().into_iter().map(|policy| (policy.name, policy.definition)).collect();
    Ok(ObservedPolicies { version, queues, policies })
}

/// The flow queues of a topicspace.
async fn all(management: &Management, topicspace: &str) -> Result<Vec<ShownQueue>> {
    let prefix = format!("{topicspace}.{}.", Class::Flow);
    let queues: Option<Vec<ShownQueue>> = management.get(&["queues", &management.vhost], &WITHOUT_STATISTICS).await?;
    Ok(queues.unwrap_or_default().into_iter().filter(|queue| queue.name.starts_with(&prefix)).collect())
}

fn policy(queue_type: Type, vhost: &str, topicspace: &str, version: Option<Version>, state: PolicyState) -> Policy {
    let definition = Value::Object(queue_type.definition(version));
    let command = format!(
        "rabbitmqctl set_policy -p {} {} {} {} --apply-to {}",
        quoted(vhost),
        queue_type.name(),
        quoted(&pattern(topicspace)),
        quoted(&definition.to_string()),
        queue_type.apply_to()
    );
    Policy { name: queue_type.name().to_owned(), reason: queue_type.reason(), command, state, is_new: false }
}

/// Whether the queues of one type have the required settings.
fn state(queue_type: Type, seen: &ObservedPolicies) -> PolicyState {
    let needed = queue_type.definition(seen.version);
    if needed.is_empty() {
        return PolicyState::NotNeeded("not needed on this version of RabbitMQ".to_owned());
    }
    let mut queues_count = 0;
    let mut lacking: BTreeMap<&str, u64> = BTreeMap::new();
    for queue in seen.queues.iter().filter(|queue| queue.queue_type.as_deref().and_then(Type::of) == Some(queue_type)) {
        queues_count += 1;
        let policy = queue.policy.as_ref().and_then(|name| seen.policies.get(name));
        for (key, value) in &needed {
            if !is_enough(key, value, policy.and_then(|definition| definition.get(key))) {
                *lacking.entry(key).or_default() += 1;
            }
        }
    }
    if queues_count == 0 {
        return PolicyState::NotNeeded(format!("flows have no {} queues", queue_type.apply_to().trim_end_matches("_queues")));
    }
    if lacking.is_empty() {
        return PolicyState::Set;
    }
    let reason_and_cause: Vec<String> = lacking.iter().map(|(key, count)| format!("{count} without a suitable `{key}`")).collect();
    PolicyState::Missing(format!("of {queues_count} {}: {}", queue_type.apply_to().replace('_', " "), reason_and_cause.join(", ")))
}

/// Whether the effective value of a setting is sufficient.
fn is_enough(key: &str, needed: &Value, there: Option<&Value>) -> bool {
    let Some(there) = there.and_then(Value::as_i64) else { return false };
    match key {
        // The operator decides how long handling a message may take.
        "consumer-timeout" => there > 0,
        _ => needed.as_i64() == Some(there),
    }
}

fn version(text: &str) -> Option<Version> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A regular expression for the names of flow queues.
fn pattern(topicspace: &str) -> String {
    let escaped: String =
        topicspace.chars().flat_map(|letter| (!letter.is_alphanumeric()).then_some('\\').into_iter().chain([letter])).collect();
    format!(r"^{escaped}\.flow\.")
}

/// Quoted for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_virtual_host_and_the_queues_of_flows() {
        let policies = unknown("it's", "t-1");
        let [quorum, classic] = policies.as_slice() else { panic!("{policies:?}") };
        let begin = r"rabbitmqctl set_policy -p 'it'\''s' weir-quorum '^t\-1\.flow\.' ";
        assert_eq!(quorum.command, format!(r#"{begin}'{{"consumer-timeout":3600000,"delivery-limit":-1}}' --apply-to quorum_queues"#));
        assert!(classic.command.ends_with("--apply-to classic_queues"), "{}", classic.command);
        assert_eq!(quorum.state, PolicyState::Unknown { list_command: r"rabbitmqctl list_policies -p 'it'\''s'".to_owned() });
    }

    #[test]
    fn the_required_policies_depend_on_the_version() {
        let keys = |queue_type: Type, version| queue_type.definition(Some(version)).keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(Type::Quorum, (3, 10)), Vec::<String>::new());
        assert_eq!(keys(Type::Quorum, (3, 13)), ["consumer-timeout"]);
        assert_eq!(keys(Type::Quorum, (4, 3)), ["consumer-timeout", "delivery-limit"]);
        assert_eq!(keys(Type::Classic, (4, 0)), ["consumer-timeout"]);
        assert_eq!(keys(Type::Classic, (4, 3)), Vec::<String>::new());
        assert_eq!((version("4.0.5"), version("3.10.8"), version("x")), (Some((4, 0)), Some((3, 10)), None));
    }

    #[test]
    fn a_policy_is_judged_by_its_effect_on_queues() {
        let shown = |queue_type: &str, policy: Option<&str>| ShownQueue {
            name: "tg.flow.a.b".to_owned(),
            queue_type: Some(queue_type.to_owned()),
            policy: policy.map(str::to_owned),
        };
        let policies = [
            ("enough", json!({"delivery-limit": -1, "consumer-timeout": 7_200_000})),
            ("other", json!({})),
            ("less", json!({"delivery-limit": 20, "consumer-timeout": 1})),
        ];
        let policies = policies.map(|(name, definition)| (name.to_owned(), definition.as_object().unwrap().clone()));
        let of = |queues: Vec<ShownQueue>| {
            state(Type::Quorum, &ObservedPolicies { version: Some((4, 0)), queues, policies: policies.clone().into() })
        };
        assert_eq!(of(vec![shown("quorum", Some("enough")), shown("classic", None)]), PolicyState::Set);
        assert!(matches!(of(vec![shown("classic", Some("enough"))]), PolicyState::NotNeeded(_)));
        for lacking in [None, Some("other"), Some("less"), Some("unknown")] {
            let PolicyState::Missing(what) = of(vec![shown("quorum", Some("enough")), shown("quorum", lacking)]) else { panic!() };
            assert!(what.starts_with("of 2 quorum queues: 1 without a suitable"), "{what}");
        }
    }
}
