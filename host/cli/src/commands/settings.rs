//! `weir settings`: the settings that `weir up` would use, and the source of each value.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::print_note;
use crate::args;
use crate::output::{self, Format};
use crate::settings::{self, Definition, Loaded, Place};

/// Runs one of the commands.
pub(crate) fn run(data: &Path, format: Format, command: &args::Settings) -> Result<()> {
    let args::Settings::Show { flags } = command;
    let loaded = settings::load(data, flags)?;
    loaded.notes.iter().for_each(|note| print_note(note));
    let token = token_from(&loaded);
    match format {
        Format::Json => output::json(
            &json!({"file": loaded.file, "token-from": token, "settings": settings::all().map(|it| whole(it, &loaded)).collect::<Vec<_>>()}),
        )?,
        Format::Text => print(&loaded, token.as_deref())?,
    }
    Ok(())
}

/// The source of the token that `weir up` would use; the token itself is never shown.
fn token_from(loaded: &Loaded) -> Option<String> {
    let file = loaded.settings.token_file.as_ref().map(|file| file.display().to_string());
    file.or_else(|| std::env::var_os("WEIR_TOKEN").map(|_| "WEIR_TOKEN".to_owned()))
}

fn print(loaded: &Loaded, token: Option<&str>) -> std::io::Result<()> {
    let row = |definition: &Definition| {
        let from = match loaded.place(definition) {
            None => "default".to_owned(),
            // The file name is shown once, below.
            Some(Place::File { line, .. }) => format!("file, line {line}"),
            Some(Place::Environment(name)) => name.clone(),
            Some(Place::Flag(flag)) => flag.clone(),
        };
        vec![definition.name.to_owned(), loaded.value(definition).to_string(), from]
    };
    output::line(&output::fitted(&["setting", "value", "from"], &[], settings::all().map(row).collect(), output::width()))?;
    match &loaded.file {
        Some(file) => output::line(&format!("\nfile: {}", file.display()))?,
        None => output::line("\nno settings file; weir init writes one that explains every setting")?,
    }
    token.map_or(Ok(()), |token| output::line(&format!("the gateway requires the token from {token} (not shown)")))
}

fn whole(definition: &Definition, loaded: &Loaded) -> Value {
    let from = match loaded.place(definition) {
        None => json!({"source": "default"}),
        Some(Place::File { path, line, column }) => json!({"source": "file", "file": path, "line": line, "column": column}),
        Some(Place::Environment(name)) => json!({"source": "environment", "variable": name}),
        Some(Place::Flag(flag)) => json!({"source": "flag", "flag": flag}),
    };
    let Definition { name, doc, why, flag, kind, .. } = definition;
    json!({
        "name": name, "value": loaded.value(definition).to_json(), "from": from, "default": definition.default().to_json(),
        "allowed": kind.allowed(), "variable": definition.variable(), "flag": flag, "what": doc, "why": why,
    })
}
