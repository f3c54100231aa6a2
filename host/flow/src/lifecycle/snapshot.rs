//! Reads the state that plans are computed from.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir_config::protocol::Key;
use weir_config::records::{COMPONENT_TYPE, ComponentRecord, Descriptor, Entry, entry_type, processor_of_entry_type};
use weir_config::{Batch, ConfigError};

use super::Lifecycle;
use super::registry::{Flows, UnplannedFlow};
use super::stored::json;
use crate::blueprint::Blueprint;
use crate::error::{FlowError, Result};
use crate::parameters::{ParameterType, Resolved};
use crate::plan::{Draft, EntryKey, FlowIdentity, Snapshot, adopt, adopt_without_blueprint, affected_entries, wanted_components};
use crate::protocol::{BLUEPRINT_TYPE, DESCRIPTOR_TYPE, FLOW_TYPE, FlowRecord, PARAMETER_TYPE, PlanRecord};
use weir_pubsub::chain;

/// How long the follower of the flows may lag behind before they are read. In one process it takes a few milliseconds.
const BEHIND_TIME: Duration = Duration::from_secs(2);

/// Entries, and their text in the configuration for conditions on them; for an unreadable entry there is only the text.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) whole: BTreeMap<EntryKey, Entry>,
    pub(super) texts: BTreeMap<EntryKey, String>,
}

impl EntryKey {
    /// Its key in the configuration.
    pub(super) fn config_key(&self) -> Key {
        Key { config_type: entry_type(&self.processor), key: self.variant.clone() }
    }
}

impl Lifecycle {
    /// Updates the known flows to the current configuration, and confirms that this service leads. Flows that another service started get their plans
    /// here, when they are first seen. The writer's lock must be held.
    pub(super) async fn catch_up(&self) -> Result<()> {
        let version = self.writes.version().await.map_err(FlowError::config("reading the flows"))?;
        let mut applied = self.following.version.clone();
        let reached =
            tokio::time::timeout(BEHIND_TIME, applied.wait_for(|applied| *applied >= version)).await.is_ok_and(|reached| reached.is_ok());
        if !reached || self.known.is_behind() {
            tracing::debug!(version, "follower of the flows is behind, rereading them");
            let read = self.config.values(FLOW_TYPE).await.map_err(FlowError::config("reading the flows"))?;
            self.known.take_read(read.version, &read.value);
        }
        self.plan_unplanned().await
    }

    /// A flow and all flows that an operation on it may affect. The writer's lock must be held.
    pub(super) async fn flows_around(&self, id: &str) -> Result<Flows> {
        self.catch_up().await?;
        Ok(self.known.affected_flows(id, [], []))
    }

    /// Plans flows whose records have no plan: foreign ones permanently, unreadable ones from their entries.
    async fn plan_unplanned(&self) -> Result<()> {
        let unplanned = self.known.unplanned();
        let unreadable: BTreeSet<&str> = unplanned.iter().filter(|flow| flow.record.is_none()).map(|flow| flow.id.as_str()).collect();
        let mut entries = if unreadable.is_empty() { BTreeMap::new() } else { self.entries_of_variants(&unreadable).await? };
        for UnplannedFlow { id, text, record } in unplanned {
            match record {
                Some(record) => self.adopt(&id, text, record).await?,
                None => {
                    let entries = entries.remove(&id).unwrap_or_default();
                    self.known.set_plan(&id, &text, adopt_without_blueprint(&id, &entries));
                }
            }
        }
        Ok(())
    }

    /// Gives a foreign flow's record its plan and stores it.
    async fn adopt(&self, id: &str, before: String, mut record: FlowRecord) -> Result<()> {
        let plan = match self.plan_of_foreign(id, &record).await {
            Ok(plan) => plan,
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                tracing::warn!(flow = id, error = %chain(&error), "foreign flow planned from its entries: blueprint unusable");
                let entries = self.entries_of_variants(&BTreeSet::from([id])).await?.remove(id).unwrap_or_default();
                adopt_without_blueprint(id, &entries)
            }
        };
        record.plan = Some(plan.clone());
        let batch = Batch::new().put(FLOW_TYPE, id, json(&record)).on_condition(FLOW_TYPE, id, Some(before.clone())).with_reserve();
        match self.writes.write(batch).await {
            Ok(()) => {
                let text = json(&record);
                self.known.replace(id, &before, &text);
                Ok(())
            }
            // Its own service is changing it: it is planned again when it is next seen.
            Err(ConfigError::Conflict { .. }) => {
                self.known.set_plan(id, &before, plan);
                Ok(())
            }
            Err(error) if error.is_transient() => Err(FlowError::config("storing the plan of a foreign flow")(error)),
            Err(error) => {
                tracing::warn!(flow = id, error = %chain(&error), "plan of a foreign flow not stored");
                self.known.set_plan(id, &before, plan);
                Ok(())
            }
        }
    }

    async fn plan_of_foreign(&self, id: &str, record: &FlowRecord) -> Result<PlanRecord> {
        let blueprint = self.load_blueprint(&record.blueprint_name).await?;
        let flow = FlowIdentity { id: id.to_owned(), blueprint: record.blueprint_name.clone(), description: record.description.clone() };
        let draft = Draft::new(flow, &blueprint, Resolved { values: record.parameters.clone(), notes: Vec::new() })?;
        adopt(&draft, &self.load_descriptors(&draft).await?, self.kept_exits())
    }

    /// The entries with these variants, by variant. All are requested together: each read may be one of many processors.
    async fn entries_of_variants(&self, variants: &BTreeSet<&str>) -> Result<BTreeMap<String, BTreeMap<EntryKey, Entry>>> {
        let types = self.config.types().await.map_err(FlowError::config("reading the entries"))?.0.value;
        let processors = types.iter().filter_map(|config_type| processor_of_entry_type(config_type));
        let keys = processors.flat_map(|processor| {
            variants.iter().map(move |variant| EntryKey { processor: processor.to_owned(), variant: (*variant).to_owned() })
        });
        let mut found: BTreeMap<String, BTreeMap<EntryKey, Entry>> = BTreeMap::new();
        for (key, entry) in self.load_entries(keys.collect()).await?.whole {
            found.entry(key.variant.clone()).or_default().insert(key, entry);
        }
        Ok(found)
    }

    pub(super) async fn load_blueprint(&self, name: &str) -> Result<Blueprint> {
        let text = self.config.get_one(BLUEPRINT_TYPE, name).await.map_err(FlowError::config("reading the blueprint"))?;
        let text = text.ok_or_else(|| FlowError::UnknownBlueprint { name: crate::naming::shown(name) })?;
        Ok(Blueprint::parse(&text)?)
    }

    pub(super) async fn load_parameter_types(&self, blueprint: &Blueprint) -> Result<BTreeMap<String, ParameterType>> {
        let keys = blueprint.parameter_types().into_iter().map(|name| key(PARAMETER_TYPE, name)).collect();
        let mut types = BTreeMap::new();
        for (Key { key: name, .. }, text) in self.load("reading the parameter types", keys).await? {
            types.insert(name.clone(), ParameterType::parse(&name, &text)?);
        }
        Ok(types)
    }

    async fn load_descriptors(&self, draft: &Draft) -> Result<BTreeMap<String, Descriptor>> {
        let processors: BTreeSet<&str> = draft.processors.iter().map(|processor| processor.key.processor.as_str()).collect();
        let keys = processors.into_iter().map(|name| key(DESCRIPTOR_TYPE, name)).collect();
        let mut descriptors = BTreeMap::new();
        for (Key { config_type, key }, text) in self.load("reading the descriptors", keys).await? {
            let descriptor = Descriptor::parse(text.as_bytes());
            let descriptor = descriptor.map_err(|error| unreadable(config_type, &key, &error))?;
            descriptors.insert(key, descriptor);
        }
        Ok(descriptors)
    }

    pub(super) async fn load_entries(&self, keys: BTreeSet<EntryKey>) -> Result<Entries> {
        let keys = keys.iter().map(EntryKey::config_key).collect();
        let mut entries = Entries::default();
        for (Key { config_type, key }, text) in self.load("reading the entries", keys).await? {
            let processor = processor_of_entry_type(&config_type).unwrap_or_default().to_owned();
            let key = EntryKey { processor, variant: key };
            // A manually corrupted entry must not prevent a flow from stopping; a start repairs it.
            match serde_json::from_str(&text) {
                Ok(entry) => drop(entries.whole.insert(key.clone(), entry)),
                Err(error) => {
                    tracing::warn!(processor = key.processor, variant = key.variant, error = %chain(&error), "entry unreadable")
                }
            }
            entries.texts.insert(key, text);
        }
        Ok(entries)
    }

    /// Everything required to plan the start of a draft, with the text of its entries.
    pub(super) async fn load_snapshot(&self, draft: &Draft, flows: &Flows) -> Result<(Snapshot, Entries)> {
        let topics = draft.processors.iter().flat_map(|processor| processor.topics.values()).map(ToString::to_string).collect();
        let mut wanted = affected_entries(&draft.id, &flows.records, &topics);
        wanted.extend(draft.processors.iter().map(|processor| processor.key.clone()));
        let entries = self.load_entries(wanted).await?;
        let mut snapshot = self.load_deployed(flows, &entries).await?;
        snapshot.descriptors = self.load_descriptors(draft).await?;
        snapshot.components = self.load_components(&wanted_components(draft, &snapshot)).await?;
        Ok((snapshot, entries))
    }

    /// A snapshot with the names of the deployments, but not their content.
    pub(super) async fn load_deployed(&self, flows: &Flows, entries: &Entries) -> Result<Snapshot> {
        let deployed = self.config.list(COMPONENT_TYPE).await.map_err(FlowError::config("reading the deployments"))?.value;
        let (flows, entries) = (flows.records.clone(), entries.whole.clone());
        let kept = kept_entries(&flows);
        Ok(Snapshot { flows, entries, kept, deployed: deployed.into_iter().collect(), ..Snapshot::default() })
    }

    /// Deployments by their keys.
    pub(super) async fn load_components(&self, keys: &BTreeSet<String>) -> Result<BTreeMap<String, ComponentRecord>> {
        let keys = keys.iter().map(|name| key(COMPONENT_TYPE, name)).collect();
        let mut components = BTreeMap::new();
        for (Key { config_type, key }, text) in self.load("reading the deployments", keys).await? {
            let record = serde_json::from_str(&text).map_err(|error| unreadable(config_type, &key, &error))?;
            components.insert(key, record);
        }
        Ok(components)
    }

    /// The values of existing keys.
    async fn load(&self, action: &str, keys: Vec<Key>) -> Result<Vec<(Key, String)>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.config.get_in_portions(keys).await.map_err(FlowError::config(action))?.value)
    }
}

/// The entries that the refusal of a stop would restore.
fn kept_entries(flows: &BTreeMap<String, FlowRecord>) -> BTreeMap<EntryKey, Entry> {
    let records = flows.values().filter(|flow| flow.is_refusing()).filter_map(|flow| flow.plan.as_ref()).flat_map(|plan| &plan.entries);
    records.filter_map(|record| Some((EntryKey::of(record), serde_json::from_str(record.kept.as_ref()?).ok()?))).collect()
}

fn key(config_type: &str, key: &str) -> Key {
    Key { config_type: config_type.to_owned(), key: key.to_owned() }
}

fn unreadable(config_type: String, key: &str, error: &dyn std::error::Error) -> FlowError {
    FlowError::Unreadable { config_type, key: crate::naming::shown(key), problem: format!("{}; correct or delete it", chain(error)) }
}
