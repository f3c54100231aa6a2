//! Holding a flow service at a named step of an operation, as `host/flow/src/steps.rs` has them in debug builds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::wait::{DEADLINE, eventually};

/// The steps of one process.
#[derive(Debug)]
pub struct Steps {
    folder: PathBuf,
}

impl Steps {
    /// The steps of a process that is not started yet, with a folder for them in its data folder. It is held at none.
    ///
    /// # Panics
    /// When the folder cannot be made.
    #[must_use]
    pub fn of(command: &mut Command, data: &Path) -> Self {
        let folder = data.join("steps");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        command.env("WEIR_TEST_STEPS", &folder);
        Steps { folder }
    }

    /// From now on each operation of the process is held at this step.
    ///
    /// # Panics
    /// When that cannot be noted in the folder.
    pub fn hold(&self, step: &str) {
        let _ = fs::remove_file(self.file(step, "reached"));
        fs::write(self.file(step, "hold"), "").unwrap();
    }

    /// Waits until an operation is held at this step.
    ///
    /// # Panics
    /// When none is by the deadline.
    pub async fn reached(&self, step: &str) {
        let path = self.file(step, "reached");
        eventually(DEADLINE, format!("the step {step}"), || async { path.exists().then_some(()) }).await;
    }

    /// Lets what is held go on.
    ///
    /// # Panics
    /// When nothing was to be held at this step.
    pub fn go_on(&self, step: &str) {
        fs::remove_file(self.file(step, "hold")).unwrap();
    }

    fn file(&self, step: &str, ending: &str) -> PathBuf {
        self.folder.join(step).with_extension(ending)
    }
}
