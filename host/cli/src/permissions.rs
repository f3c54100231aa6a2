//! Permissions of other users of the machine on the data folder and the token file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::problem::{Exit, Problem};

/// What to do about a data folder that every user may write to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SharedFolder {
    /// Refuse to use it: others could replace messages and components, which Weir runs.
    #[default]
    Refuse,
    /// Use it, with a warning.
    Allow,
}

impl SharedFolder {
    /// The word used in the setting.
    pub(crate) fn word(self) -> &'static str {
        match self {
            SharedFolder::Refuse => "refuse",
            SharedFolder::Allow => "allow",
        }
    }
}

/// The other users with a permission on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OtherUsers {
    /// Only the owner.
    None,
    /// Those of its group.
    Group,
    /// All.
    All,
}

impl OtherUsers {
    fn of(mode: u32, right: u32) -> Self {
        match (mode & right, mode & (right << 3)) {
            (0, 0) => OtherUsers::None,
            (0, _) => OtherUsers::Group,
            _ => OtherUsers::All,
        }
    }

    /// Their name in messages.
    pub(crate) fn named(self) -> &'static str {
        match self {
            OtherUsers::None => "only its owner",
            OtherUsers::Group => "the users of its group",
            OtherUsers::All => "all users of this machine",
        }
    }
}

/// The permissions of a file, for example `0o755`; 0 if they cannot be read, which is reported when the file is used.
pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).map(|found| found.permissions().mode() & 0o777).unwrap_or_default()
}

/// The users besides the owner that may write to a folder with these permissions.
pub(crate) fn writers(mode: u32) -> OtherUsers {
    OtherUsers::of(mode, 0o002)
}

/// The users besides the owner that may read a file with these permissions.
pub(crate) fn readers(mode: u32) -> OtherUsers {
    OtherUsers::of(mode, 0o004)
}

/// Refuses a data folder that every user may write to, unless that is allowed.
pub(crate) fn check_folder(path: &Path, shared: SharedFolder) -> Result<(), Problem> {
    if writers(mode(path)) == OtherUsers::All && shared == SharedFolder::Refuse {
        return Err(Problem::new(Exit::NoFolder, in_folder(path)).next(format!(
            "chmod 700 {}, after checking its contents; or start with --shared-data-folder allow to use it anyway",
            path.display()
        )));
    }
    Ok(())
}

/// Warnings about excessive permissions of others, for each start.
pub(crate) fn warnings(folder: &Path, token_file: Option<&Path>, tls_key: Option<&Path>) -> Vec<String> {
    let of_folder = (writers(mode(folder)) != OtherUsers::None).then(|| format!("{}: chmod 700 {}", in_folder(folder), folder.display()));
    let of_token = token_file.and_then(|file| token_readable(file).map(|what| format!("{what}: chmod 600 {}", file.display())));
    let of_key = tls_key.and_then(|file| key_readable(file).map(|what| format!("{what}: chmod 640 {}", file.display())));
    of_folder.into_iter().chain(of_token).chain(of_key).collect()
}

/// The problem with the permissions of a data folder that others may write to.
pub(crate) fn in_folder(path: &Path) -> String {
    let mode = mode(path);
    format!(
        "the data folder {} can be written by {} (mode {mode:o}): they could replace components and messages",
        path.display(),
        writers(mode).named()
    )
}

/// The problem with the permissions of a token file, if others may read it.
pub(crate) fn token_readable(file: &Path) -> Option<String> {
    let mode = mode(file);
    let readers = readers(mode);
    (readers != OtherUsers::None).then(|| format!("the token file {} can be read by {} (mode {mode:o})", file.display(), readers.named()))
}

/// The problem with the permissions of the TLS key, if all users may read it; a group that may read keys is common.
pub(crate) fn key_readable(file: &Path) -> Option<String> {
    let mode = mode(file);
    (readers(mode) == OtherUsers::All)
        .then(|| format!("the TLS key {} can be read by {} (mode {mode:o})", file.display(), OtherUsers::All.named()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_and_world_permissions_are_distinguished() {
        for (mode, write, read) in [
            (0o700, OtherUsers::None, OtherUsers::None),
            (0o755, OtherUsers::None, OtherUsers::All),
            (0o750, OtherUsers::None, OtherUsers::Group),
            (0o770, OtherUsers::Group, OtherUsers::Group),
            (0o702, OtherUsers::All, OtherUsers::None),
            (0o777, OtherUsers::All, OtherUsers::All),
        ] {
            assert_eq!((writers(mode), readers(mode)), (write, read), "{mode:o}");
        }
    }
}
