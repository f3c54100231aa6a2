//! What a host should run, as its configuration states it: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_config::records::{COMPONENT_TYPE, ComponentRecord, ComponentRef, ENTRY_TYPE_PREFIX, Entry, entry_type};

use crate::config_state::FollowedTypes;
use crate::deployments::Deployments;
use crate::status::VariantKey;

/// Which processors a host serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// Every entry that names a component, of any processor.
    All,
    /// These names; entries without a component get the one given to the host for the processor, otherwise the newest deployment of that
    /// name.
    Names(BTreeSet<String>),
}

impl Served {
    pub(crate) fn includes(&self, processor: &str) -> bool {
        match self {
            Served::All => true,
            Served::Names(names) => names.contains(processor),
        }
    }
}

/// The desired state of one variant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Desired {
    /// It should run.
    Run(Box<Workload>),
    /// It should exist and take no messages.
    Paused(Box<Workload>),
    /// It cannot run until the entry or a deployment is changed.
    Broken {
        /// The problem, for people.
        problem: String,
        /// The component of the entry, if it names one.
        component: Option<ComponentRef>,
    },
}

impl Desired {
    /// The component of the entry.
    pub(crate) fn component(&self) -> Option<&ComponentRef> {
        match self {
            Desired::Run(work) | Desired::Paused(work) => Some(work.missing.as_ref().map_or(&work.component, |(component, _)| component)),
            Desired::Broken { component, .. } => component.as_ref(),
        }
    }
}

/// The workload of a variant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Workload {
    pub(crate) entry: Arc<Entry>,
    pub(crate) component: ComponentRef,
    pub(crate) record: Arc<ComponentRecord>,
    /// The previous component, to run if this one cannot be run.
    pub(crate) previous: Option<(ComponentRef, Arc<ComponentRecord>)>,
    /// The component of the entry if it cannot be tried, and why; `component` is then the previous one.
    pub(crate) missing: Option<(ComponentRef, String)>,
}

impl Workload {
    /// Whether other work reads and sends the same, whichever component does it.
    pub(crate) fn has_same_io(&self, other: &Workload) -> bool {
        let Entry { topics, parameters, flow, component: _, previous: _, consumed: _, paused: _ } = &*self.entry;
        (topics, parameters, flow) == (&other.entry.topics, &other.entry.parameters, &other.entry.flow)
    }

    pub(crate) fn is_same_as(&self, other: &Workload) -> bool {
        self.has_same_io(other) && self.component == other.component && self.record == other.record
    }

    /// Whether what is prepared for other work also serves this one: they differ only in what flows consume.
    pub(crate) fn prepares_as(&self, other: &Workload) -> bool {
        self.is_same_as(other) && (&self.previous, &self.missing) == (&other.previous, &other.missing)
    }

    /// The same with the previous component.
    pub(crate) fn previous(&self) -> Option<Workload> {
        let (component, record) = self.previous.clone()?;
        Some(Workload { entry: self.entry.clone(), component, record, previous: None, missing: None })
    }
}

/// A parsed entry.
#[derive(Clone, Debug)]
pub(crate) struct ReadEntry(Result<Named, String>);

/// An entry and the component that it names. Kept apart: the component can change without the entry, and is compared separately.
#[derive(Clone, Debug)]
struct Named {
    entry: Arc<Entry>,
    component: Option<ComponentRef>,
}

impl ReadEntry {
    /// Parses the text of an entry.
    pub(crate) fn of(text: &str) -> Self {
        let named = |mut entry: Entry| {
            let component = entry.component.take();
            Named { entry: Arc::new(entry), component }
        };
        let faulty = |error| format!("the entry is unreadable: {error}; write it by starting a flow");
        ReadEntry(serde_json::from_str(text).map(named).map_err(faulty))
    }
}

/// The desired state of one entry; `None` if it does not belong to the host.
pub(crate) fn desired_of_entry(processor: &str, read: &ReadEntry, components: &mut Deployments, served: &Served) -> Option<Desired> {
    let Named { entry, component } = match &read.0 {
        Ok(named) => named.clone(),
        Err(problem) => return Some(broken(problem.clone())),
    };
    let component = match (component, served) {
        (Some(component), _) => component,
        // An external program.
        (None, Served::All) => return None,
        (None, Served::Names(_)) => match components.newest(processor) {
            Ok(component) => component,
            Err(problem) => return Some(broken(problem)),
        },
    };
    let previous = entry.previous.clone().and_then(|previous| Some((components.record(&previous).ok()?, previous)));
    let work = match (components.record(&component), previous) {
        (Ok(record), previous) => {
            let previous = previous.map(|(record, component)| (component, record));
            Box::new(Workload { entry, component, record, previous, missing: None })
        }
        (Err(problem), Some((record, previous))) => {
            Box::new(Workload { entry, component: previous, record, previous: None, missing: Some((component, problem)) })
        }
        (Err(problem), None) => return Some(Desired::Broken { problem, component: Some(component) }),
    };
    Some(if work.entry.paused { Desired::Paused(work) } else { Desired::Run(work) })
}

fn broken(problem: String) -> Desired {
    Desired::Broken { problem, component: None }
}

/// The config types that a host must know for what it serves: entries, deployments, the types that its components declare, and those in use
/// by running components. Anything else in the configuration, and its size, does not concern it.
pub(crate) fn types_to_follow(served: &Served, desired: &BTreeMap<VariantKey, Desired>, in_use: BTreeSet<String>) -> FollowedTypes {
    let (mut types, prefix) = match served {
        Served::All => (BTreeSet::new(), Some(ENTRY_TYPE_PREFIX)),
        Served::Names(names) => (names.iter().map(|name| entry_type(name)).collect(), None),
    };
    types.insert(COMPONENT_TYPE.to_owned());
    types.extend(in_use);
    for desired in desired.values() {
        if let Desired::Run(work) | Desired::Paused(work) = desired {
            let records = std::iter::once(&work.record).chain(work.previous.as_ref().map(|(_, record)| record));
            types.extend(records.flat_map(|record| &record.descriptor.config_types).map(|config_type| config_type.name.clone()));
        }
    }
    FollowedTypes { types, prefix }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::config_state::ConfigState;
    use crate::deployments::GivenComponent;
    use crate::desired_state::DesiredState;
    use crate::reconcile::{ReconcileAction, next_action};
    use serde_json::{Value, json};
    use weir_config::{Change, Content};

    /// All variants that a host serves.
    fn desired(state: &ConfigState, served: &Served) -> BTreeMap<VariantKey, Desired> {
        let mut desired_state = DesiredState::default();
        desired_state.update(state, served);
        desired_state.all().clone()
    }

    #[test]
    fn components_given_to_a_host_run_without_and_before_any_deployment() {
        let record: ComponentRecord = serde_json::from_value(deployed("ef")).unwrap();
        let component: ComponentRef = serde_json::from_value(entry("1.10.0", "ef")["component"].clone()).unwrap();
        let given = GivenComponent { component, record: Arc::new(record) };
        let mut desired_state = DesiredState::new(BTreeMap::from([("p".to_owned(), given)]));
        let without = json!({"topics": {"input": "flow:tg:x"}});
        let mut values =
            vec![("processor:p", "v", without), ("processor:p", "w", entry("1.9.0", "ab")), ("component", "p@1.9.0", deployed("ab"))];
        let mut digests = |values: &[(&str, &str, Value)]| -> Vec<String> {
            desired_state.update(&state(values), &names(&["p"]));
            let digest = |desired: &Desired| match desired {
                Desired::Run(work) => work.record.digest.to_string(),
                other => panic!("{other:?}"),
            };
            desired_state.all().values().map(digest).collect()
        };
        assert_eq!(digests(&values), [digest("ef"), digest("ab")]);
        // Its version is used by another file: the given component runs nevertheless.
        values.push(("component", "p@1.10.0", deployed("cd")));
        assert_eq!(digests(&values), [digest("ef"), digest("ab")]);
    }

    fn digest(byte: &str) -> String {
        format!("sha256:{}", byte.repeat(32))
    }

    fn deployed(byte: &str) -> Value {
        json!({"digest": digest(byte), "size-bytes": 1, "world": "0.1.0", "descriptor": {"schema": 1, "config-types": ["prompt"]}})
    }

    fn state(values: &[(&str, &str, Value)]) -> ConfigState {
        let mut types: BTreeMap<String, Content> = BTreeMap::new();
        for (config_type, key, value) in values {
            types.entry((*config_type).to_owned()).or_default().insert((*key).to_owned(), value.to_string());
        }
        let types = types.into_iter().map(|(name, content)| (name, Arc::new(content))).collect();
        ConfigState::default().after(Change { version: 1, types }, None)
    }

    fn entry(version: &str, byte: &str) -> Value {
        json!({"topics": {"input": "flow:tg:x"}, "component": {"name": "p", "version": version, "digest": digest(byte)}})
    }

    fn names(names: &[&str]) -> Served {
        Served::Names(names.iter().map(ToString::to_string).collect())
    }

    fn one(state: &ConfigState, served: &Served) -> Desired {
        let all = desired(state, served);
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_values().next().unwrap()
    }

    #[test]
    fn an_entry_runs_the_component_that_it_names() {
        let state = state(&[("component", "p@1.0.0", deployed("ab")), ("processor:p", "v", entry("1.0.0", "ab"))]);
        assert!(matches!(one(&state, &Served::All), Desired::Run(work) if work.component.key() == "p@1.0.0"));
        assert!(desired(&state, &names(&["other"])).is_empty());
    }

    #[test]
    fn entry_faults_report_the_fix() {
        let check = |values: &[(&str, &str, Value)], word: &str| match one(&state(values), &Served::All) {
            Desired::Broken { problem, .. } => assert!(problem.contains(word), "{problem}"),
            other => panic!("{other:?}"),
        };
        check(&[("processor:p", "v", json!("text"))], "unreadable");
        check(&[("processor:p", "v", entry("1.0.0", "ab"))], "weir deploy p@1.0.0 FILE.wasm");
        check(&[("component", "p@1.0.0", deployed("cd")), ("processor:p", "v", entry("1.0.0", "ab"))], "the entry requires sha256:abab");
        check(&[("component", "p@1.0.0", json!(1)), ("processor:p", "v", entry("1.0.0", "ab"))], "deploy it again");
    }

    #[test]
    fn an_out_of_range_number_in_a_deployment_breaks_only_its_own_entries() {
        let mut huge = deployed("cd");
        huge["descriptor"]["concurrency"] = json!(4_294_967_295_u32);
        let mut other = entry("2.0.0", "cd");
        other["component"]["name"] = json!("q");
        let state = state(&[
            ("component", "p@1.0.0", deployed("ab")),
            ("component", "q@2.0.0", huge),
            ("processor:p", "v", entry("1.0.0", "ab")),
            ("processor:q", "v", other),
        ]);
        let all: Vec<Desired> = desired(&state, &Served::All).into_values().collect();
        assert!(matches!(&all[0], Desired::Run(_)), "{all:?}");
        let Desired::Broken { problem, .. } = &all[1] else { panic!("{all:?}") };
        assert!(problem.contains("q@2.0.0") && problem.contains("`descriptor.concurrency` is 4294967295"), "{problem}");
    }

    #[test]
    fn the_previous_component_replaces_one_that_is_not_deployed() {
        let mut swapped = entry("2.0.0", "cd");
        swapped["previous"] = json!({"name": "p", "version": "1.0.0", "digest": digest("ab")});
        let old = ("component", "p@1.0.0", deployed("ab"));
        let both = state(&[old.clone(), ("component", "p@2.0.0", deployed("cd")), ("processor:p", "v", swapped.clone())]);
        let Desired::Run(work) = one(&both, &Served::All) else { panic!() };
        assert_eq!((work.component.key(), work.missing.is_none()), ("p@2.0.0".to_owned(), true));
        assert_eq!(work.previous().unwrap().component.key(), "p@1.0.0");
        let Desired::Run(work) = one(&state(&[old, ("processor:p", "v", swapped.clone())]), &Served::All) else { panic!() };
        let (missing, problem) = work.missing.clone().unwrap();
        assert_eq!((work.component.key(), missing.key()), ("p@1.0.0".to_owned(), "p@2.0.0".to_owned()));
        assert!(problem.contains("weir deploy p@2.0.0"), "{problem}");
        assert!(matches!(one(&state(&[("processor:p", "v", swapped)]), &Served::All), Desired::Broken { .. }));
    }

    #[test]
    fn only_a_host_given_a_name_runs_entries_without_a_component() {
        let without = json!({"topics": {"input": "flow:tg:x"}});
        let deployments = [("component", "p@1.9.0", deployed("ab")), ("component", "p@1.10.0", deployed("cd"))];
        let mut values = deployments.to_vec();
        values.push(("processor:p", "v", without.clone()));
        assert!(desired(&state(&values), &Served::All).is_empty());
        assert!(matches!(one(&state(&values), &names(&["p"])), Desired::Run(work) if work.component.version == "1.10.0"));
        let alone = state(&[("processor:p", "v", without)]);
        assert!(matches!(one(&alone, &names(&["p"])), Desired::Broken { .. }));
    }

    #[test]
    fn each_difference_leads_to_its_action() {
        let wanted_of = |entry: Value| one(&state(&[("component", "p@1.0.0", deployed("ab")), ("processor:p", "v", entry)]), &Served::All);
        let desired = wanted_of(entry("1.0.0", "ab"));
        let Desired::Run(running) = &desired else { panic!() };
        let mut consumed = entry("1.0.0", "ab");
        consumed["consumed"] = json!(["output"]);
        let mut other = entry("1.0.0", "ab");
        other["parameters"] = json!({"size": "1"});
        let mut paused = entry("1.0.0", "ab");
        paused["paused"] = json!(true);
        assert_eq!(next_action(None, None), ReconcileAction::Keep);
        assert_eq!(next_action(Some(running), None), ReconcileAction::Stop);
        assert_eq!(next_action(None, Some(&desired)), ReconcileAction::Run(running));
        assert_eq!(next_action(Some(running), Some(&desired)), ReconcileAction::Keep);
        let wanted_by_more = wanted_of(consumed);
        assert!(
            matches!(next_action(Some(running), Some(&wanted_by_more)), ReconcileAction::Note(work) if work.entry.consumed == ["output"])
        );
        assert!(matches!(&wanted_by_more, Desired::Run(more) if more.prepares_as(running)));
        let otherwise = wanted_of(other);
        assert!(matches!(next_action(Some(running), Some(&otherwise)), ReconcileAction::Run(work) if !work.prepares_as(running)));
        let without_fallback = Workload { missing: Some((running.component.clone(), "not deployed".to_owned())), ..(**running).clone() };
        assert!(!without_fallback.prepares_as(running));
        assert_eq!(next_action(Some(running), Some(&wanted_of(paused))), ReconcileAction::Pause);
        assert_eq!(
            next_action(Some(running), Some(&Desired::Broken { problem: "x".into(), component: None })),
            ReconcileAction::Break("x")
        );
    }

    #[test]
    fn a_host_follows_only_what_it_serves() {
        let state = state(&[("component", "p@1.0.0", deployed("ab")), ("processor:p", "v", entry("1.0.0", "ab"))]);
        let served = names(&["p", "q"]);
        let none = BTreeSet::new;
        let followed_types = types_to_follow(&served, &desired(&state, &served), none());
        assert_eq!(followed_types.types.into_iter().collect::<Vec<_>>(), ["component", "processor:p", "processor:q", "prompt"]);
        let followed_types = types_to_follow(&Served::All, &desired(&state, &Served::All), none());
        assert_eq!(followed_types.types.into_iter().collect::<Vec<_>>(), ["component", "prompt"]);
        assert_eq!((followed_types.prefix, types_to_follow(&served, &BTreeMap::new(), none()).prefix), (Some("processor:"), None));
        // The running component may differ from the one desired by now.
        let followed_types = types_to_follow(&Served::All, &BTreeMap::new(), BTreeSet::from(["prompt".to_owned()]));
        assert_eq!(followed_types.types.into_iter().collect::<Vec<_>>(), ["component", "prompt"]);
    }
}
