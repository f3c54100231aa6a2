//! Fetching content from the service.

use std::collections::{BTreeMap, BTreeSet};

use super::cache::{Cache, Update};
use super::decide::ChangedTypes;
use super::interest::Interest;
use crate::client::ConfigClient;
use crate::error::Result;
use crate::protocol::Key;

/// Fetches everything of interest, and returns the lowest version among the responses: changes up to it are in all of them.
pub(super) async fn all(client: &ConfigClient, interest: &Interest) -> Result<(Cache, u64)> {
    if interest.everything {
        let fetched = client.everything().await?;
        let mut cache = Cache::of_everything(fetched.version, interest);
        for (config_type, content) in fetched.value {
            cache.insert(config_type, fetched.version, content);
        }
        return Ok((cache, fetched.version));
    }
    let mut cache = Cache::default();
    let mut lowest = None;
    let mut types = interest.types.clone();
    if !interest.prefixes.is_empty() {
        let (there, _) = client.types().await?;
        types.extend(there.value.into_iter().filter(|name| interest.prefix_of(name).is_some()));
        cache.note_listed(interest, there.version);
        lowest = Some(there.version);
    }
    for config_type in &types {
        let fetched = client.values(config_type).await?;
        cache.insert(config_type.clone(), fetched.version, fetched.value);
        lowest = Some(lowest.unwrap_or(u64::MAX).min(fetched.version));
    }
    let lowest = match lowest {
        Some(lowest) => lowest,
        None => client.version().await?,
    };
    Ok((cache, lowest))
}

/// Fetches what a notify named.
pub(super) async fn some(client: &ConfigClient, notified_version: u64, changed_types: &ChangedTypes) -> Result<Update> {
    let mut update = Update { notified_version, lowest_version: u64::MAX, types: BTreeMap::new(), keys: BTreeMap::new() };
    let mut asked = Vec::new();
    for (config_type, keys) in changed_types {
        match keys {
            Some(keys) => asked.extend(keys.iter().map(|key| Key { config_type: config_type.clone(), key: key.clone() })),
            None => {
                let fetched = client.values(config_type).await?;
                update.lowest_version = update.lowest_version.min(fetched.version);
                update.types.insert(config_type.clone(), (fetched.version, fetched.value));
            }
        }
    }
    if !asked.is_empty() {
        let fetched = match client.get(&asked).await {
            Err(error) if error.is_about_size() => return whole_types(client, update, &asked).await,
            fetched => fetched?,
        };
        update.lowest_version = update.lowest_version.min(fetched.version);
        // By position, not by the names in the response: only requested keys are changed.
        for (key, value) in asked.into_iter().zip(fetched.value) {
            update.keys.entry(key.config_type).or_default().push((key.key, value.value));
        }
    }
    Ok(update)
}

/// Fetches the whole types of keys whose values no longer fit into one response: types can be read in portions.
async fn whole_types(client: &ConfigClient, mut update: Update, keys: &[Key]) -> Result<Update> {
    let types: BTreeSet<&str> = keys.iter().map(|key| key.config_type.as_str()).collect();
    for config_type in types {
        let fetched = client.values(config_type).await?;
        update.lowest_version = update.lowest_version.min(fetched.version);
        update.types.insert(config_type.to_owned(), (fetched.version, fetched.value));
    }
    Ok(update)
}
