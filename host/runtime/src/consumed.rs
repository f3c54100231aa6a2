//! The output topics of a variant that some flow consumes, according to its current entry.

use tokio::sync::watch;
use weir_config::records::Entry;
use weir_pubsub::{Routing, Topic};

/// The consumed topics. Shared by everything that a variant ever runs: messages sent before a swap are settled by the current entry, too.
#[derive(Clone, Debug)]
pub(crate) struct Consumed(watch::Sender<Vec<Topic>>);

impl Consumed {
    /// No topic is consumed yet.
    pub(crate) fn new() -> Self {
        Consumed(watch::Sender::new(Vec::new()))
    }

    /// Applies an entry.
    pub(crate) fn set(&self, entry: &Entry) {
        let topics: Vec<Topic> = entry.consumed.iter().filter_map(|output| entry.topics.get(output)?.parse().ok()).collect();
        self.0.send_if_modified(|now| {
            let is_other = *now != topics;
            *now = topics;
            is_other
        });
    }

    /// Whether a message on this topic must find a queue.
    pub(crate) fn routing(&self, topic: &Topic) -> Routing {
        if self.0.borrow().contains(topic) { Routing::Required } else { Routing::Optional }
    }

    /// A receiver of changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<Vec<Topic>> {
        self.0.subscribe()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn entry(consumed: &str) -> Entry {
        let topics = r#"{"a": "flow:tg:a", "b": "flow:tg:b", "bad": "none"}"#;
        serde_json::from_str(&format!(r#"{{"topics": {topics}, "parameters": {{}}, "consumed": {consumed}}}"#)).unwrap()
    }

    #[test]
    fn only_outputs_listed_in_the_entry_require_a_queue() {
        let consumed = Consumed::new();
        let routing = |topic: &str| consumed.routing(&topic.parse().unwrap());
        assert_eq!(routing("flow:tg:a"), Routing::Optional);
        consumed.set(&entry(r#"["a", "bad", "unknown"]"#));
        assert_eq!((routing("flow:tg:a"), routing("flow:tg:b")), (Routing::Required, Routing::Optional));
        let changes = consumed.changes();
        consumed.set(&entry(r#"["a"]"#));
        assert!(!changes.has_changed().unwrap());
        consumed.set(&entry("[]"));
        assert!(changes.has_changed().unwrap());
        assert_eq!(routing("flow:tg:a"), Routing::Optional);
    }
}
