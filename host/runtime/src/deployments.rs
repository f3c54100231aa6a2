//! The deployments that a host knows: those of the configuration, and the components given to the host at its start.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_config::Content;
use weir_config::names::parts_of_deployment_key;
use weir_config::records::{ComponentRecord, ComponentRef};

/// A component given to the host at its start for a processor: for entries without a component, whatever is deployed.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenComponent {
    /// Its name and version, which need not be deployed.
    pub component: ComponentRef,
    /// Its requirements; the record of a deployment with the same name and digest takes precedence.
    pub record: Arc<ComponentRecord>,
}

/// The deployments, each parsed once until its text changes: many entries name the same one.
#[derive(Default)]
pub(crate) struct Deployments {
    texts: Arc<Content>,
    given: BTreeMap<String, GivenComponent>,
    read: BTreeMap<String, Result<Arc<ComponentRecord>, String>>,
}

impl Deployments {
    /// No deployments yet; for a host with these components given by processor name.
    pub(crate) fn new(given: BTreeMap<String, GivenComponent>) -> Self {
        Deployments { given, ..Deployments::default() }
    }

    /// Applies the current config type of deployments; returns whether it differs from before.
    pub(crate) fn update(&mut self, texts: &Arc<Content>) -> bool {
        if Arc::ptr_eq(texts, &self.texts) {
            return false;
        }
        let old = std::mem::replace(&mut self.texts, texts.clone());
        self.read.retain(|key, _| old.get(key) == texts.get(key));
        old != *texts
    }

    /// The usable deployments in the configuration whose keys are selected.
    pub(crate) fn usable(&mut self, is_wanted: impl Fn(&str) -> bool) -> Vec<Arc<ComponentRecord>> {
        let keys: Vec<String> = self.texts.keys().filter(|key| is_wanted(key)).cloned().collect();
        keys.iter().filter_map(|key| self.read(key).ok()).collect()
    }

    /// The deployment that an entry names.
    pub(crate) fn record(&mut self, component: &ComponentRef) -> Result<Arc<ComponentRecord>, String> {
        let key = component.key();
        let read = self.read(&key);
        let is_given = |given: &&GivenComponent| given.component == *component;
        if let Some(given) = self.given.get(&component.name).filter(is_given)
            && !read.as_ref().is_ok_and(|record| record.digest == component.digest)
        {
            return Ok(given.record.clone());
        }
        let record = read?;
        if record.digest != component.digest {
            let (desired, found) = (component.digest, record.digest);
            return Err(format!(
                "the deployment {key} is {found}, but the entry requires {desired}: start the flow again, or swap the component"
            ));
        }
        Ok(record)
    }

    fn read(&mut self, key: &str) -> Result<Arc<ComponentRecord>, String> {
        if let Some(read) = self.read.get(key) {
            return read.clone();
        }
        let read = match self.texts.get(key) {
            None => Err(format!("deployment {key} does not exist: deploy it with `weir deploy {key} FILE.wasm`")),
            Some(text) => serde_json::from_str::<ComponentRecord>(text).map(Arc::new).map_err(|error| {
                format!("the deployment {key} cannot be used: {error}; deploy it again under another version, and swap to it")
            }),
        };
        self.read.insert(key.to_owned(), read.clone());
        read
    }

    /// The component given to the host for a name, otherwise the deployment with the highest version.
    pub(crate) fn newest(&mut self, name: &str) -> Result<ComponentRef, String> {
        if let Some(given) = self.given.get(name) {
            return Ok(given.component.clone());
        }
        let versions = self.texts.keys().filter_map(|key| {
            let (_, version) = parts_of_deployment_key(key).filter(|(known, _)| *known == name)?;
            Some((semver::Version::parse(version).ok()?, key))
        });
        let (version, key) = versions
            .max_by(|(a, _), (b, _)| a.cmp(b))
            .map(|(version, key)| (version, key.clone()))
            .ok_or_else(|| format!("the entry has no component and `{name}` is not deployed: deploy it"))?;
        let digest = self.read(&key)?.digest;
        Ok(ComponentRef { name: name.to_owned(), version: version.to_string(), digest })
    }
}
