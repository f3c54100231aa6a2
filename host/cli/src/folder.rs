//! The data folder: its lock and its layout.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use weir_config::records::Digest;
use weir_pubsub::chain;

use crate::disk_reserve;
use crate::holder::Holder;
use crate::problem::{Exit, Problem};
use crate::token::Secret;

/// A data folder locked for this process, until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    is_disk_full: bool,
    /// The lock is released with the file, even if the process is killed.
    _lock: File,
}

/// The format of the whole folder: which files are in it and what they mean. A version that is incompatible with what an older one wrote increments
/// it; the log and the configuration have their own format versions as well.
pub(crate) const FORMAT: u32 = 1;

/// The format of a data folder, as recorded in it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct VersionFile {
    /// See [`FORMAT`].
    pub(crate) data_format: u32,
    /// The version of Weir that used it last.
    pub(crate) weir: String,
}

/// The address of a running Weir, as recorded in its data folder.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GatewayFile {
    /// `http://ADDRESS:PORT`, with TLS `https://ADDRESS:PORT`.
    pub(crate) url: String,
    /// The process.
    pub(crate) pid: u32,
    /// The digest of its certificate, if any: commands on this folder trust it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<Digest>,
}

/// How commands on the same data folder reach the gateway.
#[derive(Clone, Debug)]
pub(crate) struct GatewayAccess {
    /// Its URL from this machine.
    pub(crate) url: String,
    /// The token of the commands, if it requires one.
    pub(crate) secret: Option<Secret>,
    /// The digest of its certificate, if it has one.
    pub(crate) certificate: Option<Digest>,
}

impl DataFolder {
    /// Creates the folder if it is missing, and locks it for this process. `command` is what it runs as, for example `weir run host`.
    pub(crate) fn lock(path: &Path, command: &str) -> Result<Self, Problem> {
        let unusable = |error: std::io::Error| {
            Problem::new(Exit::NoFolder, format!("the data folder {} cannot be used", path.display()))
                .because(error)
                .next(format!("choose a folder that you may write to: {command} --data DIR"))
        };
        make_private(path).map_err(unusable)?;
        let lock_path = path.join("LOCK");
        let mut lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(lock_path).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &lock, command)),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        let is_disk_full = disk_reserve::make_room(path);
        match Holder::this(command).write_to(&mut lock) {
            // The id is only used in the error of a second process that finds the folder locked.
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                tracing::warn!(error = %chain(&error), "process id not recorded in LOCK")
            }
            written => written.map_err(unusable)?,
        }
        note_version(path)?;
        let folder = DataFolder { path: path.to_owned(), is_disk_full, _lock: lock };
        // Stale records of a killed process would mislead other commands while this one starts.
        folder.remove_notes().map_err(unusable)?;
        Ok(folder)
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its disk was full when it was locked.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.is_disk_full
    }

    /// The broker's files.
    pub(crate) fn queues(&self) -> PathBuf {
        self.path.join("queues")
    }

    /// The configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.path.join("config.sqlite")
    }

    /// The bytes of components.
    pub(crate) fn components(&self) -> PathBuf {
        self.path.join("components")
    }

    /// Compiled code, which may be deleted whenever Weir is not running.
    pub(crate) fn cache(&self) -> PathBuf {
        self.path.join("cache")
    }

    /// Atomically records the gateway's address for other commands.
    pub(crate) fn write_note(&self, noted: &GatewayAccess) -> std::io::Result<()> {
        let note = GatewayFile { url: noted.url.clone(), pid: std::process::id(), certificate: noted.certificate };
        write_whole(&note_path(&self.path), &note)
    }

    /// Stores the gateway's token for other commands, replacing an older one, in a file that only its owner can read, regardless of the folder's
    /// permissions.
    pub(crate) fn write_token(&self, token: &Secret) -> std::io::Result<()> {
        let path = token_path(&self.path);
        let part = path.with_extension("token.part");
        match fs::remove_file(&part) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&part)?.write_all(token.text().as_bytes())?;
        fs::rename(part, path)
    }

    /// Removes the recorded address and token.
    pub(crate) fn remove_notes(&self) -> std::io::Result<()> {
        for path in [note_path(&self.path), token_path(&self.path), token_path(&self.path).with_extension("token.part")] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The token of the Weir that runs on a data folder, if it has one.
pub(crate) fn read_token(folder: &Path) -> Result<Option<Secret>, Problem> {
    let path = token_path(folder);
    if path.exists() { Secret::of_file(&path).map(Some) } else { Ok(None) }
}

/// The address recorded in a data folder, if any.
pub(crate) fn read_note(folder: &Path) -> std::io::Result<Option<GatewayFile>> {
    read_whole(&note_path(folder))
}

/// The format of a data folder; `None` if Weir has never run on it.
pub(crate) fn read_version(folder: &Path) -> std::io::Result<Option<VersionFile>> {
    read_whole(&version_path(folder))
}

/// Refuses a folder of a newer format; otherwise records our format.
fn note_version(folder: &Path) -> Result<(), Problem> {
    let path = version_path(folder);
    let unreadable = |error: std::io::Error| {
        let what = if error.kind() == std::io::ErrorKind::Other { "is empty or damaged" } else { "cannot be read" };
        Problem::new(Exit::NoFolder, format!("{} {what}, so the format of the data folder is unknown", path.display()))
            .because(error)
            .next(format!("nothing was changed: {}", fix_hint(folder)))
    };
    let unwritable = |error: std::io::Error| {
        Problem::new(Exit::NoFolder, format!("{} cannot be written", path.display()))
            .because(error)
            .next("free disk space, or choose a folder that you may write to: weir up --data DIR")
    };
    let ours = VersionFile { data_format: FORMAT, weir: env!("CARGO_PKG_VERSION").to_owned() };
    match read_version(folder).map_err(unreadable)? {
        Some(found) if found.data_format > FORMAT => {
            let what = format!(
                "the data folder {} has format {}, written by Weir {}; this is Weir {}, which supports formats up to {FORMAT}",
                folder.display(),
                found.data_format,
                found.weir,
                ours.weir
            );
            let next =
                format!("nothing was changed: use Weir {} or a newer one, or start on another folder: weir up --data DIR", found.weir);
            Err(Problem::new(Exit::NoFolder, what).next(next))
        }
        Some(found) if found.data_format == ours.data_format && found.weir == ours.weir => Ok(()),
        found => match write_whole(&path, &ours) {
            // The format is already recorded; only the recorded version of Weir is out of date.
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull && found.is_some_and(|it| it.data_format == FORMAT) => {
                tracing::warn!(error = %chain(&error), path = %path.display(), "version not recorded");
                Ok(())
            }
            written => written.map_err(unwritable),
        },
    }
}

/// What to do about an unreadable version file.
pub(crate) fn fix_hint(folder: &Path) -> String {
    let (path, ours) = (version_path(folder), env!("CARGO_PKG_VERSION"));
    format!("if Weir {ours} or an older one used the folder last, delete {} and start again; otherwise restore a backup", path.display())
}

/// Writes JSON to a file atomically and durably, so that a power failure does not leave an empty file.
fn write_whole(path: &Path, value: &impl Serialize) -> std::io::Result<()> {
    let part = path.with_extension("json.part");
    let text = serde_json::to_vec(value).map_err(std::io::Error::other)?;
    let written = write_durably(&part, path, &text);
    if written.is_err() {
        // The first error is returned.
        let _ = fs::remove_file(part);
    }
    written
}

fn write_durably(part: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(part, path)?;
    sync_folder_of(path)
}

/// Syncs the folder of a file, so that its name is durable, too.
pub(crate) fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn read_whole<T: DeserializeOwned>(path: &Path) -> std::io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(std::io::Error::other),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn note_path(folder: &Path) -> PathBuf {
    folder.join("gateway.json")
}

fn token_path(folder: &Path) -> PathBuf {
    folder.join("gateway.token")
}

fn version_path(folder: &Path) -> PathBuf {
    folder.join("version.json")
}

fn in_use(path: &Path, lock: &File, command: &str) -> Problem {
    let by = Holder::read_from(lock).map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
    // A second gateway also needs its own address.
    let listen = if ["weir up", "weir run gateway"].contains(&command) { " --listen 127.0.0.1:0" } else { "" };
    Problem::new(Exit::NoFolder, format!("the data folder {} is in use by {by}", path.display()))
        .next(format!("stop that Weir first, or give this one its own folder: {command} --data DIR{listen}"))
}

/// Creates a folder that only its owner can enter, since it contains messages.
pub(crate) fn make_private(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_used_by_one_process_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("data");
        let held = DataFolder::lock(&path, "weir up").unwrap();
        let error = DataFolder::lock(&path, "weir run host").unwrap_err();
        assert_eq!(error.exit, Exit::NoFolder);
        assert_eq!(error.to_string(), format!("the data folder {} is in use by process {} (weir up)", path.display(), std::process::id()));
        assert!(error.next_step().unwrap().ends_with("its own folder: weir run host --data DIR"));
        drop(held);
        DataFolder::lock(&path, "weir up").unwrap();
    }

    #[test]
    fn a_folder_of_a_newer_format_is_left_unchanged() {
        let temp = tempfile::tempdir().unwrap();
        DataFolder::lock(temp.path(), "weir up").unwrap();
        assert_eq!(read_version(temp.path()).unwrap().unwrap().data_format, FORMAT);
        let newer = r#"{"data-format": 2, "weir": "9.0.0", "more": true}"#;
        fs::write(version_path(temp.path()), newer).unwrap();
        let problem = DataFolder::lock(temp.path(), "weir up").unwrap_err();
        assert!(problem.to_string().contains("has format 2, written by Weir 9.0.0"), "{problem}");
        assert_eq!(fs::read_to_string(version_path(temp.path())).unwrap(), newer);
    }

    #[test]
    fn an_unreadable_version_file_is_reported_with_the_fix() {
        let temp = tempfile::tempdir().unwrap();
        for text in ["", "x", "{\"data-format\": 1"] {
            DataFolder::lock(temp.path(), "weir up").unwrap();
            let path = version_path(temp.path());
            fs::write(&path, text).unwrap();
            let problem = DataFolder::lock(temp.path(), "weir up").unwrap_err();
            let next = problem.next_step().unwrap().to_owned();
            assert_eq!(problem.exit, Exit::NoFolder);
            assert!(problem.to_string().contains("version.json is empty or damaged"), "{problem}");
            assert!(next.contains(&format!("delete {} and start again", path.display())), "{next}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            fs::remove_file(path).unwrap();
        }
        DataFolder::lock(temp.path(), "weir up").unwrap();
        assert_eq!(read_version(temp.path()).unwrap().unwrap().data_format, FORMAT);
        assert!(!temp.path().join("version.json.part").exists());
    }

    #[test]
    fn an_address_file_of_an_earlier_process_is_removed() {
        let temp = tempfile::tempdir().unwrap();
        let noted = GatewayAccess { url: "http://127.0.0.1:1".to_owned(), secret: None, certificate: None };
        DataFolder::lock(temp.path(), "weir up").unwrap().write_note(&noted).unwrap();
        assert_eq!(read_note(temp.path()).unwrap().unwrap().url, "http://127.0.0.1:1");
        DataFolder::lock(temp.path(), "weir up").unwrap();
        assert!(read_note(temp.path()).unwrap().is_none());
    }
}
