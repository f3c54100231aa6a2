//! What leads nowhere: most often a topic was written in two ways. It is told and not refused, as others may come to read or send.

use std::collections::BTreeSet;

use weir_pubsub::{Class, Topic};

use super::draft::Draft;
use super::{Plan, World, ownership};
use crate::blueprint::shown;
use crate::protocol::{EntryRecord, Interface};

/// Outputs that nobody reads, and interfaces of which no processor knows, for people.
pub(super) fn ends(draft: &Draft, plan: &Plan, world: &World) -> Vec<String> {
    let offered: BTreeSet<&str> = draft.interfaces.values().filter_map(topic).collect();
    let others = || ownership::plans(&world.flows, &draft.id);
    let queues = others().flat_map(|plan| &plan.queues).chain(&plan.queues);
    let read: BTreeSet<&str> = queues.map(|queue| queue.topic.as_str()).chain(offered.iter().copied()).collect();
    let ours = || plan.record.plan.iter().flat_map(|plan| &plan.entries);
    let mut notes = Vec::new();
    for entry in ours() {
        for (spec, topic) in entry.outputs.iter().filter(|(_, topic)| is_flow(topic) && !read.contains(topic.as_str())) {
            notes.push(format!(
                "{}, topic `{}`: nothing reads {}, and no interface names it: what is sent there is dropped",
                place(draft, entry),
                shown(spec),
                shown(topic)
            ));
        }
    }
    let outputs = others().flat_map(|plan| &plan.entries).chain(ours()).flat_map(|entry| entry.outputs.values()).map(String::as_str);
    let inputs = draft.processors.iter().flat_map(|processor| processor.topics.values()).map(ToString::to_string);
    let mut known: BTreeSet<String> = outputs.map(str::to_owned).chain(inputs).collect();
    known.extend(others().flat_map(|plan| &plan.queues).map(|queue| queue.topic.clone()));
    for (name, interface) in &draft.interfaces {
        if let Some(topic) = topic(interface).filter(|topic| is_flow(topic) && !known.contains(*topic)) {
            notes.push(format!(
                "section `interfaces`, interface `{}`: no processor reads {} or sends to it: what is sent there stays there",
                shown(name),
                shown(topic)
            ));
        }
    }
    notes
}

fn place<'d>(draft: &'d Draft, entry: &EntryRecord) -> &'d str {
    let is_it = |processor: &&super::DraftProcessor| processor.key == super::EntryKey::of(entry);
    draft.processors.iter().find(is_it).map_or("a processor", |processor| &processor.place)
}

fn topic(interface: &Interface) -> Option<&str> {
    match interface {
        Interface::Flow { flow } => Some(flow),
        Interface::Service { .. } => None,
    }
}

fn is_flow(topic: &str) -> bool {
    topic.parse::<Topic>().is_ok_and(|topic| topic.class() == Class::Flow)
}
