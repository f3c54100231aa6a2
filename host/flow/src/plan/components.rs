//! Which deployment does a processor's work, and whether the processor's parameters suit it.

use semver::Version;
use weir_config::names::{deployment_key, parts_of_deployment_key};
use weir_config::records::{ComponentRecord, ComponentRef, Descriptor};

use super::draft::{DraftProcessor, fault};
use super::{World, ownership};
use crate::blueprint::shown;
use crate::error::Result;

/// The deployment behind a processor.
pub(super) struct Found<'w> {
    pub(super) reference: ComponentRef,
    pub(super) record: &'w ComponentRecord,
}

/// The deployment that does a processor's work; `None` for somebody else's program on the same broker.
///
/// An entry that other flows use keeps its component. Else the blueprint's reference counts, else the newest deployment of the
/// processor's own name.
pub(super) fn component_of<'w>(processor: &DraftProcessor, world: &'w World) -> Result<Option<Found<'w>>> {
    let Some(key) = key_of(processor, world)? else { return Ok(None) };
    let Some(record) = world.components.get(&key) else {
        return fault(&processor.place, format!("its component `{}` is not deployed any more: deploy it again", shown(&key)));
    };
    let Some((name, version)) = parts_of_deployment_key(&key) else {
        return fault(&processor.place, format!("the deployment `{}` has no version: deploy it as NAME@VERSION", shown(&key)));
    };
    let reference = ComponentRef { name: name.to_owned(), version: version.to_owned(), digest: record.digest };
    Ok(Some(Found { reference, record }))
}

/// The key of that deployment.
pub(super) fn key_of(processor: &DraftProcessor, world: &World) -> Result<Option<String>> {
    if let Some(shared) = ownership::shared_entry(&processor.key, world) {
        return Ok(shared.component.as_ref().map(ComponentRef::key));
    }
    match processor.component.as_deref() {
        None => Ok(newest(&processor.key.processor, world)),
        Some(reference) => {
            deployment(reference, world).map(Some).or_else(|problem| fault(format!("{}, field `component`", processor.place), problem))
        }
    }
}

/// The key of the deployment that a reference names, `NAME@VERSION` or `NAME`; an error says what there is.
pub(super) fn deployment(reference: &str, world: &World) -> Result<String, String> {
    let found = match reference.contains('@') {
        true => world.deployed.get(reference).cloned(),
        false => newest(reference, world),
    };
    found.ok_or_else(|| {
        let name = reference.split('@').next().unwrap_or_default();
        let versions: Vec<&str> = versions(name, world).map(|(_, key)| key).take(20).collect();
        let known = if versions.is_empty() { "none of that name is".to_owned() } else { versions.join(", ") };
        format!("`{}` is not deployed (deployed: {known}): deploy it, or name another", shown(reference))
    })
}

fn versions<'w>(name: &str, world: &'w World) -> impl Iterator<Item = (Version, &'w str)> {
    let prefix = deployment_key(name, "");
    let after = world.deployed.range(prefix.clone()..).take_while({
        let prefix = prefix.clone();
        move |key| key.starts_with(&prefix)
    });
    after.filter_map(move |key| Version::parse(&key[prefix.len()..]).ok().map(|version| (version, key.as_str())))
}

pub(super) fn newest(name: &str, world: &World) -> Option<String> {
    versions(name, world).max().map(|(_, key)| key.to_owned())
}

/// A value that still is a variable most often means that nobody gave that parameter of the flow a value.
fn with_hint(value: &str, problem: String) -> String {
    match value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(name) => format!("{problem}: the flow's parameter `{}` has no value and no default; give it one", shown(name)),
        None => problem,
    }
}

/// Checks the parameters of an entry against what the component says that it reads.
pub(super) fn check_parameters(processor: &DraftProcessor, descriptor: Option<&Descriptor>, notes: &mut Vec<String>) -> Result<()> {
    let Some(descriptor) = descriptor else { return Ok(()) };
    let place = |name: &str| format!("{}, parameter `{}`", processor.place, shown(name));
    for spec in &descriptor.parameters {
        match processor.parameters.get(&spec.name) {
            Some(value) => spec.check_value(value).or_else(|problem| fault(place(&spec.name), with_hint(value, problem)))?,
            None if spec.required && spec.default.is_none() => {
                return fault(place(&spec.name), "the component requires it: give it in the processor's `parameters`");
            }
            None => {}
        }
    }
    for name in processor.parameters.keys() {
        if !descriptor.parameters.is_empty() && !descriptor.parameters.iter().any(|spec| spec.name == *name) {
            notes.push(format!("{}: the component does not know it", place(name)));
        }
    }
    Ok(())
}
