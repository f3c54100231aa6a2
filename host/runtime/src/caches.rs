//! A host's caches of components, within one size limit: the bytes of fetched components, and compiled code.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use weir_config::records::Digest;

/// The minimum age of leftovers of interrupted writes: younger files may still be being written.
const PART_AGE: Duration = Duration::from_secs(3_600);

/// Files that are useful only together, such as code and its checksum.
#[derive(Clone, Debug)]
struct CachedFiles {
    files: Vec<PathBuf>,
    size_bytes: u64,
    used: SystemTime,
    digest: Digest,
}

/// The files that were removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Trimmed {
    pub(crate) files_count: usize,
    pub(crate) size_bytes: u64,
}

/// Records that a file was just used. This affects only the order of removal.
pub(crate) fn touch(path: &Path) {
    if let Ok(file) = fs::File::options().append(true).open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Removes the least recently used files until the folders are within the limit; files in use stay. Reads the folders.
///
/// # Errors
/// When a folder cannot be read.
pub(crate) fn trim(folders: &[PathBuf], most_bytes: u64, in_use: &BTreeSet<Digest>) -> io::Result<Trimmed> {
    let mut kept = BTreeMap::new();
    let mut trimmed = Trimmed::default();
    for folder in folders {
        read(folder, &mut kept, &mut trimmed)?;
    }
    for unused in to_evict(kept.into_values().collect(), most_bytes, in_use) {
        unused.files.iter().for_each(|path| remove(path));
        trimmed.files_count += unused.files.len();
        trimmed.size_bytes += unused.size_bytes;
    }
    Ok(trimmed)
}

/// The files to evict: the oldest first, none that is in use.
fn to_evict(mut kept: Vec<CachedFiles>, most_bytes: u64, in_use: &BTreeSet<Digest>) -> Vec<CachedFiles> {
    let mut bytes: u64 = kept.iter().map(|it| it.size_bytes).sum();
    kept.retain(|it| !in_use.contains(&it.digest));
    kept.sort_by_key(|it| it.used);
    let mut has_to_go = |it: &CachedFiles| {
        let is_over = bytes > most_bytes;
        bytes -= if is_over { it.size_bytes } else { 0 };
        is_over
    };
    kept.into_iter().take_while(|it| has_to_go(it)).collect()
}

fn read(folder: &Path, kept: &mut BTreeMap<PathBuf, CachedFiles>, trimmed: &mut Trimmed) -> io::Result<()> {
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for file in files {
        let path = file?.path();
        let Ok(meta) = fs::metadata(&path) else { continue };
        let used = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        match path.extension().and_then(OsStr::to_str) {
            Some("part") if used.elapsed().is_ok_and(|age| age > PART_AGE) => {
                remove(&path);
                trimmed.files_count += 1;
                trimmed.size_bytes += meta.len();
            }
            Some("wasm" | "cwasm" | "crc") => {
                let Some(digest) = digest_of(&path) else { continue };
                let entry = kept.entry(path.with_extension(""));
                let entry = entry.or_insert(CachedFiles { files: Vec::new(), size_bytes: 0, used, digest });
                (entry.size_bytes, entry.used) = (entry.size_bytes + meta.len(), entry.used.max(used));
                entry.files.push(path);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The digest at the start of a file name.
fn digest_of(path: &Path) -> Option<Digest> {
    let stem = path.file_stem()?.to_str()?;
    stem.split('-').next()?.parse().ok()
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), error = %weir_pubsub::chain(&error), "cached file not removed");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn digest(byte: u8) -> Digest {
        Digest::from_sha256([byte; 32])
    }

    fn write(folder: &Path, name: &str, size: usize, age_s: u64) {
        let path = folder.join(name);
        fs::write(&path, vec![0; size]).unwrap();
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age_s)).unwrap();
    }

    #[test]
    fn the_least_recently_used_is_evicted_first_and_never_what_is_in_use() {
        let (components, code) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let hex = |byte: u8| digest(byte).to_hex();
        write(components.path(), &format!("{}.wasm", hex(1)), 100, 50);
        write(components.path(), &format!("{}.wasm", hex(2)), 100, 40);
        write(components.path(), &format!("{}.0123.part", hex(3)), 100, 7_200);
        write(components.path(), &format!("{}.0124.part", hex(3)), 100, 5);
        write(code.path(), &format!("{}-0.cwasm", hex(2)), 100, 30);
        write(code.path(), &format!("{}-0.crc", hex(2)), 10, 30);
        write(code.path(), "suspects", 100, 7_200);
        let names = |folder: &Path| -> BTreeSet<String> {
            fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
        };
        let trim = |most_bytes: u64| {
            trim(&[components.path().to_owned(), code.path().to_owned()], most_bytes, &BTreeSet::from([digest(1)])).unwrap()
        };
        assert_eq!(trim(1_000), Trimmed { files_count: 1, size_bytes: 100 });
        assert_eq!(trim(309), Trimmed { files_count: 1, size_bytes: 100 });
        assert_eq!(names(code.path()), [format!("{}-0.cwasm", hex(2)), format!("{}-0.crc", hex(2)), "suspects".to_owned()].into());
        assert_eq!(trim(0), Trimmed { files_count: 2, size_bytes: 110 });
        assert_eq!(names(components.path()), [format!("{}.wasm", hex(1)), format!("{}.0124.part", hex(3))].into());
        assert_eq!(trim(0), Trimmed::default());
    }
}
