//! The folder that stores the bytes of components, each in a file named after its digest; writing and reading them in chunks; and the source of
//! components for hosts.

mod files;
mod incoming;
mod reading;
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use self::files::{blocking, digest_of, part_of, write_durably};
use crate::error::{ConfigError, Result};
use crate::records::Digest;

pub use self::incoming::Incoming;
pub use self::reading::StoredComponent;
pub use self::source::{ComponentBytes, ComponentSource, RemoteComponents, RemoteFault};

/// A folder of files `HEX.wasm`. Its files never change, so they can be shared and copied freely. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct ComponentFolder {
    path: PathBuf,
}

impl ComponentFolder {
    /// A handle to the folder, which is created with the first component.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        ComponentFolder { path: path.into() }
    }

    /// The file of a component, whether it exists or not.
    pub fn path(&self, digest: Digest) -> PathBuf {
        self.path.join(format!("{}.wasm", digest.to_hex()))
    }

    /// Stores a component. When this returns, the file is durable and complete; a damaged one with the same digest is replaced.
    ///
    /// # Errors
    /// `ComponentFolder`.
    ///
    /// # Cancel safety
    /// The component may still be stored, completely or not at all.
    pub async fn put(&self, bytes: &[u8]) -> Result<Digest> {
        let (folder, bytes) = (self.clone(), bytes.to_vec());
        blocking(move || folder.put_now(&bytes)).await
    }

    /// The bytes of a component, verified against its digest; `None` if it is not stored.
    ///
    /// # Errors
    /// `ComponentFolder`, `DamagedComponent`.
    pub async fn get(&self, digest: Digest) -> Result<Option<Vec<u8>>> {
        let folder = self.clone();
        blocking(move || folder.get_now(digest)).await
    }

    /// Verifies a component and opens it for reading in chunks; `None` if it is not stored.
    ///
    /// # Errors
    /// `ComponentFolder`, `DamagedComponent`.
    pub async fn open(&self, digest: Digest) -> Result<Option<StoredComponent>> {
        let path = self.path(digest);
        blocking(move || StoredComponent::open(digest, path)).await
    }

    /// Starts writing a component that arrives in chunks, with at most this many bytes in total. An unfinished write leaves nothing behind.
    ///
    /// # Errors
    /// `ComponentFolder`.
    pub async fn receive(&self, digest: Digest, most_bytes: u64) -> Result<Incoming> {
        let (folder, path) = (self.path.clone(), self.path(digest));
        blocking(move || Incoming::begin(&folder, digest, path, most_bytes)).await
    }

    /// The folder of the files.
    pub fn folder(&self) -> &Path {
        &self.path
    }

    /// The unused files if only these digests are referenced: bytes of other components, and leftovers of interrupted writes. Nothing may write to
    /// the folder meanwhile: a write in progress looks like an interrupted one, regardless of its age.
    ///
    /// # Errors
    /// `ComponentFolder`.
    pub async fn unused(&self, named: &BTreeSet<Digest>) -> Result<Vec<UnusedFile>> {
        let (folder, named) = (self.clone(), named.clone());
        blocking(move || folder.unused_now(&named)).await
    }

    /// Removes the bytes of a component, if they exist.
    ///
    /// # Errors
    /// `ComponentFolder`.
    pub async fn remove(&self, digest: Digest) -> Result<()> {
        let path = self.path(digest);
        blocking(move || match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ConfigError::ComponentFolder { doing: "remove", path, source: error })
            }
            _ => Ok(()),
        })
        .await
    }

    /// Whether the file of a component exists, undamaged or not.
    pub fn has(&self, digest: Digest) -> bool {
        self.path(digest).exists()
    }

    fn unused_now(&self, named: &BTreeSet<Digest>) -> Result<Vec<UnusedFile>> {
        let is_unused = |name: &str| match name.split_once('.') {
            Some((hex, "wasm")) => hex.parse::<Digest>().is_ok_and(|digest| !named.contains(&digest)),
            Some((hex, rest)) => rest.ends_with("part") && hex.parse::<Digest>().is_ok(),
            None => false,
        };
        let failed = |source| ConfigError::ComponentFolder { doing: "read", path: self.path.clone(), source };
        unused_files(&self.path, is_unused).map_err(failed)
    }

    fn put_now(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = digest_of(bytes);
        let path = self.path(digest);
        let part = part_of(&self.path, digest);
        let written = write_durably(&self.path, &part, &path, bytes);
        if written.is_err() {
            // Leftovers of a failed write are harmless; the first error is reported.
            let _ = fs::remove_file(&part);
        }
        written.map(|()| digest).map_err(|source| ConfigError::ComponentFolder { doing: "write", path, source })
    }

    fn get_now(&self, digest: Digest) -> Result<Option<Vec<u8>>> {
        let path = self.path(digest);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ConfigError::ComponentFolder { doing: "read", path, source }),
        };
        if digest_of(&bytes) == digest { Ok(Some(bytes)) } else { Err(ConfigError::DamagedComponent { path }) }
    }
}

/// A file that nothing refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnusedFile {
    /// Its path.
    pub path: PathBuf,
    /// Its size.
    pub size_bytes: u64,
}

/// The files of a folder whose names pass a test, in order; none if the folder does not exist.
///
/// # Errors
/// If the folder cannot be read.
pub fn unused_files(folder: &Path, is_unused: impl Fn(&str) -> bool) -> io::Result<Vec<UnusedFile>> {
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut unused = Vec::new();
    for file in files {
        let file = file?;
        let Ok(meta) = file.metadata() else { continue };
        if meta.is_file() && file.file_name().to_str().is_some_and(&is_unused) {
            unused.push(UnusedFile { path: file.path(), size_bytes: meta.len() });
        }
    }
    unused.sort();
    Ok(unused)
}

/// Removes files. Returns those that could not be removed, with the reason. A missing file counts as removed.
pub fn remove_unused(files: &[UnusedFile]) -> Vec<(PathBuf, io::Error)> {
    let remove = |file: &UnusedFile| match fs::remove_file(&file.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Some((file.path.clone(), error)),
        _ => None,
    };
    files.iter().filter_map(remove).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stored_component_is_found_by_its_digest_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let components = ComponentFolder::new(folder.path().join("components"));
        assert_eq!(components.get(digest_of(b"one")).await.unwrap(), None);
        let digest = components.put(b"one").await.unwrap();
        assert_eq!(components.put(b"one").await.unwrap(), digest);
        assert_eq!(digest.to_string(), "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed");
        assert_eq!(components.get(digest).await.unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(fs::read_dir(folder.path().join("components")).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_damaged_file_is_reported_and_repaired_by_the_next_upload() {
        let folder = tempfile::tempdir().unwrap();
        let components = ComponentFolder::new(folder.path());
        let digest = components.put(b"one").await.unwrap();
        fs::write(components.path(digest), b"two").unwrap();
        assert!(matches!(components.get(digest).await, Err(ConfigError::DamagedComponent { .. })));
        components.put(b"one").await.unwrap();
        assert!(components.get(digest).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn an_unreferenced_file_is_unused() {
        let folder = tempfile::tempdir().unwrap();
        let components = ComponentFolder::new(folder.path().join("components"));
        assert!(components.unused(&BTreeSet::new()).await.unwrap().is_empty());
        let (one, two) = (components.put(b"one").await.unwrap(), components.put(b"two!").await.unwrap());
        fs::write(components.path(one).with_extension("0123.part"), b"half").unwrap();
        fs::write(folder.path().join("components/README"), b"not ours").unwrap();
        let unused = components.unused(&BTreeSet::from([one])).await.unwrap();
        let sizes: Vec<(String, u64)> =
            unused.iter().map(|file| (file.path.extension().unwrap().to_string_lossy().into_owned(), file.size_bytes)).collect();
        assert_eq!(sizes.iter().map(|(ending, size)| (ending.as_str(), *size)).collect::<BTreeSet<_>>(), [("wasm", 4), ("part", 4)].into());
        assert!(remove_unused(&unused).is_empty() && remove_unused(&unused).is_empty());
        assert_eq!((components.has(one), components.has(two)), (true, false));
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        let error = ComponentFolder::new(&file).put(b"one").await.unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error}");
    }
}
