//! `context`: where the instance runs and what it is working on.

use crate::testing::instance::{Phase, here};

pub(crate) fn processor() -> String {
    here("the processor's name", |instance| instance.descriptor.name.clone().unwrap_or_else(|| "processor".to_owned()))
}

pub(crate) fn flow() -> String {
    here("the flow", |instance| instance.flow.clone())
}

pub(crate) fn variant() -> String {
    here("the variant", |instance| instance.flow.clone())
}

pub(crate) fn deployment() -> String {
    let version = here("the deployment", |instance| instance.descriptor.version.clone());
    format!("{}@{}", processor(), version.as_deref().unwrap_or("0.0.0"))
}

pub(crate) fn parameter(name: &str) -> Option<String> {
    here("a parameter", |instance| instance.parameters.get(name).cloned())
}

pub(crate) fn parameters() -> Vec<(String, String)> {
    here("parameters", |instance| instance.parameters.clone().into_iter().collect())
}

pub(crate) fn outputs() -> Vec<String> {
    here("the outputs", |instance| {
        let with_topics = instance.outputs.iter().filter(|(_, has_topic)| *has_topic);
        with_topics.map(|(name, _)| name.clone()).collect()
    })
}

pub(crate) fn message_id() -> String {
    here("the message", |instance| instance.call.message_id.clone())
}

pub(crate) fn attempt() -> u32 {
    here("the attempt", |instance| instance.call.attempt)
}

pub(crate) fn remaining_ms() -> u32 {
    here("the time left", |instance| match instance.call.phase {
        Phase::Handle | Phase::Setup => crate::time::whole_ms(instance.time_left),
    })
}
