//! Reads files given on the command line.

use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::problem::{Exit, Problem};

/// Reads a whole file, or standard input for `-`.
pub(crate) fn read_input(file: &Path) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let (read, name) = if file == Path::new("-") {
        (std::io::stdin().lock().read_to_end(&mut bytes).map(|_| ()), "standard input".to_owned())
    } else {
        (std::fs::read(file).map(|content| bytes = content), file.display().to_string())
    };
    read.map(|()| bytes).map_err(|error| {
        let next = match error.kind() {
            ErrorKind::IsADirectory => Some("it is a folder: give a file in it"),
            ErrorKind::PermissionDenied => Some("run this as a user with permission to read it"),
            ErrorKind::NotFound => Some("check the path; it is relative to the current directory"),
            _ => None,
        };
        let problem = Problem::new(Exit::NoInput, format!("{name} cannot be read")).because(error);
        if let Some(next) = next { problem.next(next) } else { problem }
    })
}
