//! What other users of the machine may do with the data folder and the token file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::problem::{Exit, Problem};

/// What to do about a data folder that every user may write to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SharedFolder {
    /// It is not used: others could exchange components, which Weir runs, and messages.
    #[default]
    Refuse,
    /// It is used all the same, with a warning.
    Allow,
}

impl SharedFolder {
    /// As the setting has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            SharedFolder::Refuse => "refuse",
            SharedFolder::Allow => "allow",
        }
    }
}

/// Which other users have a right on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OtherUsers {
    /// None but the owner.
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

    /// As texts name them.
    pub(crate) fn named(self) -> &'static str {
        match self {
            OtherUsers::None => "only its owner",
            OtherUsers::Group => "the users of its group",
            OtherUsers::All => "all users of this machine",
        }
    }
}

/// The rights on a file, `0o755` for example; none where it cannot be looked at, which is told where it is used.
pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).map(|found| found.permissions().mode() & 0o777).unwrap_or_default()
}

/// Who besides its owner may write to a folder of these rights.
pub(crate) fn writers(mode: u32) -> OtherUsers {
    OtherUsers::of(mode, 0o002)
}

/// Who besides its owner may read a file of these rights.
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

/// What others may do that they probably should not: to be told at each start.
pub(crate) fn warnings(folder: &Path, token_file: Option<&Path>, tls_key: Option<&Path>) -> Vec<String> {
    let of_folder = (writers(mode(folder)) != OtherUsers::None).then(|| format!("{}: chmod 700 {}", in_folder(folder), folder.display()));
    let of_token = token_file.and_then(|file| token_readable(file).map(|what| format!("{what}: chmod 600 {}", file.display())));
    let of_key = tls_key.and_then(|file| key_readable(file).map(|what| format!("{what}: chmod 640 {}", file.display())));
    of_folder.into_iter().chain(of_token).chain(of_key).collect()
}

/// What is wrong with the rights on a data folder that others may write to.
pub(crate) fn in_folder(path: &Path) -> String {
    let mode = mode(path);
    format!(
        "the data folder {} can be written by {} (mode {mode:o}): they could replace components and messages",
        path.display(),
        writers(mode).named()
    )
}

/// What is wrong with the rights on a token file, if others may read it.
pub(crate) fn token_readable(file: &Path) -> Option<String> {
    let mode = mode(file);
    let readers = readers(mode);
    (readers != OtherUsers::None).then(|| format!("the token file {} can be read by {} (mode {mode:o})", file.display(), readers.named()))
}

/// What is wrong with the rights on the key of TLS, if all users may read it; a group that reads keys is common.
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
