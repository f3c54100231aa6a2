//! The languages that a project can be written in. A further one is a folder here and a line in [`LANGUAGES`].

mod js;
mod python;
mod rust;

use std::path::{Path, PathBuf};

use weir_pubsub::nearest;

use crate::error::ProjectError;
use crate::steps::Steps;

/// All languages.
pub const LANGUAGES: &[&Language] = &[&rust::RUST, &python::PYTHON, &js::JS, &js::TS];

/// One language.
#[derive(Debug)]
pub struct Language {
    /// Its name in `weir.toml` and for `weir new --lang`.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The author's source unless the manifest names another, relative to the project's folder.
    pub(crate) default_source: &'static str,
    /// The files of a new project: path and text, of which `{{NAME}}`, `{{IDENT}}` and `{{SDK}}` are filled in.
    pub(crate) template: &'static [(&'static str, &'static str)],
    /// What an author whose component has no handler is to do.
    pub(crate) handler: &'static str,
    /// What `{{SDK}}` stands for: how the project depends on the SDK, given the folder `sdk` of a checkout if there is one.
    pub(crate) sdk: fn(Option<&Path>) -> String,
    /// Makes a component without a descriptor, or with one that the stamp replaces; returns its file.
    pub(crate) build: fn(&BuildContext<'_>) -> Result<PathBuf, ProjectError>,
}

/// What a component is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Deployment: small and fast.
    Ship,
    /// A trial run: built as fast as the language can.
    Try,
}

/// The input of a language's build.
pub(crate) struct BuildContext<'a> {
    /// The project's folder.
    pub(crate) folder: &'a Path,
    /// The author's source, relative to the folder.
    pub(crate) source: &'a Path,
    /// The descriptor as JSON.
    pub(crate) descriptor: &'a str,
    /// `.weir` in the folder, which is there: for tools and whatever else may be made again.
    pub(crate) weir: PathBuf,
    /// What the component is for.
    pub(crate) purpose: Purpose,
    /// Runs the tools.
    pub(crate) steps: &'a Steps<'a>,
}

/// A language by its name.
///
/// # Errors
/// A text with the name that was probably meant, and all that there are.
pub fn language(name: &str) -> Result<&'static Language, String> {
    LANGUAGES.iter().find(|language| language.name == name).copied().ok_or_else(|| {
        let names = || LANGUAGES.iter().map(|language| language.name);
        let meant = nearest(name, names()).map(|meant| format!(": did you mean `{meant}`?")).unwrap_or_default();
        let known = names().collect::<Vec<_>>().join(", ");
        format!("unknown language `{}`{meant}; must be one of: {known}", weir_pubsub::shown(name))
    })
}

/// The folder `sdk` of the checkout that this program was built in, if it is still there: the SDK is taken from it then.
pub(crate) fn sdk_folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?.join("sdk");
    folder.join("rust/Cargo.toml").is_file().then_some(folder)
}

/// The version of the SDKs, which is that of this program.
pub(crate) const SDK_VERSION: &str = env!("CARGO_PKG_VERSION");
