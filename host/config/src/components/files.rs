//! Temporary names, durable writes and blocking work for component files.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::records::Digest;

/// A name for a file that is being written.
pub(super) fn part_of(folder: &Path, digest: Digest) -> PathBuf {
    folder.join(format!("{}.{:016x}.part", digest.to_hex(), rand::random::<u64>()))
}

/// Writes a temporary file and renames it. When this returns, the file is durable and complete.
pub(super) fn write_durably(folder: &Path, part: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = File::create_new(part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(part, path)?;
    File::open(folder)?.sync_all()
}

/// The digest of a component's bytes.
pub(super) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_sha256(Sha256::digest(bytes).into())
}

/// Runs file operations on a thread for blocking work.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is shutting down cancels blocking work: then nothing waits for the result.
            Err(_) => std::future::pending().await,
        },
    }
}
