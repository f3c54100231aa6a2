//! The settings: defaults, settings file, environment, flags; each takes precedence over those before it.

mod broker;
mod definition;
mod fault;
mod file;
mod gateway;
mod kind;
mod list;
mod loaded;
mod template;
mod values;

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub(crate) use self::broker::exposed_password;
pub(crate) use self::definition::Definition;
use self::fault::Fault;
pub(crate) use self::fault::Place;
pub(crate) use self::list::all;
pub(crate) use self::loaded::Loaded;
pub(crate) use self::template::template;
pub(crate) use self::values::{LOGGED, LogFormat, Settings};
use crate::args::SettingFlags;
use crate::problem::{Exit, Problem};
use weir_pubsub::nearest;

/// The settings file in a data folder.
pub(crate) const FILE_NAME: &str = "settings.toml";
/// The file name of a component's manifest, which is not a settings file.
const MANIFEST_NAME: &str = "weir.toml";
/// Maximum size of a settings file: larger than all settings with a page of comments each.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Variables that are not settings: those of all commands.
const OTHER_VARIABLES: [&str; 5] = ["WEIR_CA", "WEIR_DATA", "WEIR_GATEWAY", "WEIR_SETTINGS", "WEIR_TOKEN"];

/// Reads the settings for a data folder. Reports all faults at once.
pub(crate) fn load(data: &Path, flags: &SettingFlags) -> Result<Loaded, Problem> {
    load_from(read_file(data, flags.of_roles.settings.as_deref())?, std::env::vars_os(), flags)
}

/// The same from sources that are already read.
fn load_from(
    file: Option<(PathBuf, String)>,
    environment: impl Iterator<Item = (OsString, OsString)>,
    flags: &SettingFlags,
) -> Result<Loaded, Problem> {
    let mut loaded = Loaded::default();
    let mut faults = Vec::new();
    if let Some((path, text)) = file {
        let found = file::read(&path, &text);
        found.values.into_iter().for_each(|(definition, value, place)| loaded.take(definition, &value, place));
        faults.extend(found.faults);
        loaded.file = Some(path);
    }
    read_environment(environment, &mut loaded, &mut faults);
    read_flags(flags, &mut loaded, &mut faults);
    faults.extend(broker::check(&loaded));
    faults.extend(gateway::check(&loaded));
    broker::adapt(&mut loaded);
    if faults.is_empty() { Ok(loaded) } else { Err(fault::problem(&faults)) }
}

fn read_environment(environment: impl Iterator<Item = (OsString, OsString)>, loaded: &mut Loaded, faults: &mut Vec<Fault>) {
    let known: Vec<(String, &'static Definition)> = all().map(|definition| (definition.variable(), definition)).collect();
    let mut given: Vec<(String, OsString)> = environment
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with("WEIR_"))
        .collect();
    given.sort();
    for (name, value) in given {
        let Some((_, definition)) = known.iter().find(|(known, _)| *known == name) else {
            let names = known.iter().map(|(known, _)| known.as_str());
            let meant = nearest(&name, names).filter(|_| !OTHER_VARIABLES.contains(&name.as_str()));
            // It may belong to another program, so it is not a fault.
            loaded.notes.extend(meant.map(|meant| format!("the environment has {name}, which is not a setting; did you mean {meant}?")));
            continue;
        };
        let place = Place::Environment(name);
        let text = value.into_string().map_err(|value| match definition.kind.is_secret() {
            true => "it is not UTF-8".to_owned(),
            false => format!("{value:?} is not UTF-8"),
        });
        match text.and_then(|text| definition.kind.read(&text)) {
            Ok(value) => loaded.take(definition, &value, place),
            Err(problem) => faults.push(wrong(definition, place, problem)),
        }
    }
}

fn read_flags(flags: &SettingFlags, loaded: &mut Loaded, faults: &mut Vec<Fault>) {
    for (flag, name, text) in flags.given() {
        let place = Place::Flag(flag);
        match list::find(name) {
            None => faults.push(Fault { place, field: Some(name.to_owned()), problem: file::unknown(name), allowed: None }),
            Some(definition) => match definition.kind.read(text) {
                Ok(value) => loaded.take(definition, &value, place),
                Err(problem) => faults.push(wrong(definition, place, problem)),
            },
        }
    }
}

fn wrong(definition: &Definition, place: Place, problem: String) -> Fault {
    Fault { place, field: Some(definition.name.to_owned()), problem, allowed: Some(definition.kind.allowed()) }
}

/// The text of the settings file: the given one, which must exist, otherwise the one in the data folder, if it exists.
fn read_file(data: &Path, named: Option<&Path>) -> Result<Option<(PathBuf, String)>, Problem> {
    if let Some(path) = named.filter(|path| path.file_name().is_some_and(|name| name == MANIFEST_NAME)) {
        let what = format!("{} is a component's manifest by its name, not a settings file", path.display());
        return Err(Problem::new(Exit::Usage, what).next(format!("give a file such as {FILE_NAME}; weir init writes one")));
    }
    let path = named.map_or_else(|| data.join(FILE_NAME), Path::to_owned);
    let unreadable = |error: std::io::Error| {
        let next = match error.kind() {
            ErrorKind::NotFound => "weir init writes one that explains every setting",
            ErrorKind::PermissionDenied => "run this as a user with permission to read it",
            _ => "give a readable file: --settings FILE",
        };
        Problem::new(Exit::NoInput, format!("the settings file {} cannot be read", path.display())).because(error).next(next)
    };
    let size_bytes = match fs::metadata(&path) {
        Ok(found) => found.len(),
        // The data folder may not have one, or may not exist yet.
        Err(error) if named.is_none() && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    if size_bytes > MAX_FILE_BYTES {
        let what = format!("the settings file {} has {size_bytes} bytes; the limit is {MAX_FILE_BYTES}", path.display());
        return Err(Problem::new(Exit::Settings, what));
    }
    let bytes = fs::read(&path).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        Problem::new(Exit::Settings, format!("the settings file {} is not UTF-8 in line {line}", path.display())).next("save it as UTF-8")
    })?;
    Ok(Some((path, text)))
}

#[cfg(test)]
mod tests;
