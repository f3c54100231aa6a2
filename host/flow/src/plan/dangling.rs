//! Dangling ends: usually two spellings of a topic. They are reported but not refused, since other programs may consume or send later.

use std::collections::BTreeSet;

use weir_pubsub::{Class, Topic};

use super::draft::Draft;
use super::{Snapshot, StartPlan, ownership};
use crate::naming::shown;
use crate::protocol::{EntryRecord, Interface};

/// Outputs without a consumer, and interfaces unknown to all processors, for people.
pub(super) fn dangling_ends(draft: &Draft, plan: &StartPlan, snapshot: &Snapshot) -> Vec<String> {
    let others = || ownership::plans(&snapshot.flows, &draft.id);
    let read_by_others: BTreeSet<&str> = others().flat_map(|plan| &plan.queues).map(|queue| queue.topic.as_str()).collect();
    // The entries of a plan are in the order of the processors.
    let entries: &[EntryRecord] = plan.record.plan.as_ref().map_or(&[], |plan| &plan.entries);

    let read_here = plan.queues.iter().map(|queue| queue.topic.as_str());
    let offered = draft.interfaces.values().filter_map(flow_topic);
    let read: BTreeSet<&str> = read_here.chain(offered).chain(read_by_others.iter().copied()).collect();
    let unread = draft.processors.iter().zip(entries).flat_map(|(processor, entry)| {
        let unread = entry.outputs.iter().filter(|(_, topic)| is_flow(topic) && !read.contains(topic.as_str()));
        unread.map(|(spec, topic)| {
            let (place, spec, topic) = (&processor.place, shown(spec), shown(topic));
            format!("{place}, topic `{spec}`: {topic} has no subscriber and no interface: messages sent to it are dropped")
        })
    });

    let named_here = draft.processors.iter().flat_map(|processor| processor.topics.values()).map(Topic::as_str);
    let sent_by_others = others().flat_map(|plan| &plan.entries).flat_map(|entry| entry.outputs.values()).map(String::as_str);
    let known: BTreeSet<&str> = named_here.chain(sent_by_others).chain(read_by_others.iter().copied()).collect();
    let unknown = draft.interfaces.iter().filter_map(|(name, interface)| {
        let topic = flow_topic(interface).filter(|topic| is_flow(topic) && !known.contains(topic))?;
        let (name, topic) = (shown(name), shown(topic));
        Some(format!(
            "section `interfaces`, interface `{name}`: no processor consumes {topic} or sends to it: messages sent to it stay in \
             the queue"
        ))
    });
    unread.chain(unknown).collect()
}

fn flow_topic(interface: &Interface) -> Option<&str> {
    match interface {
        Interface::Flow { flow } => Some(flow),
        Interface::Service { .. } => None,
    }
}

fn is_flow(topic: &str) -> bool {
    topic.parse::<Topic>().is_ok_and(|topic| topic.class() == Class::Flow)
}
