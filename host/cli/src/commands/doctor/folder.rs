//! The data folder, without a running Weir.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::{Duration, SystemTime};

use weir_pubsub::disk::{damaged_files, lost_mark};

use super::finding::{Finding, fail, ok, warn};
use crate::client::data_option;
use crate::folder::{FORMAT, fix_hint, read_note, read_version};
use crate::holder::Holder;
use crate::permissions::{self, OtherUsers, SharedFolder};

/// The earliest plausible time: when this was written.
const WRITTEN: Duration = Duration::from_secs(1_790_000_000);
/// How far the clock may be behind a file's time: file times on another disk may differ slightly.
const CLOCK_SLACK: Duration = Duration::from_secs(60);

/// The use of the folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not in use, or missing.
    Free,
    /// In use by this process, if known.
    Used(Option<Holder>),
}

/// Checks that it exists, is private, writable and in a known format, and whether it is in use.
pub(super) fn check(data: &Path, shared: SharedFolder) -> (State, Vec<Finding>) {
    const CHECK: &str = "data folder";
    match fs::metadata(data) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => {
            let what = format!("{} is not a folder", data.display());
            return (State::Free, vec![fail(CHECK, what, "choose another: --data DIR")]);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let what = format!("{} does not exist yet", data.display());
            let next = format!("weir init{0} creates it with a settings file, weir up{0} without one", data_option(data));
            return (State::Free, vec![warn(CHECK, what, next)]);
        }
        Err(error) => {
            let what = format!("{} cannot be inspected: {error}", data.display());
            return (State::Free, vec![fail(CHECK, what, "run this as Weir's user")]);
        }
    }
    if let Err(error) = fs::read_dir(data) {
        let what = format!("{} cannot be entered: {error}", data.display());
        return (State::Free, vec![fail(CHECK, what, "run this as Weir's user")]);
    }
    let mut findings = vec![private(data, shared), writable(data), version(data)];
    findings.extend(damaged(data));
    findings.extend(configuration(data));
    let (state, of_lock) = lock(data);
    findings.push(of_lock);
    // A running Weir maintains it.
    findings.extend(mark(data).filter(|_| state == State::Free));
    (state, findings)
}

fn private(data: &Path, shared: SharedFolder) -> Finding {
    const CHECK: &str = "data folder";
    let mode = permissions::mode(data);
    if permissions::writers(mode) != OtherUsers::None {
        let (what, next) = (permissions::in_folder(data), format!("chmod 700 {}, after checking its contents", data.display()));
        let is_refused = permissions::check_folder(data, shared).is_err();
        return if is_refused { fail(CHECK, what, format!("{next}; weir up refuses to start on it")) } else { warn(CHECK, what, next) };
    }
    if mode & 0o077 == 0 {
        return ok(CHECK, format!("{}, accessible only to its owner", data.display()));
    }
    let what = format!("{} is accessible to other users (mode {mode:o}), and it contains messages", data.display());
    warn(CHECK, what, format!("chmod 700 {}", data.display()))
}

fn writable(data: &Path) -> Finding {
    const CHECK: &str = "writing";
    let probe = data.join(format!("doctor-{}.part", std::process::id()));
    let written = fs::write(&probe, "probe");
    // It does not exist if it could not be written.
    let _ = fs::remove_file(&probe);
    match written {
        Ok(()) => ok(CHECK, "writable"),
        Err(error) => {
            fail(CHECK, format!("no file can be written to it: {error}"), "give Weir's user write permission, or free disk space")
        }
    }
}

/// Damaged bytes of messages, which Weir keeps for inspection.
fn damaged(data: &Path) -> Option<Finding> {
    let folder = data.join("queues");
    let found = damaged_files(&folder).unwrap_or_default();
    let what =
        format!("{} damaged messages or parts of the log were set aside; their bytes are in {}/*.damaged", found.len(), folder.display());
    (!found.is_empty()).then(|| warn("damage", what, "check the disk; recover what you need from these files, then delete them"))
}

/// The record of how far the log was complete, without which lost segments are not noticed.
fn mark(data: &Path) -> Option<Finding> {
    let folder = data.join("queues");
    let detail = lost_mark(&folder).ok().flatten()?;
    let what = format!("{}/MARK: {detail}: loss of the newest messages cannot be detected", folder.display());
    Some(fail("mark", what, "check the disk and restore a backup if messages are missing; the next start rewrites it"))
}

/// Whether the configuration is missing although there are queues.
fn configuration(data: &Path) -> Option<Finding> {
    let is_missing = fs::metadata(data.join("config.sqlite"))
        .map_or_else(|error| error.kind() == std::io::ErrorKind::NotFound, |found| found.len() == 0);
    let files = fs::read_dir(data.join("queues")).into_iter().flatten().flatten();
    let has_queues = files.into_iter().any(|file| {
        file.path().extension().is_some_and(|extension| extension == "log") && file.metadata().is_ok_and(|found| found.len() > 0)
    });
    (is_missing && has_queues).then(|| {
        let what = format!(
            "{} is missing or empty, and queues/ is not: flows, blueprints and components are lost",
            data.join("config.sqlite").display()
        );
        fail("configuration", what, "restore a backup of the whole data folder; without it Weir starts with an empty configuration")
    })
}

fn version(data: &Path) -> Finding {
    const CHECK: &str = "format";
    match read_version(data) {
        Ok(None) => ok(CHECK, "none recorded yet: Weir has not used it"),
        Ok(Some(note)) if note.data_format > FORMAT => fail(
            CHECK,
            format!(
                "it has format {}, written by Weir {}; this is Weir {}, which supports formats up to {FORMAT}",
                note.data_format,
                note.weir,
                env!("CARGO_PKG_VERSION")
            ),
            format!("use Weir {} or a newer one, or start on another folder: weir up --data DIR", note.weir),
        ),
        Ok(Some(note)) => ok(CHECK, format!("{}, last used by Weir {}", note.data_format, note.weir)),
        Err(error) => fail(CHECK, format!("version.json is empty or damaged: {error}"), fix_hint(data)),
    }
}

fn lock(data: &Path) -> (State, Finding) {
    const CHECK: &str = "lock";
    let file = match File::options().read(true).write(true).open(data.join("LOCK")) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (State::Free, ok(CHECK, "not in use")),
        Err(error) => {
            return (State::Free, fail(CHECK, format!("LOCK cannot be opened: {error}"), "run this as Weir's user"));
        }
    };
    match file.try_lock() {
        Ok(()) => match read_note(data) {
            Ok(None) => (State::Free, ok(CHECK, "not in use")),
            // It does not block the next start.
            _ => (State::Free, ok(CHECK, "not in use; the last shutdown was not clean, the next start recovers from it")),
        },
        Err(TryLockError::WouldBlock) => {
            let holder = Holder::read_from(&file);
            let by = holder.as_ref().map_or_else(|| "a process".to_owned(), Holder::to_string);
            (State::Used(holder), ok(CHECK, format!("held by {by}")))
        }
        Err(TryLockError::Error(error)) => {
            (State::Free, fail(CHECK, format!("it cannot be locked: {error}"), "put the data folder on a local disk"))
        }
    }
}

/// Checks that the clock is plausible, and not behind the times of files.
pub(super) fn check_clock(data: &Path) -> Finding {
    let newest = ["config.sqlite", "config.sqlite-wal", "queues", "version.json"]
        .iter()
        .filter_map(|name| fs::metadata(data.join(name)).and_then(|found| found.modified()).ok())
        .max();
    check_clock_skew(SystemTime::now(), newest)
}

fn check_clock_skew(now: SystemTime, newest: Option<SystemTime>) -> Finding {
    const CHECK: &str = "clock";
    let next = "set the clock, and keep it synchronised (NTP)";
    if now < SystemTime::UNIX_EPOCH + WRITTEN {
        return fail(CHECK, "it is earlier than the build of this version of Weir", next);
    }
    match newest.and_then(|newest| newest.duration_since(now).ok()) {
        Some(behind) if behind > CLOCK_SLACK => {
            let what =
                format!("it is {} behind the newest time recorded in the data folder", crate::output::age(behind.as_millis() as u64));
            warn(CHECK, what, next)
        }
        _ => ok(CHECK, "OK"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Grade;
    use super::*;

    #[test]
    fn a_clock_is_checked_against_impossible_times() {
        let now = SystemTime::UNIX_EPOCH + WRITTEN + Duration::from_secs(1_000);
        assert_eq!(check_clock_skew(SystemTime::UNIX_EPOCH, None).grade, Grade::Fail);
        assert_eq!(check_clock_skew(now, None).grade, Grade::Ok);
        assert_eq!(check_clock_skew(now, Some(now + Duration::from_secs(59))).grade, Grade::Ok);
        assert_eq!(check_clock_skew(now, Some(now + Duration::from_secs(3_600))).grade, Grade::Warn);
    }
}
