//! The cache of compiled code: files that only this user can read, of one version of the engine and its settings.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use wasmtime::component::Component;
use weir_config::UnusedFile;
use weir_config::records::Digest;

use crate::caches::touch;
use crate::error::RuntimeError;

/// Compiled code by digest: files `DIGEST-ENGINE.cwasm` in a folder that only this user can enter. The checksum of each is in a file
/// `DIGEST-ENGINE.crc`: the engine trusts the code as its own, so damage on disk must be detected before.
pub(crate) struct CodeCache {
    folder: PathBuf,
    /// Represents the engine's version and settings: code of other engines is not read.
    engine: String,
}

impl CodeCache {
    /// Opens the cache in a folder, which is created if missing.
    ///
    /// # Errors
    /// `CodeCache`.
    pub(crate) fn open(folder: &Path, engine: &wasmtime::Engine) -> Result<Self, RuntimeError> {
        let failed = |source| RuntimeError::CodeCache { path: folder.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        Ok(CodeCache { folder: folder.to_owned(), engine: id_of(engine) })
    }

    /// The folder of the compiled code.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn file(&self, digest: Digest, extension: &str) -> PathBuf {
        self.folder.join(format!("{}-{}.{extension}", digest.to_hex(), self.engine))
    }

    /// The cached code of a component, if it is usable. Reads a file.
    pub(crate) fn load(&self, engine: &wasmtime::Engine, digest: Digest) -> Option<Component> {
        let path = self.file(digest, "cwasm");
        if !path.exists() {
            return None;
        }
        touch(&path);
        self.load_file(engine, digest, &path)
            .inspect_err(|error| {
                tracing::warn!(path = %path.display(), error = format!("{error:#}"), "compiled code unusable, compiling again");
                let _ = fs::remove_file(&path);
            })
            .ok()
    }

    fn load_file(&self, engine: &wasmtime::Engine, digest: Digest, path: &Path) -> wasmtime::Result<Component> {
        let desired = fs::read_to_string(self.file(digest, "crc"))?;
        if checksum(&fs::read(path)?) != desired {
            return Err(wasmtime::Error::msg("the file has changed: its checksum differs"));
        }
        #[allow(unsafe_code, reason = "a file that this host wrote whole and just verified, in a folder of mode 0700, for this engine")]
        unsafe {
            Component::deserialize_file(engine, path)
        }
    }

    /// Caches code. A checksum that does not match its code, after a crash between the two writes, invalidates the code.
    pub(crate) fn store(&self, digest: Digest, code: &[u8]) -> io::Result<()> {
        self.write(&self.file(digest, "crc"), checksum(code).as_bytes())?;
        self.write(&self.file(digest, "cwasm"), code)
    }

    /// Writes to a temporary file and renames it, so that no reader sees a partial file.
    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let part = self.folder.join(format!("{:016x}.part", rand::random::<u64>()));
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&part)
            .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_data()))
            .and_then(|()| fs::rename(&part, path));
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
        written
    }
}

/// Identifies the version and settings of an engine in file names.
fn id_of(engine: &wasmtime::Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The minimum age of leftovers of interrupted writes: younger files may still be being written.
const PART_AGE: Duration = Duration::from_secs(3_600);

/// The files of compiled code that no host would use if only these digests were referenced: code of other components or of another engine, and
/// leftovers of interrupted writes.
pub(crate) fn unused_code(folder: &Path, engine: &wasmtime::Engine, named: &BTreeSet<Digest>) -> io::Result<Vec<UnusedFile>> {
    let engine = id_of(engine);
    let is_old = |name: &str| {
        let modified = fs::metadata(folder.join(name)).and_then(|meta| meta.modified());
        modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > PART_AGE))
    };
    let is_unused = |name: &str| match name.rsplit_once('.') {
        Some((stem, "cwasm" | "crc")) => match stem.split_once('-') {
            Some((hex, made_by)) => hex.parse::<Digest>().is_ok_and(|digest| made_by != engine || !named.contains(&digest)),
            None => false,
        },
        Some((_, "part")) => is_old(name),
        _ => false,
    };
    weir_config::unused_files(folder, is_unused)
}

/// Length and CRC-32C: protects against damage, not against attackers, whom the mode of the folder excludes.
fn checksum(code: &[u8]) -> String {
    format!("{} {:08x}", code.len(), crc32c::crc32c(code))
}
