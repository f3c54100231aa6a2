//! Finds the flows and the processor that a dead letter is from. Pure.

use std::collections::{BTreeMap, HashMap};

use weir_config::names::{parts_of_subscription, spec_of_subscription};
use weir_config::records::DeadLetter;
use weir_flow::protocol::FlowRecord;

/// The origin of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The flows that use its queue; several can share one. If no flow uses it any more: the variant, which is usually the flow's id.
    pub(crate) flows: Vec<String>,
    /// The processor.
    pub(crate) processor: String,
    /// The key of its entry.
    pub(crate) variant: String,
}

/// The owners of all current queues of flows.
pub(crate) struct Owners(HashMap<(String, String), Owner>);

impl Owners {
    /// Reads the flows' plans.
    pub(crate) fn of(records: &BTreeMap<String, FlowRecord>) -> Self {
        let mut owners: HashMap<(String, String), Owner> = HashMap::new();
        for (id, record) in records {
            let Some(plan) = &record.plan else { continue };
            for queue in &plan.queues {
                let known =
                    plan.entries.iter().find(|entry| spec_of_subscription(&queue.subscription, &entry.processor, &entry.variant).is_some());
                let Some(entry) = known else { continue };
                let owner = owners.entry((queue.topic.clone(), queue.subscription.clone())).or_insert_with(|| Owner {
                    flows: Vec::new(),
                    processor: entry.processor.clone(),
                    variant: entry.variant.clone(),
                });
                owner.flows.push(id.clone());
            }
        }
        Owners(owners)
    }

    /// The owner of a dead letter; `None` if its subscription is not that of a processor.
    pub(crate) fn owner(&self, dead_letter: &DeadLetter) -> Option<Owner> {
        let known = self.0.get(&(dead_letter.topic.clone(), dead_letter.subscription.clone()));
        known.cloned().or_else(|| of_subscription(&dead_letter.subscription))
    }
}

fn of_subscription(subscription: &str) -> Option<Owner> {
    let (processor, variant) = parts_of_subscription(subscription)?;
    Some(Owner { flows: vec![variant.to_owned()], processor: processor.to_owned(), variant: variant.to_owned() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_belongs_to_every_flow_that_uses_its_queue() {
        let record = |id: &str| -> FlowRecord {
            let text = format!(
                r#"{{"blueprint-name": "b", "plan": {{"queues": [{{"topic": "flow:tg:shared", "subscription": "p--b--input"}},
                {{"topic": "flow:tg:in", "subscription": "a--b--{id}--input"}}, {{"topic": "flow:tg:out", "subscription": "gateway--{id}--out"}}],
                "entries": [{{"processor": "p", "variant": "b"}}, {{"processor": "a--b", "variant": "{id}"}}]}}}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let owners = Owners::of(&BTreeMap::from([("one".to_owned(), record("one")), ("two".to_owned(), record("two"))]));
        let owner = |topic: &str, subscription: &str| {
            let dead_letter = DeadLetter { topic: topic.into(), subscription: subscription.into(), ..DeadLetter::default() };
            owners.owner(&dead_letter).map(|owner| (owner.flows.join(","), owner.processor, owner.variant))
        };
        let expected = |flows: &str, processor: &str, variant: &str| Some((flows.to_owned(), processor.to_owned(), variant.to_owned()));
        assert_eq!(owner("flow:tg:shared", "p--b--input"), expected("one,two", "p", "b"));
        assert_eq!(owner("flow:tg:in", "a--b--two--input"), expected("two", "a--b", "two"));
        assert_eq!(owner("flow:tg:gone", "p--three--input"), expected("three", "p", "three"));
        assert_eq!(owner("flow:tg:x", "somebody"), None);
    }
}
