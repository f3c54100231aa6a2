//! Finds the deployment for a processor, and checks the processor's parameters against it.

use semver::Version;
use weir_config::names::{deployment_key, parts_of_deployment_key};
use weir_config::records::{ComponentRecord, ComponentRef, Descriptor, ValueError};

use super::draft::{DraftProcessor, refuse};
use super::{NotDeployed, PlanRefusal, Snapshot, ownership};
use crate::error::Result;
use crate::naming::shown;

/// Maximum number of deployments of a name that an error lists.
const MAX_KNOWN_COUNT: usize = 20;

/// The deployment for a processor.
pub(super) struct FoundDeployment<'w> {
    pub(super) reference: ComponentRef,
    pub(super) record: &'w ComponentRecord,
}

/// The deployment for a processor; `None` for an external program on the same broker.
///
/// An entry that other flows use keeps its component. Otherwise the blueprint's reference decides, or the newest deployment of the processor's own
/// name.
pub(super) fn component_of<'w>(processor: &DraftProcessor, snapshot: &'w Snapshot) -> Result<Option<FoundDeployment<'w>>> {
    let Some(key) = key_of(processor, snapshot)? else { return Ok(None) };
    let Some(record) = snapshot.components.get(&key) else {
        return refuse(&processor.place, PlanRefusal::ComponentGone { key });
    };
    let Some((name, version)) = parts_of_deployment_key(&key) else {
        return refuse(&processor.place, PlanRefusal::WithoutVersion { key });
    };
    let reference = ComponentRef { name: name.to_owned(), version: version.to_owned(), digest: record.digest };
    Ok(Some(FoundDeployment { reference, record }))
}

/// The key of that deployment.
pub(super) fn key_of(processor: &DraftProcessor, snapshot: &Snapshot) -> Result<Option<String>> {
    if let Some(shared) = ownership::shared_entry(&processor.key, snapshot) {
        return Ok(shared.component.as_ref().map(ComponentRef::key));
    }
    match processor.component.as_deref() {
        None => Ok(newest(&processor.key.processor, snapshot)),
        Some(reference) => {
            deployment(reference, snapshot).map(Some).or_else(|error| refuse(format!("{}, field `component`", processor.place), error))
        }
    }
}

/// The key of the deployment for a reference, `NAME@VERSION` or `NAME`; an error lists the existing ones.
pub(super) fn deployment(reference: &str, snapshot: &Snapshot) -> Result<String, NotDeployed> {
    let found = match reference.contains('@') {
        true => snapshot.deployed.get(reference).cloned(),
        false => newest(reference, snapshot),
    };
    found.ok_or_else(|| {
        let name = reference.split('@').next().unwrap_or_default();
        let known = versions(name, snapshot).map(|(_, key)| key.to_owned()).take(MAX_KNOWN_COUNT).collect();
        NotDeployed { reference: reference.to_owned(), known }
    })
}

fn versions<'w>(name: &str, snapshot: &'w Snapshot) -> impl Iterator<Item = (Version, &'w str)> {
    let prefix = deployment_key(name, "");
    let after = snapshot.deployed.range(prefix.clone()..).take_while({
        let prefix = prefix.clone();
        move |key| key.starts_with(&prefix)
    });
    after.filter_map(move |key| Version::parse(&key[prefix.len()..]).ok().map(|version| (version, key.as_str())))
}

pub(super) fn newest(name: &str, snapshot: &Snapshot) -> Option<String> {
    versions(name, snapshot).max().map(|(_, key)| key.to_owned())
}

/// A value that is still a variable usually means that the flow's parameter was not given.
fn with_hint(value: &str, error: ValueError) -> PlanRefusal {
    match value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(name) => PlanRefusal::OpenValue { error, parameter: name.to_owned() },
        None => error.into(),
    }
}

/// Checks the parameters of an entry against those that the component declares.
pub(super) fn check_parameters(processor: &DraftProcessor, descriptor: Option<&Descriptor>, notes: &mut Vec<String>) -> Result<()> {
    let Some(descriptor) = descriptor else { return Ok(()) };
    let place = |name: &str| format!("{}, parameter `{}`", processor.place, shown(name));
    for spec in &descriptor.parameters {
        match processor.parameters.get(&spec.name) {
            Some(value) => spec.check_value(value).or_else(|error| refuse(place(&spec.name), with_hint(value, error)))?,
            None if spec.required && spec.default.is_none() => {
                return refuse(place(&spec.name), PlanRefusal::MissingParameter);
            }
            None => {}
        }
    }
    for name in processor.parameters.keys() {
        if !descriptor.parameters.is_empty() && !descriptor.parameters.iter().any(|spec| spec.name == *name) {
            notes.push(format!("{}: the component does not have it", place(name)));
        }
    }
    Ok(())
}
