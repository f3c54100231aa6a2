//! `weir config`: the configuration, value by value.

mod paging;
mod response;
mod wait;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use weir_config::names::{COMPONENT_TYPE, ENTRY_TYPE_PREFIX, FLOW_SERVICE_TYPE, FLOW_TYPE, LEFTOVER_TYPE};
use weir_gateway::protocol::Status;

pub(crate) use self::response::Values;
use self::response::ask;
use super::{Session, check_json, print_note, status};
use crate::args::{Config, ConfigPut};
use crate::input::read_input;
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};
use crate::shutdown::Signals;
use weir_pubsub::nearest;

/// How often `watch` polls the version.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Types that have their own commands for changes.
const GUARDED: &[&str] = &[FLOW_TYPE, COMPONENT_TYPE, LEFTOVER_TYPE, FLOW_SERVICE_TYPE];
/// Maximum number of characters of a value shown in a list.
const SHOWN_COUNT: usize = 60;

/// Runs one of the commands.
pub(crate) async fn run(session: &Session, command: Config) -> Result<()> {
    match command {
        Config::Get { config_type, key } => get(session, &config_type, &key).await,
        Config::Put(value) => {
            guard(&value.config_type, value.force)?;
            put(session, &value).await
        }
        Config::Delete { config_type, key, force } => {
            guard(&config_type, force)?;
            delete(session, &config_type, &key).await
        }
        Config::List { config_type: Some(config_type) } => list_keys(session, &config_type).await,
        Config::List { config_type: None } => list_types(session).await,
        Config::Watch { config_type } => watch(session, config_type.as_deref()).await,
    }
}

/// Refuses types that are managed by other commands, unless forced.
fn guard(config_type: &str, force: bool) -> Result<(), Problem> {
    if force || !(GUARDED.contains(&config_type) || config_type.starts_with(ENTRY_TYPE_PREFIX)) {
        return Ok(());
    }
    let what = format!(
        "values of type `{}` are managed by Weir: editing them by hand can leave inconsistent state",
        output::cut(config_type, 200)
    );
    Err(Problem::new(Exit::Usage, what).next("use weir flow start, weir flow stop, weir swap or weir deploy; --force overrides this check"))
}

/// The value, which must exist.
pub(crate) async fn find(session: &Session, config_type: &str, key: &str) -> Result<(u64, String), Problem> {
    let mut answer = ask(session, &json!({"operation": "get", "keys": [{"type": config_type, "key": key}]})).await?;
    match answer.values.pop().and_then(|stored| stored.value) {
        Some(value) => Ok((answer.version, value)),
        None => Err(unknown(session, config_type, key).await),
    }
}

async fn unknown(session: &Session, config_type: &str, key: &str) -> Problem {
    let (config_type_shown, key_shown) = (output::cut(config_type, 200), output::cut(key, 200));
    let problem = Problem::new(Exit::Failed, format!("the configuration has no `{key_shown}` of type `{config_type_shown}`"));
    let list = format!("weir config list {config_type_shown} shows all keys");
    // A failure to get the hint is not reported.
    let Ok((_, values)) = everything(session, None).await else { return problem.next(list) };
    let Some(keys) = values.get(config_type) else {
        return match nearest(config_type, values.keys().map(String::as_str)) {
            Some(other) => problem.next(format!("there is no such type; did you mean the type `{other}`?")),
            None => problem.next("there is no such type; weir config list shows the types"),
        };
    };
    match nearest(key, keys.keys().map(String::as_str)) {
        Some(other) => problem.next(format!("did you mean `{other}`? {list}")),
        None => problem.next(list),
    }
}

async fn get(session: &Session, config_type: &str, key: &str) -> Result<()> {
    let (version, value) = find(session, config_type, key).await?;
    match session.format {
        Format::Json => output::json(&json!({"type": config_type, "key": key, "value": value, "version": version}))?,
        Format::Text => output::line(value.trim_end_matches('\n'))?,
    }
    Ok(())
}

async fn put(session: &Session, given: &ConfigPut) -> Result<()> {
    let ConfigPut { config_type, key, text, .. } = given;
    let bytes = if given.value == "-" { read_input(Path::new("-"))? } else { given.value.as_bytes().to_vec() };
    let what = format!("the value of `{}` (type `{}`)", output::cut(key, 200), output::cut(config_type, 200));
    if !text {
        check_json(&bytes, &what).map_err(|problem| {
            problem.or_next("correct it; a JSON string needs quotes: '\"hello\"'; --text stores VALUE unchanged, as a plain string")
        })?;
    }
    let value = String::from_utf8(bytes).map_err(|error| Problem::new(Exit::BadInput, format!("{what} is not UTF-8")).because(error))?;
    let before: Option<Status> = if given.wait { Some(status::whole(session).await?) } else { None };
    let request = json!({"operation": "put", "values": [{"type": config_type, "key": key, "value": value}]});
    ask(session, &request).await.map_err(|problem| Problem::new(problem.exit, format!("{what} was not stored")).because(problem))?;
    let hosts = match before {
        Some(before) => Some(wait::for_hosts(session, given.timeout, &before.hosts).await?),
        None => None,
    };
    match session.format {
        Format::Json => output::json(&json!({"type": config_type, "key": key, "size-bytes": value.len(), "hosts-count": hosts}))?,
        Format::Text => {
            output::line(&format!("{config_type} {key} stored, {}", output::size(value.len() as u64)))?;
            hosts.map_or(Ok(()), |count| output::line(&format!("  applied by {count} {}", if count == 1 { "host" } else { "hosts" })))?;
        }
    }
    Ok(())
}

async fn delete(session: &Session, config_type: &str, key: &str) -> Result<()> {
    find(session, config_type, key).await?;
    ask(session, &json!({"operation": "delete", "keys": [{"type": config_type, "key": key}]})).await?;
    match session.format {
        Format::Json => output::json(&json!({"type": config_type, "key": key}))?,
        Format::Text => output::line(&format!("{config_type} {key} deleted"))?,
    }
    Ok(())
}

async fn list_types(session: &Session) -> Result<()> {
    let (version, values) = everything(session, None).await?;
    let size = |keys: &BTreeMap<String, String>| keys.values().map(|value| value.len() as u64).sum::<u64>();
    if session.format == Format::Json {
        let types: Vec<Value> =
            values.iter().map(|(name, keys)| json!({"type": name, "keys-count": keys.len(), "size-bytes": size(keys)})).collect();
        return Ok(output::json(&json!({"version": version, "types": types}))?);
    }
    if values.is_empty() {
        return Ok(output::line("the configuration is empty; store something: weir config put TYPE KEY VALUE")?);
    }
    let row = |(name, keys): (&String, &BTreeMap<String, String>)| {
        vec![output::cut(name, SHOWN_COUNT), output::number(keys.len() as u64), output::size(size(keys))]
    };
    output::line(&output::table(&["type", "keys", "size"], &[1, 2], values.iter().map(row).collect()))?;
    Ok(())
}

async fn list_keys(session: &Session, config_type: &str) -> Result<()> {
    let (version, values) = everything(session, Some(config_type)).await?;
    let keys = values.into_values().next().unwrap_or_default();
    if session.format == Format::Json {
        let values: Vec<Value> = keys.iter().map(|(key, value)| json!({"type": config_type, "key": key, "value": value})).collect();
        return Ok(output::json(&json!({"version": version, "values": values}))?);
    }
    if keys.is_empty() {
        let shown = output::cut(config_type, 200);
        return Ok(output::line(&format!("there are no values of type `{shown}`; weir config list shows the types"))?);
    }
    let row =
        |(key, value): (&String, &String)| vec![output::cut(key, 40), output::size(value.len() as u64), output::cut(value, SHOWN_COUNT)];
    output::line(&output::table(&["key", "size", "value"], &[1], keys.iter().map(row).collect()))?;
    Ok(())
}

/// All values, or those of one type, with their version.
pub(crate) async fn everything(session: &Session, config_type: Option<&str>) -> Result<(u64, Values), Problem> {
    let Some(config_type) = config_type else {
        return match ask(session, &json!({"operation": "config"})).await {
            Ok(answer) => Ok((answer.version, answer.config)),
            Err(problem) => paging::all(session).await.map_err(|_| problem),
        };
    };
    let (version, keys) = paging::values(session, config_type).await?;
    Ok((version, BTreeMap::from([(config_type.to_owned(), keys)])))
}

/// Prints changes from now on, until a signal arrives. Changes between two polls are shown as one.
async fn watch(session: &Session, config_type: Option<&str>) -> Result<()> {
    let mut signals = Signals::catch()?;
    let (mut version, mut values) = everything(session, config_type).await?;
    let what =
        config_type.map_or_else(|| "the configuration".to_owned(), |config_type| format!("type `{}`", output::cut(config_type, 200)));
    print_note(&format!("watching {what} from version {version}; press Ctrl-C to stop"));
    let mut ticks = tokio::time::interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let next = async {
            ticks.tick().await;
            newer(session, config_type, version).await
        };
        let newer = tokio::select! {
            _ = signals.next() => return Ok(()),
            newer = next => newer?,
        };
        let Some((new_version, new)) = newer else { continue };
        for change in changes(&values, &new) {
            print_change(session.format, new_version, &change)?;
        }
        (version, values) = (new_version, new);
    }
}

/// The stored values, if the version differs.
async fn newer(session: &Session, config_type: Option<&str>, version: u64) -> Result<Option<(u64, Values)>, Problem> {
    // Listing the keys of one type is the cheapest request that returns the version.
    let request = json!({"operation": "list", "type": config_type.unwrap_or_default()});
    if ask(session, &request).await?.version == version {
        return Ok(None);
    }
    everything(session, config_type).await.map(Some)
}

/// A key that changed.
#[derive(Debug, PartialEq, Eq)]
struct Change<'v> {
    config_type: &'v str,
    key: &'v str,
    /// `None`: it was deleted.
    value: Option<&'v str>,
    /// Whether there was a value before.
    known: bool,
}

/// The differences, by type and key.
fn changes<'v>(old: &'v Values, new: &'v Values) -> Vec<Change<'v>> {
    let at = |values: &'v Values, config_type: &str, key: &str| values.get(config_type).and_then(|keys| keys.get(key)).map(String::as_str);
    let keys = |values: &'v Values| {
        values.iter().flat_map(|(config_type, keys)| keys.keys().map(move |key| (config_type.as_str(), key.as_str()))).collect::<Vec<_>>()
    };
    let mut all = keys(old);
    all.extend(keys(new));
    all.sort_unstable();
    all.dedup();
    let change = |(config_type, key)| {
        let (before, value) = (at(old, config_type, key), at(new, config_type, key));
        (before != value).then_some(Change { config_type, key, value, known: before.is_some() })
    };
    all.into_iter().filter_map(change).collect()
}

fn print_change(format: Format, version: u64, change: &Change<'_>) -> std::io::Result<()> {
    let Change { config_type, key, value, known } = change;
    if format == Format::Json {
        return output::line(&json!({"version": version, "type": config_type, "key": key, "value": value}).to_string());
    }
    let what = match (value, known) {
        (None, _) => "deleted",
        (Some(_), true) => "changed",
        (Some(_), false) => "new",
    };
    let value = value.map(|value| format!("  {}", output::cut(value, SHOWN_COUNT))).unwrap_or_default();
    output::line(&format!("{version}  {what:<7}  {}  {}{value}", output::cut(config_type, 40), output::cut(key, 40)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(of: &[(&str, &str, &str)]) -> Values {
        let mut values = Values::new();
        for (config_type, key, value) in of {
            values.entry((*config_type).to_owned()).or_default().insert((*key).to_owned(), (*value).to_owned());
        }
        values
    }

    #[test]
    fn only_different_values_are_changes() {
        let old = values(&[("a", "gone", "1"), ("a", "kept", "1"), ("b", "changed", "1")]);
        let new = values(&[("a", "kept", "1"), ("b", "changed", "2"), ("c", "new", "1")]);
        let shown: Vec<_> =
            changes(&old, &new).iter().map(|it| (it.config_type.to_owned(), it.key.to_owned(), it.value, it.known)).collect();
        assert_eq!(
            shown,
            [
                ("a".to_owned(), "gone".to_owned(), None, true),
                ("b".to_owned(), "changed".to_owned(), Some("2"), true),
                ("c".to_owned(), "new".to_owned(), Some("1"), false)
            ]
        );
        assert!(changes(&new, &new).is_empty());
    }
}
