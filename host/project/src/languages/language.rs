//! What a language provides, and the input of its build.

use std::path::{Path, PathBuf};

use crate::command_runner::CommandRunner;
use crate::error::ProjectError;

/// One language.
#[derive(Debug)]
pub struct Language {
    /// Its name in `weir.toml` and for `weir new --lang`.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The default source file, relative to the project's folder.
    pub(crate) default_source: &'static str,
    /// The files of a new project: path and text, in which `{{NAME}}`, `{{IDENT}}` and `{{SDK}}` are substituted.
    pub(crate) template: &'static [(&'static str, &'static str)],
    /// The fix shown if the component has no handler.
    pub(crate) handler: &'static str,
    /// The value of `{{SDK}}`: the dependency on the SDK, given the folder `sdk` of a checkout if there is one.
    pub(crate) sdk: fn(Option<&Path>) -> String,
    /// Builds a component without a descriptor, or with one that the stamp replaces; returns its file.
    pub(crate) build: fn(&BuildContext<'_>) -> Result<PathBuf, ProjectError>,
}

/// What a component is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Deployment: optimised for size and speed.
    Ship,
    /// A trial: optimised for build time.
    Try,
}

/// The input of a language's build.
pub(crate) struct BuildContext<'a> {
    /// The project's folder.
    pub(crate) folder: &'a Path,
    /// The author's source, relative to the project's folder.
    pub(crate) source: &'a Path,
    /// The descriptor as JSON.
    pub(crate) descriptor: &'a str,
    /// `.weir` in the folder, which exists: for tools and anything else that can be regenerated.
    pub(crate) weir: PathBuf,
    /// The purpose of the build.
    pub(crate) purpose: Purpose,
    /// Runs the tools.
    pub(crate) steps: &'a CommandRunner<'a>,
}

/// The folder `sdk` of the checkout that this program was built in, if it still exists; the SDK is then taken from it.
pub(crate) fn sdk_folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?.join("sdk");
    folder.join("rust/Cargo.toml").is_file().then_some(folder)
}

/// The version of the SDKs, which is that of this program.
pub(crate) const SDK_VERSION: &str = env!("CARGO_PKG_VERSION");
