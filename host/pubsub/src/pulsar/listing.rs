//! The queues of a broker: those of all tenants for a superuser, otherwise those of known tenants.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::admin::Admin;
use super::names::{self, TopicName, quoted};
use crate::error::{PubsubError, Result};
use crate::topic::{Class, Queue, Topic};

/// How many topics are queried concurrently.
const TOGETHER_COUNT: usize = 8;

/// The names of all `flow` and `request` queues, in order of topic and subscription. A `request` queue is listed once it had a consumer. Only a
/// superuser can list all tenants; for others, `known` are used.
pub(super) async fn list(admin: &Admin, known: Vec<String>) -> Result<Vec<Queue>> {
    let tenants: Vec<String> = match admin.get("tenants").await {
        Ok(tenants) => tenants.unwrap_or_default(),
        Err(PubsubError::Refused { .. }) => known,
        Err(error) => return Err(error),
    };
    let mut topics: Vec<Topic> = Vec::new();
    for tenant in tenants {
        let namespaces: Vec<String> = admin.get(&format!("namespaces/{}", quoted(&tenant))).await?.unwrap_or_default();
        for class in [Class::Flow, Class::Request] {
            if !namespaces.contains(&format!("{tenant}/{class}")) {
                continue;
            }
            let domain = if class.is_durable() { "persistent" } else { "non-persistent" };
            let found = admin.topics(domain, &tenant, class.as_str()).await?;
            topics.extend(found.iter().filter_map(|url| names::topic(class, url)));
        }
    }
    topics.sort();
    topics.dedup();
    let of_each = stream::iter(topics).map(|topic| queues(admin, topic)).buffered(TOGETHER_COUNT);
    let mut queues: Vec<Queue> = of_each.try_collect::<Vec<_>>().await?.into_iter().flatten().collect();
    queues.sort();
    Ok(queues)
}

async fn queues(admin: &Admin, topic: Topic) -> Result<Vec<Queue>> {
    let Ok(topic_name) = TopicName::of(&topic) else { return Ok(Vec::new()) };
    let subscriptions = admin.subscriptions(&topic_name).await?.unwrap_or_default();
    Ok(subscriptions.iter().filter_map(|subscription| names::queue(&topic, subscription)).collect())
}
