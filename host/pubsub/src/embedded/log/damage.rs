//! Unreadable messages, and the files that keep their bytes.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bytes::Bytes;

use super::segment;
use crate::embedded::damage::Damage;
use crate::embedded::log_position::LogPosition;
use crate::lock::lock;

/// Maximum size of the damaged data kept in files beside the log.
const MAX_DAMAGED_BYTES: u64 = 64 << 20;
/// Maximum number of such files.
const MAX_DAMAGED_FILES_COUNT: u64 = 1000;
/// The extension of such a file.
const EXTENSION: &str = "damaged";

/// Why a message could not be read.
#[derive(Debug)]
pub(crate) enum ReadFault {
    /// The bytes on disk differ from those written, or are missing, permanently.
    Damaged(Box<Damage>),
    /// The operating system failed to read them this time.
    Failed { path: PathBuf, offset: u32, source: io::Error },
}

impl fmt::Display for ReadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, offset, detail): (_, _, &dyn fmt::Display) = match self {
            ReadFault::Damaged(damage) => (&damage.path, damage.position.offset, &damage.detail),
            ReadFault::Failed { path, offset, source } => (path, *offset, source),
        };
        write!(f, "the message at byte {offset} of {} cannot be read: {detail}", path.display())
    }
}

/// Stores the bytes of damaged messages, each in a file `SEGMENT-OFFSET.damaged`, up to the limits.
#[derive(Debug, Default)]
pub(super) struct DamagedFiles(Mutex<Option<KeptFiles>>);

#[derive(Clone, Copy, Debug, Default)]
struct KeptFiles {
    count: u64,
    bytes: u64,
}

impl DamagedFiles {
    /// Stores the bytes; returns the file, if it exists. Queues that share a message share its file.
    pub(super) fn keep(&self, folder: &Path, position: LogPosition, bytes: &Bytes) -> Option<PathBuf> {
        let path = folder.join(format!("{:020}-{:010}.{EXTENSION}", position.segment, position.offset));
        let mut kept = lock(&self.0);
        let all = kept.get_or_insert_with(|| KeptFiles::of(folder));
        if path.exists() {
            return Some(path);
        }
        if bytes.is_empty() || all.count >= MAX_DAMAGED_FILES_COUNT || all.bytes + bytes.len() as u64 > MAX_DAMAGED_BYTES {
            return None;
        }
        if let Err(error) = File::create_new(&path).and_then(|mut file| file.write_all(bytes)) {
            tracing::warn!(path = %path.display(), %error, "bytes of a damaged message not saved");
            // A partial file is useless.
            let _ = std::fs::remove_file(&path);
            return None;
        }
        (all.count, all.bytes) = (all.count + 1, all.bytes + bytes.len() as u64);
        Some(path)
    }
}

impl KeptFiles {
    fn of(folder: &Path) -> Self {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let kept = files.filter(|file| file.path().extension().is_some_and(|extension| extension == EXTENSION));
        let sizes = kept.map(|file| file.metadata().map_or(0, |found| found.len()));
        sizes.fold(KeptFiles::default(), |all, bytes| KeptFiles { count: all.count + 1, bytes: all.bytes + bytes })
    }
}

/// The segment file of a position.
pub(super) fn path_of(folder: &Path, position: LogPosition) -> PathBuf {
    segment::path(folder, position.segment)
}

/// The files with damaged messages in a queue folder.
///
/// # Errors
/// If the folder cannot be listed.
pub fn damaged_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
