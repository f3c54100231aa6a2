//! Removing deployments and unused files.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weir_config::UnusedFile;
use weir_config::records::Digest;

/// The body of `POST components/remove`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveComponent {
    /// `NAME@VERSION`.
    pub component: String,
}

/// The answer to `POST components/remove`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct RemovedComponent {
    /// `NAME@VERSION`.
    pub component: String,
    /// The digest of its file, which stays until it is pruned; absent if the record could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// How many bytes it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

/// The body of `POST components/prune`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PruneRequest {
    /// Whether to list the files only.
    #[serde(default)]
    pub dry_run: bool,
}

/// The answer to `POST components/prune`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Pruned {
    /// Whether this was a dry run, so the files still exist.
    pub dry_run: bool,
    /// The files that were removed or, in a dry run, would be.
    pub files: Vec<PrunedFile>,
    /// Their total size.
    pub size_bytes: u64,
    /// Files that could not be removed, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}

/// A file that nothing refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PrunedFile {
    /// Its name.
    pub name: String,
    /// Its content: `component`, `compiled-code` or `incomplete`.
    pub kind: String,
    /// Its size.
    pub size_bytes: u64,
}

impl PrunedFile {
    /// The entry for a file in the folder of components or of compiled code.
    pub(crate) fn of(file: &UnusedFile) -> Self {
        let kind = match file.path.extension().and_then(|extension| extension.to_str()) {
            Some("wasm") => "component",
            Some("part") => "incomplete",
            _ => "compiled-code",
        };
        let name = file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        PrunedFile { name, kind: kind.to_owned(), size_bytes: file.size_bytes }
    }
}

/// Which of these files were removed or, in a dry run, would be; `failures` could not be removed.
pub fn pruned(files: &[UnusedFile], dry_run: bool, failures: &[(PathBuf, io::Error)]) -> Pruned {
    let gone = files.iter().filter(|file| failures.iter().all(|(failed, _)| *failed != file.path));
    let files: Vec<PrunedFile> = gone.map(PrunedFile::of).collect();
    let failures = failures.iter().map(|(path, error)| format!("{}: {error}", path.display())).collect();
    Pruned { dry_run, size_bytes: files.iter().map(|file| file.size_bytes).sum(), files, failures }
}
