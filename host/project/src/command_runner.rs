//! Runs the tools of a language, one after the other.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::ProjectError;

/// Maximum size of the output kept of a failed step, in bytes: its end.
const MAX_OUTPUT_BYTES: usize = 64 << 10;

/// The steps of a build: each is reported before it runs.
pub struct CommandRunner<'a> {
    /// Receives a line about each step.
    pub print_note: &'a (dyn Fn(&str) + Sync),
}

impl CommandRunner<'_> {
    /// Runs a command to its end, and returns what it printed on standard output. Nothing is read from standard input.
    ///
    /// # Errors
    /// `Step` with all that it printed.
    pub(crate) fn run(&self, shown: &str, command: &mut Command) -> Result<String, ProjectError> {
        self.ended(shown, command).map(|(printed, _)| printed)
    }

    /// Like `run`, for a tool that warns on standard error: reports what it printed there.
    pub(crate) fn run_warning(&self, shown: &str, command: &mut Command) -> Result<String, ProjectError> {
        let (printed, warnings) = self.ended(shown, command)?;
        warnings.lines().for_each(|line| (self.print_note)(line));
        Ok(printed)
    }

    fn ended(&self, shown: &str, command: &mut Command) -> Result<(String, String), ProjectError> {
        (self.print_note)(shown);
        let failed = |output: String| ProjectError::Step { step: shown.to_owned(), output, fix: None };
        let ended = command.stdin(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
        let printed = String::from_utf8_lossy(&ended.stdout).into_owned();
        let warnings = String::from_utf8_lossy(&ended.stderr).into_owned();
        if ended.status.success() {
            return Ok((printed, warnings));
        }
        // Tools report errors on standard error, so the end of a long output is kept.
        let output = format!("{printed}{warnings}");
        Err(failed(end_of(output.trim_end())))
    }
}

impl std::fmt::Debug for CommandRunner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steps").finish_non_exhaustive()
    }
}

fn end_of(output: &str) -> String {
    output[output.ceil_char_boundary(output.len().saturating_sub(MAX_OUTPUT_BYTES))..].to_owned()
}

/// A program in `PATH`, by its name.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    program_in(name, std::env::var_os("PATH"))
}

fn program_in(name: &str, path: Option<OsString>) -> Option<PathBuf> {
    let folders = path?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_reports_its_whole_output() {
        let told = std::sync::Mutex::new(Vec::new());
        let print_note = |line: &str| told.lock().unwrap().push(line.to_owned());
        let steps = CommandRunner { print_note: &print_note };
        assert_eq!(steps.run("say", Command::new("sh").args(["-c", "echo fine"])).unwrap(), "fine\n");
        let error = steps.run("break", Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.output()), ("break failed", Some("out\nerr")));
        assert_eq!(*told.lock().unwrap(), ["say", "break"]);
    }

    #[test]
    fn programs_are_found_in_the_path() {
        assert!(program("sh").is_some());
        assert_eq!(program_in("sh", Some("/nowhere".into())), None);
        assert_eq!(program("no-such-program"), None);
    }
}
