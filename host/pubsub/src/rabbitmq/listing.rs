//! The shared queues of a virtual host. If topic and subscription both contain dots, a queue's name alone does not determine them; its binding does.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::management::Management;
use crate::error::{PubsubError, Result};
use crate::topic::{Queue, Topic};

const COLUMNS: (&str, &str) = ("columns", "source,destination,destination_type,routing_key");

/// One binding, as the management API returns it. Each queue also has one to the default exchange, whose name is empty.
#[derive(Debug, Deserialize)]
struct Binding {
    source: String,
    destination: String,
    destination_type: String,
    routing_key: String,
}

/// The names of all `flow` and `request` queues of the virtual host, in order of topic and subscription.
pub(super) async fn list(management: &Management) -> Result<Vec<Queue>> {
    let bindings: Option<Vec<Binding>> = management.get(&["bindings", &management.vhost], &[COLUMNS]).await?;
    let bindings = bindings.ok_or_else(|| PubsubError::Refused {
        reason: format!("broker.management: it has no virtual host `{}`: use the API of the same broker", management.vhost),
        source: None,
    })?;
    Ok(queues(&bindings))
}

fn queues(bindings: &[Binding]) -> Vec<Queue> {
    let mut found: BTreeMap<&str, Queue> = BTreeMap::new();
    let to_queues = || bindings.iter().filter(|binding| binding.destination_type == "queue");
    for binding in to_queues() {
        if let Some(queue) = bound(binding) {
            found.insert(&binding.destination, queue);
        }
    }
    for binding in to_queues().filter(|binding| binding.source.is_empty()) {
        if !found.contains_key(binding.destination.as_str())
            && let Some(queue) = unbound(&binding.destination)
        {
            found.insert(&binding.destination, queue);
        }
    }
    let mut queues: Vec<Queue> = found.into_values().collect();
    let key = |queue: &Queue| (queue.topic().to_string(), queue.subscription().to_string());
    queues.sort_by_cached_key(key);
    queues
}

/// The queue of a binding from the exchange of its topicspace with the routing key of its topic.
fn bound(Binding { source, destination, routing_key, .. }: &Binding) -> Option<Queue> {
    let subscription =
        destination.strip_prefix(source.as_str())?.strip_prefix('.')?.strip_prefix(routing_key.as_str())?.strip_prefix('.')?;
    let (class, name) = routing_key.split_once('.')?;
    queue(class, source, name, subscription)
}

/// The queue with this name if it has no binding: the process creating it was stopped in between.
fn unbound(name: &str) -> Option<Queue> {
    let (topicspace, rest) = name.split_once('.')?;
    let (class, rest) = rest.split_once('.')?;
    let (name, subscription) = rest.rsplit_once('.')?;
    queue(class, topicspace, name, subscription)
}

fn queue(class: &str, topicspace: &str, name: &str, subscription: &str) -> Option<Queue> {
    let topic: Topic = format!("{class}:{topicspace}:{name}").parse().ok()?;
    topic.class().has_queues().then(|| Queue::new(topic, subscription.parse().ok()?).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(source: &str, destination: &str, routing_key: &str) -> Binding {
        let text = |text: &str| text.to_owned();
        Binding { source: text(source), destination: text(destination), destination_type: text("queue"), routing_key: text(routing_key) }
    }

    #[test]
    fn queues_are_recognized_by_their_bindings() {
        let own = |name| binding("", name, name);
        let bindings = [
            own("tg.flow.a.b.p--one--in.x"),
            own("tg.request.config.config-svc"),
            own("amq.gen-1234"),
            own("other"),
            own("tg.notify.config.x"),
            binding("tg", "tg.flow.a.b.p--one--in.x", "flow.a.b"),
            binding("tg", "amq.gen-1234", "response.config"),
            binding("tg", "other", "flow.a"),
            Binding { destination_type: "exchange".to_owned(), ..binding("tg", "tg.flow.c.d", "flow.c") },
        ];
        let names: Vec<_> = queues(&bindings).iter().map(|queue| format!("{} {}", queue.topic(), queue.subscription())).collect();
        assert_eq!(names, ["flow:tg:a.b p--one--in.x", "request:tg:config config-svc"]);
    }
}
