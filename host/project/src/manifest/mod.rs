//! `weir.toml`: the author's description of a processor. `wit/manifest.schema.json` describes it for editors.

mod descriptor;
mod listed;
mod reading;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use weir_config::records::Descriptor;

use self::listed::{listed, size, time};
use crate::error::ManifestError;
use crate::languages::{Language, language};

/// The author's description of a processor.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    /// The language of the sources, by its name in [`LANGUAGES`](crate::LANGUAGES).
    language: String,
    /// The component's name.
    pub name: String,
    /// Its version.
    pub version: String,
    #[serde(default)]
    description: String,
    source: Option<PathBuf>,
    concurrency: Option<u32>,
    #[serde(deserialize_with = "listed")]
    consumers: Vec<Consumer>,
    #[serde(default, deserialize_with = "listed")]
    producers: Vec<Producer>,
    #[serde(default)]
    requests: Vec<Request>,
    #[serde(default, deserialize_with = "listed")]
    parameters: Vec<Parameter>,
    #[serde(default, deserialize_with = "listed")]
    config_types: Vec<Named>,
    #[serde(default)]
    grants: Vec<Grant>,
    #[serde(default)]
    limits: Limits,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    #[serde(default)]
    description: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Consumer {
    name: String,
    #[serde(default)]
    description: String,
    concurrency: Option<u32>,
    order_by: Option<String>,
    reply: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Producer {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    optional: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Request {
    name: String,
    request: String,
    response: String,
    timeout_ms: Option<u64>,
    #[serde(default)]
    description: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameter {
    name: String,
    #[serde(default, rename = "type")]
    kind: Kind,
    default: Option<toml::Value>,
    #[serde(default)]
    required: bool,
    #[serde(default, rename = "enum")]
    choices: Vec<toml::Value>,
    #[serde(default)]
    description: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    String,
    Integer,
    Number,
    Boolean,
    Json,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    grant: String,
    #[serde(default)]
    what: Vec<String>,
    #[serde(default)]
    why: String,
    #[serde(default)]
    optional: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    #[serde(default, deserialize_with = "size")]
    memory: Option<u64>,
    #[serde(default, deserialize_with = "time")]
    time: Option<u64>,
}

/// A manifest that was read and checked, with the descriptor that it makes.
#[derive(Debug)]
pub struct CheckedManifest {
    /// The manifest.
    pub manifest: Manifest,
    /// Its descriptor.
    pub descriptor: Descriptor,
}

impl Manifest {
    /// Parses and checks the text of a manifest. `file` is only used in errors.
    ///
    /// # Errors
    /// [`ManifestError`], naming file, line and key.
    pub fn parse(file: &Path, text: &str) -> Result<CheckedManifest, ManifestError> {
        let manifest: Manifest = toml::from_str(text).map_err(|error| reading::malformed(file, text, &error))?;
        manifest.check_language().map_err(|problem| reading::fault(file, text, "language", problem))?;
        let descriptor = manifest.descriptor().map_err(|(field, problem)| reading::fault(file, text, &field, problem))?;
        Ok(CheckedManifest { manifest, descriptor })
    }

    /// The language of the sources.
    ///
    /// # Panics
    /// Never: [`Manifest::parse`] refuses others.
    pub fn language(&self) -> &'static Language {
        language(&self.language).expect("the manifest was checked")
    }

    /// The author's source, relative to the project's folder.
    pub fn source(&self) -> &Path {
        self.source.as_deref().unwrap_or_else(|| Path::new(self.language().default_source))
    }

    fn check_language(&self) -> Result<(), String> {
        language(&self.language).map(drop)
    }
}
