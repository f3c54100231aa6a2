//! A blueprint with its variables filled in.

use std::collections::BTreeMap;

use weir_config::records::{ComponentRef, Entry};
use weir_pubsub::Topic;

use super::{EntryKey, PlanRefusal};
use crate::blueprint::{Blueprint, ProcessorTemplate};
use crate::error::{FlowError, Result};
use crate::naming::{check_name, shown};
use crate::parameters::Resolved;
use crate::protocol::{FlowRecord, Interface};
use crate::template::{ID, Scope, mentions};

/// The identity of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowIdentity {
    /// Its id.
    pub id: String,
    /// The blueprint's name.
    pub blueprint: String,
    /// Its purpose, for people.
    pub description: String,
}

/// A flow with all names resolved, independent of deployments and other flows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// The flow's id.
    pub id: String,
    /// The blueprint's name.
    pub blueprint: String,
    /// The purpose of the flow, for people.
    pub description: String,
    /// The values that it runs with.
    pub parameters: BTreeMap<String, String>,
    /// Its interfaces.
    pub interfaces: BTreeMap<String, Interface>,
    /// Its processors.
    pub processors: Vec<DraftProcessor>,
    /// Assumptions, for people.
    pub notes: Vec<String>,
}

/// One processor of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftProcessor {
    /// Section and key in the blueprint, for errors.
    pub place: String,
    /// The address of its entry.
    pub key: EntryKey,
    /// Topic by spec name.
    pub topics: BTreeMap<String, Topic>,
    /// Value by parameter name.
    pub parameters: BTreeMap<String, String>,
    /// The deployment that the blueprint names.
    pub component: Option<String>,
    /// Whether the variant belongs only to this flow: its template contains `{id}`.
    pub belongs_to_flow: bool,
}

pub(super) fn refuse<T>(place: impl Into<String>, refusal: impl Into<PlanRefusal>) -> Result<T> {
    Err(FlowError::Plan { place: place.into(), source: refusal.into() })
}

impl Draft {
    /// Fills in a blueprint.
    ///
    /// # Errors
    /// [`FlowError::Plan`]: a variant or topic contains an undefined variable, a name is too long or has invalid characters, or two processors have
    /// the same entry.
    pub fn new(flow: FlowIdentity, blueprint: &Blueprint, resolved: Resolved) -> Result<Self> {
        let scope = Scope { id: &flow.id, blueprint: &flow.blueprint, parameters: &resolved.values };
        let mut places = BTreeMap::<EntryKey, &str>::new();
        let mut processors = Vec::with_capacity(blueprint.processors.len());
        let mut notes = resolved.notes;
        notes.extend(blueprint.unknown.iter().cloned());
        for template in &blueprint.processors {
            let processor = fill_in(template, scope)?;
            notes.extend(left_open(template, scope));
            if let Some(other) = places.insert(processor.key.clone(), &template.place) {
                let (variant, other) = (processor.key.variant.clone(), (*other).to_owned());
                return refuse(&template.place, PlanRefusal::SameEntry { variant, other });
            }
            processors.push(processor);
        }
        let interfaces = blueprint.interfaces.iter().map(|(name, interface)| (name.clone(), fill_in_interface(interface, scope))).collect();
        Ok(Draft {
            id: flow.id,
            blueprint: flow.blueprint,
            description: flow.description,
            interfaces,
            processors,
            parameters: resolved.values,
            notes,
        })
    }

    /// All topics that it names, as strings.
    pub fn named_topics(&self) -> Vec<String> {
        let offered = self.interfaces.values().flat_map(|interface| match interface {
            Interface::Flow { flow } => vec![flow.clone()],
            Interface::Service { request, response } => vec![request.clone(), response.clone()],
        });
        let topics = self.processors.iter().flat_map(|processor| processor.topics.values());
        topics.map(ToString::to_string).chain(offered).collect()
    }

    /// The record without a plan.
    pub(super) fn record(&self) -> FlowRecord {
        FlowRecord {
            description: self.description.clone(),
            blueprint_name: self.blueprint.clone(),
            interfaces: self.interfaces.clone(),
            parameters: self.parameters.clone(),
            status: None,
            backlog: None,
            request: None,
            stop_request: None,
            plan: None,
        }
    }
}

impl DraftProcessor {
    /// The entry, without its consumed outputs.
    pub(super) fn entry(&self, flow: &str, component: Option<ComponentRef>) -> Entry {
        Entry {
            topics: self.topics.iter().map(|(spec, topic)| (spec.clone(), topic.to_string())).collect(),
            parameters: self.parameters.clone(),
            flow: self.belongs_to_flow.then(|| flow.to_owned()),
            component,
            ..Entry::default()
        }
    }
}

fn fill_in(template: &ProcessorTemplate, scope: Scope<'_>) -> Result<DraftProcessor> {
    let place = &template.place;
    let variant = filled(place, "the variant", &template.variant, scope)?;
    check_name(&variant).or_else(|problem| refuse(format!("{place}, variant `{}`", shown(&variant)), PlanRefusal::Name { problem }))?;
    let mut topics = BTreeMap::new();
    for (spec, topic) in &template.topics {
        let spec = scope.render(spec);
        let at = format!("{place}, topic `{}`", shown(&spec));
        check_name(&spec).or_else(|problem| refuse(&at, PlanRefusal::Name { problem }))?;
        let text = filled(&at, "the topic", topic, scope)?;
        let topic = text.parse::<Topic>().or_else(|error| refuse(&at, error))?;
        if topics.insert(spec, topic).is_some() {
            return refuse(at, PlanRefusal::SameSpec);
        }
    }
    let parameters = template.parameters.iter().map(|(name, value)| (scope.render(name), scope.render(value))).collect();
    Ok(DraftProcessor {
        place: place.clone(),
        key: EntryKey { processor: template.processor.clone(), variant },
        topics,
        parameters,
        component: template.component.as_deref().map(|component| scope.render(component)),
        belongs_to_flow: mentions(&template.variant, ID),
    })
}

/// Parameters that are an undefined variable: they stay unchanged; usually a value was forgotten.
fn left_open(template: &ProcessorTemplate, scope: Scope<'_>) -> impl Iterator<Item = String> {
    template.parameters.iter().filter_map(move |(name, value)| {
        let variable = scope.unknown_in(value).filter(|variable| *value == format!("{{{variable}}}"))?;
        let place = format!("{}, parameter `{}`", template.place, shown(name));
        Some(format!("{place}: {{{0}}} is undefined and left unchanged: the flow's parameter `{0}` has no value", shown(variable)))
    })
}

fn filled(place: &str, what: &'static str, template: &str, scope: Scope<'_>) -> Result<String> {
    match scope.unknown_in(template) {
        Some(variable) => refuse(place, PlanRefusal::Undefined { what, template: template.to_owned(), variable: variable.to_owned() }),
        None => Ok(scope.render(template)),
    }
}

fn fill_in_interface(interface: &Interface, scope: Scope<'_>) -> Interface {
    match interface {
        Interface::Flow { flow } => Interface::Flow { flow: scope.render(flow) },
        Interface::Service { request, response } => Interface::Service { request: scope.render(request), response: scope.render(response) },
    }
}
