//! Errors of projects.

use std::path::PathBuf;

use weir_pubsub::chain;

/// The manifest's file name.
pub const MANIFEST_NAME: &str = "weir.toml";

/// A fault in a manifest: where, which key, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {problem}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct ManifestError {
    /// The file.
    pub file: PathBuf,
    /// The line, if known.
    pub line: Option<usize>,
    /// What is wrong, with the key.
    pub problem: String,
}

/// Why an operation on a project failed. The message or [`ProjectError::fix`] states what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// The folder has no manifest.
    #[error("{} has no {MANIFEST_NAME}", folder.display())]
    NoManifest {
        /// The folder.
        folder: PathBuf,
    },
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A fixture is wrong.
    #[error("{}{}: {problem}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    Fixture {
        /// The file.
        file: PathBuf,
        /// The line, if known.
        line: Option<usize>,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A file or folder cannot be used.
    #[error("{} cannot be {verb}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// `read`, `written` or `made`.
        verb: &'static str,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The path of a new project is already in use.
    #[error("{} already exists and is not overwritten", path.display())]
    Exists {
        /// The existing path.
        path: PathBuf,
    },
    /// Not a valid component name.
    #[error("`{name}` is not a valid component name: use lower-case words joined by `-`, for example word-counter")]
    BadName {
        /// The name.
        name: String,
    },
    /// A tool that the language needs is missing.
    #[error("{tool} is missing: {needed_for}")]
    MissingTool {
        /// Which.
        tool: String,
        /// What it does.
        needed_for: &'static str,
        /// How to get it.
        fix: String,
    },
    /// A step of the build failed.
    #[error("{step} failed")]
    Step {
        /// The step, as a command.
        step: String,
        /// Its complete output.
        output: String,
        /// What to do, if known.
        fix: Option<String>,
    },
    /// The build produced a component that a host cannot run.
    #[error("{}: {problem}", file.display())]
    Component {
        /// The file.
        file: PathBuf,
        /// Why not.
        problem: String,
        /// What to do, if known.
        fix: Option<String>,
    },
    /// The runtime cannot be started on this machine.
    #[error("the async runtime did not start")]
    Runtime(#[source] weir_runtime::RuntimeError),
}

impl ProjectError {
    /// A fault of a file or folder.
    pub(crate) fn file(path: impl Into<PathBuf>, verb: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| ProjectError::File { path, verb, source }
    }

    /// A fault of a component that the check found.
    pub(crate) fn component(file: impl Into<PathBuf>, fault: &weir_runtime::ComponentFault) -> Self {
        ProjectError::Component { file: file.into(), problem: chain(fault), fix: None }
    }

    /// What to do about it, unless the message already states it.
    pub fn fix(&self) -> Option<String> {
        match self {
            ProjectError::NoManifest { .. } => {
                Some("change to a project folder, give its path, or create one: weir new --lang rust NAME".to_owned())
            }
            ProjectError::Exists { .. } => Some("choose another name, or remove it".to_owned()),
            ProjectError::MissingTool { fix, .. } => Some(fix.clone()),
            ProjectError::Step { fix, .. } | ProjectError::Component { fix, .. } => fix.clone(),
            _ => None,
        }
    }

    /// What a failed step printed.
    pub fn output(&self) -> Option<&str> {
        match self {
            ProjectError::Step { output, .. } => Some(output).filter(|output| !output.is_empty()).map(String::as_str),
            _ => None,
        }
    }
}
