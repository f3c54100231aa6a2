//! Snapshots of the sources of a project on disk, to find out whether a component is older and when something changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folders without sources, made by tools.
const SKIPPED: [&str; 6] = [".weir", ".git", "target", "node_modules", "__pycache__", ".venv"];
/// A file written by npm.
const SKIPPED_FILE: &str = "package-lock.json";
/// Files written by builds.
const SKIPPED_ENDINGS: [&str; 3] = ["wasm", "pyc", "lock"];
/// Maximum number of files in a snapshot; a folder with more is not a project.
const MAX_FILES_COUNT: usize = 20_000;

/// The files of a project with the time and size of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<PathBuf, (SystemTime, u64)>);

impl Snapshot {
    /// Takes a snapshot of all sources of a folder. Omits what cannot be read.
    pub fn of(folder: &Path) -> Self {
        let (mut found, mut open) = (BTreeMap::new(), vec![folder.to_owned()]);
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let (path, name) = (entry.path(), entry.file_name());
                let name = name.to_string_lossy();
                let Ok(meta) = entry.metadata() else { continue };
                let is_skipped_file = path.extension().is_some_and(|ending| SKIPPED_ENDINGS.iter().any(|skipped| ending == *skipped));
                if meta.is_dir() && !SKIPPED.contains(&name.as_ref()) {
                    open.push(path);
                } else if meta.is_file() && !is_skipped_file && name != SKIPPED_FILE && found.len() < MAX_FILES_COUNT {
                    found.insert(path, (meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len()));
                }
            }
        }
        Snapshot(found)
    }

    /// The files that differ from an earlier snapshot: new, changed or removed.
    pub fn changed_since(&self, earlier: &Snapshot) -> Vec<PathBuf> {
        let changed = self.0.iter().filter(|(path, state)| earlier.0.get(*path) != Some(state)).map(|(path, _)| path);
        let removed = earlier.0.keys().filter(|path| !self.0.contains_key(*path));
        changed.chain(removed).cloned().collect()
    }
}

/// When the sources of a project were last changed. Fixtures do not count: they are not part of the component.
pub fn newest_change(folder: &Path) -> Option<SystemTime> {
    let fixtures = folder.join("tests");
    let snapshot = Snapshot::of(folder);
    let sources =
        snapshot.0.iter().filter(|(path, _)| !path.starts_with(&fixtures) && path.extension().is_none_or(|ending| ending != "md"));
    sources.map(|(_, (modified, _))| *modified).max()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn generated_files_are_not_sources() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        };
        for path in ["weir.toml", "src/lib.rs", "target/a", ".weir/b", "node_modules/c/d.js", "x.wasm"] {
            write(path);
        }
        let first = Snapshot::of(folder.path());
        assert_eq!(first.0.len(), 2);
        write("src/other.rs");
        fs::write(folder.path().join("weir.toml"), "longer than before").unwrap();
        fs::remove_file(folder.path().join("src/lib.rs")).unwrap();
        let changed: Vec<_> = Snapshot::of(folder.path()).changed_since(&first);
        let names: Vec<_> = changed.iter().map(|path| path.strip_prefix(folder.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["src/other.rs", "weir.toml", "src/lib.rs"]);
    }
}
