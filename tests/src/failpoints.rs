//! Holding a flow service at a named step of an operation; debug builds have the steps of `host/flow/src/failpoint.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::wait::{DEADLINE, eventually};

/// The steps of one process.
#[derive(Debug)]
pub struct Failpoints {
    folder: PathBuf,
}

impl Failpoints {
    /// The steps of a process that is not started yet, with a folder for them in its data folder. No step is held.
    ///
    /// # Panics
    /// If the folder cannot be created.
    #[must_use]
    pub fn of(command: &mut Command, data: &Path) -> Self {
        let folder = data.join("steps");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        command.env("WEIR_TEST_STEPS", &folder);
        Failpoints { folder }
    }

    /// Holds each operation of the process at this step from now on.
    ///
    /// # Panics
    /// If that cannot be recorded in the folder.
    pub fn hold(&self, step: &str) {
        let _ = fs::remove_file(self.file(step, "reached"));
        fs::write(self.file(step, "hold"), "").unwrap();
    }

    /// Waits until an operation is held at this step.
    ///
    /// # Panics
    /// If none is by the deadline.
    pub async fn reached(&self, step: &str) {
        let path = self.file(step, "reached");
        eventually(DEADLINE, format!("the step {step}"), || async { path.exists().then_some(()) }).await;
    }

    /// Releases held operations.
    ///
    /// # Panics
    /// If this step was not held.
    pub fn go_on(&self, step: &str) {
        fs::remove_file(self.file(step, "hold")).unwrap();
    }

    fn file(&self, step: &str, ending: &str) -> PathBuf {
        self.folder.join(step).with_extension(ending)
    }
}
