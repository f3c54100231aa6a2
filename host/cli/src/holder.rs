//! The process that uses a data folder, as recorded in the file `LOCK`, on which it holds a lock.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

/// Maximum length of a machine's name, in characters: the limit of Linux.
const MAX_NAME_LENGTH: usize = 64;
/// Larger than any record of a holder.
const READ_BYTES: u64 = 4 << 10;

/// The process that uses a data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// The process id on its machine.
    pid: u32,
    /// What it runs as, for people: `weir run host`. `None` for older versions.
    #[serde(default)]
    command: Option<String>,
    /// Its machine.
    #[serde(default)]
    machine: Option<String>,
}

impl Holder {
    /// This process, running as this command.
    pub(crate) fn this(command: &str) -> Self {
        Holder { pid: std::process::id(), command: Some(command.to_owned()), machine: Some(machine()) }
    }

    /// What it runs as, if that is a role without a gateway.
    pub(crate) fn without_gateway(&self) -> Option<&str> {
        let command = self.command.as_deref()?;
        command.starts_with("weir run ").then_some(command).filter(|command| *command != "weir run gateway")
    }

    /// Replaces the content of the file.
    pub(crate) fn write_to(&self, file: &mut File) -> std::io::Result<()> {
        file.set_len(0)?;
        file.write_all(&serde_json::to_vec(self).map_err(std::io::Error::other)?)
    }

    /// Reads a file; `None` if its content is something else.
    pub(crate) fn read_from(file: &File) -> Option<Self> {
        let mut text = String::new();
        file.take(READ_BYTES).read_to_string(&mut text).ok()?;
        match text.trim().parse() {
            // The format of older versions.
            Ok(pid) => Some(Holder { pid, command: None, machine: None }),
            Err(_) => serde_json::from_str(&text).ok(),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)?;
        if let Some(machine) = self.machine.as_ref().filter(|machine| **machine != self::machine()) {
            write!(f, " on {machine}")?;
        }
        if let Some(command) = &self.command {
            write!(f, " ({command})")?;
        }
        Ok(())
    }
}

/// The name of this machine or container; `localhost` if unknown.
pub(crate) fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| !c.is_control()).take(MAX_NAME_LENGTH).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::{Seek, SeekFrom};

    use super::*;

    #[test]
    fn a_lock_holder_is_readable_also_from_an_older_version() {
        let mut file = tempfile::tempfile().unwrap();
        let read = |file: &mut File| {
            file.seek(SeekFrom::Start(0)).unwrap();
            Holder::read_from(file)
        };
        let holder = Holder::this("weir run host");
        holder.write_to(&mut file).unwrap();
        assert_eq!(read(&mut file), Some(holder.clone()));
        assert_eq!(holder.to_string(), format!("process {} (weir run host)", std::process::id()));
        let elsewhere = Holder { machine: Some("no-machine-of-tests".to_owned()), ..holder };
        assert_eq!(elsewhere.to_string(), format!("process {} on no-machine-of-tests (weir run host)", std::process::id()));
        for (text, expected) in [("17", Some("process 17")), ("", None), ("{", None), ("\u{0}", None)] {
            file.seek(SeekFrom::Start(0)).unwrap();
            file.set_len(0).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            assert_eq!(read(&mut file).map(|holder| holder.to_string()).as_deref(), expected);
        }
    }
}
