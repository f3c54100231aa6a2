//! A temporary folder.

use std::path::{Path, PathBuf};

/// A folder only for this process, removed when this is dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Creates one that only this user can enter.
    pub(super) fn make(purpose: &str) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let name = format!("weir-{purpose}-{}-{:08x}", std::process::id(), rand::random::<u32>());
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Folder(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays in the system's folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
