//! Which topics of a processor are consumed and which are outputs.

use std::collections::BTreeMap;

use weir_config::names::is_request_topic_of_service;
use weir_config::records::Descriptor;
use weir_pubsub::Topic;

use super::PlanRefusal;
use super::draft::{DraftProcessor, refuse};
use crate::error::Result;
use crate::naming::shown;

/// The topics of one entry by direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Directions {
    /// Consumed topics, by spec name.
    pub(super) inputs: BTreeMap<String, Topic>,
    /// All other topics, as strings, by spec name.
    pub(super) outputs: BTreeMap<String, String>,
}

/// Determines them from the processor's descriptor, otherwise from the names of the topics.
///
/// # Errors
/// If a topic that the processor needs is missing, or it consumes the requests to a service; the error names the topic.
pub(super) fn of(processor: &DraftProcessor, descriptor: Option<&Descriptor>, notes: &mut Vec<String>) -> Result<Directions> {
    let directions = decided(processor, descriptor, notes)?;
    refuse_requests_to_services(processor, &directions)?;
    Ok(directions)
}

/// Only the service itself may consume the requests to it: any other subscription would get a copy of all of them, including values of the
/// configuration.
fn refuse_requests_to_services(processor: &DraftProcessor, directions: &Directions) -> Result<()> {
    let Some((spec, topic)) = directions.inputs.iter().find(|(_, topic)| is_request_topic_of_service(topic)) else { return Ok(()) };
    refuse(format!("{}, topic `{}`", processor.place, shown(spec)), PlanRefusal::ReadsRequests { topic: topic.clone() })
}

fn decided(processor: &DraftProcessor, descriptor: Option<&Descriptor>, notes: &mut Vec<String>) -> Result<Directions> {
    if let Some(descriptor) = descriptor {
        check_topics(processor, descriptor, notes)?;
        return Ok(split(&processor.topics, |spec| descriptor.consumers.iter().any(|consumer| consumer.name == spec)));
    }
    let directions = by_name(&processor.topics);
    let names = |list: Vec<&String>| {
        if list.is_empty() { "nothing".to_owned() } else { list.into_iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ") }
    };
    if !processor.topics.is_empty() {
        notes.push(format!(
            "{}: nothing is deployed or registered for it, so it is assumed to be an external program that, according to its topic names, \
                 consumes {} and sends to {}",
            processor.place,
            names(directions.inputs.keys().collect()),
            names(directions.outputs.keys().collect()),
        ));
    }
    Ok(directions)
}

/// The rule for processors without a descriptor: `input`, `request` and `*-input` are consumed.
pub(super) fn by_name(topics: &BTreeMap<String, Topic>) -> Directions {
    split(topics, |spec| matches!(spec, "input" | "request") || spec.ends_with("-input"))
}

/// The same from a descriptor, ignoring errors.
pub(super) fn by_descriptor(topics: &BTreeMap<String, Topic>, descriptor: &Descriptor) -> Directions {
    split(topics, |spec| descriptor.consumers.iter().any(|consumer| consumer.name == spec))
}

fn split(topics: &BTreeMap<String, Topic>, is_input: impl Fn(&str) -> bool) -> Directions {
    let mut directions = Directions::default();
    for (spec, topic) in topics {
        if is_input(spec) {
            directions.inputs.insert(spec.clone(), topic.clone());
        } else {
            directions.outputs.insert(spec.clone(), topic.to_string());
        }
    }
    directions
}

fn check_topics(processor: &DraftProcessor, descriptor: &Descriptor, notes: &mut Vec<String>) -> Result<()> {
    let inputs = descriptor.consumers.iter().map(|consumer| (consumer.name.as_str(), "consumes it"));
    let outputs = descriptor.producers.iter().filter(|producer| !producer.optional && producer.name != "*");
    let outputs = outputs.map(|producer| (producer.name.as_str(), "sends to it"));
    let asked = descriptor
        .requests
        .iter()
        .flat_map(|request| [(request.request.as_str(), "sends requests to it"), (request.response.as_str(), "receives answers from it")]);
    for (spec, why) in inputs.chain(outputs).chain(asked) {
        if !processor.topics.contains_key(spec) {
            return refuse(format!("{}, topic `{}`", processor.place, shown(spec)), PlanRefusal::MissingTopic { why });
        }
    }
    if !descriptor.has_open_outputs() {
        for spec in processor.topics.keys().filter(|spec| !knows(descriptor, spec)) {
            notes.push(format!("{}, topic `{}`: the processor does not have it", processor.place, shown(spec)));
        }
    }
    Ok(())
}

fn knows(descriptor: &Descriptor, spec: &str) -> bool {
    descriptor.consumers.iter().any(|consumer| consumer.name == spec)
        || descriptor.producers.iter().any(|producer| producer.name == spec)
        || descriptor.requests.iter().any(|request| request.request == spec || request.response == spec)
}
