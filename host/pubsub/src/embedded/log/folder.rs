//! The folder and its lock.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::embedded::options::OpenError;

/// Locks the folder for this process; the operating system releases the lock when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct FolderLock(File);

impl FolderLock {
    /// Creates the folder if it does not exist, and locks it.
    pub(super) fn take(folder: &Path) -> Result<Self, OpenError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { action, path, source }
        };
        std::fs::create_dir_all(folder).map_err(failed("create the folder", folder))?;
        let path = folder.join("LOCK");
        let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(failed("open the lock file", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(FolderLock(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: folder.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing is not enough: a child process being started shares the open file until it executes its own program.
        if let Err(error) = self.0.unlock() {
            tracing::warn!(error = %crate::chain(&error), "lock of the folder not released");
        }
    }
}
