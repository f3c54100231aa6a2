//! From a project to a component: the language's build, then the descriptor, then the check that a deployment makes.

use std::fs;
use std::path::{Path, PathBuf};

use weir_config::records::{ComponentLimits, GivenLimits, GrantableLimits};
use weir_runtime::{Checker, ComponentFault, HostSettings, Inspected};

use crate::command_runner::CommandRunner;
use crate::error::{MANIFEST_NAME, ProjectError};
use crate::languages::{BuildContext, Purpose};
use crate::manifest::{CheckedManifest, Manifest};
use crate::stamp::stamp;

/// A component that was built.
#[derive(Debug)]
pub struct Built {
    /// Its file.
    pub file: PathBuf,
    /// Its world, topics and descriptor.
    pub inspected: Inspected,
}

impl CheckedManifest {
    /// Reads and checks the manifest of a folder.
    ///
    /// # Errors
    /// `NoManifest`, `Manifest`, `File`.
    pub fn read(folder: &Path) -> Result<Self, ProjectError> {
        let file = folder.join(MANIFEST_NAME);
        match fs::read_to_string(&file) {
            Ok(text) => Ok(Manifest::parse(&file, &text)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(ProjectError::NoManifest { folder: folder.to_owned() }),
            Err(error) => Err(ProjectError::file(file, "read")(error)),
        }
    }

    /// The default file for the component of a project.
    pub fn component_file(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.wasm", self.manifest.name))
    }
}

/// Builds the component of a project into a file. Blocks until the language's tools have finished.
///
/// # Errors
/// [`ProjectError`], which names what is missing or wrong. The file is then unchanged.
pub fn build(
    folder: &Path,
    checked: &CheckedManifest,
    output: &Path,
    purpose: Purpose,
    steps: &CommandRunner<'_>,
) -> Result<Built, ProjectError> {
    let folder = &folder.canonicalize().map_err(ProjectError::file(folder, "read"))?;
    let weir = folder.join(".weir");
    fs::create_dir_all(&weir).map_err(ProjectError::file(&weir, "made"))?;
    let descriptor = serde_json::to_string(&checked.descriptor).expect("a descriptor is JSON");
    let context = BuildContext { folder, source: checked.manifest.source(), descriptor: &descriptor, weir, purpose, steps };
    let made = (checked.manifest.language().build)(&context)?;
    let bytes = fs::read(&made).map_err(ProjectError::file(&made, "read"))?;
    let stamped = stamp(&bytes, &descriptor);
    let inspected = check(&stamped).map_err(|fault| {
        let fix = matches!(fault, ComponentFault::NoHandler { .. }).then(|| checked.manifest.language().handler.to_owned());
        ProjectError::Component { file: output.to_owned(), problem: weir_pubsub::chain(&fault), fix }
    })?;
    write(output, &stamped)?;
    Ok(Built { file: output.to_owned(), inspected })
}

/// The check that a deployment makes, with the settings' defaults. A component that can only be deployed with a flag passes.
fn check(component: &[u8]) -> Result<Inspected, ComponentFault> {
    let unchecked = |error: weir_runtime::RuntimeError| ComponentFault::Engine { problem: weir_pubsub::chain(&error) };
    let checker = Checker::new(HostSettings::instances_for_this_machine()).map_err(unchecked)?;
    checker.check_under(component, |inspected| {
        let most = GrantableLimits { time_ms: u64::MAX, ..GrantableLimits::default() };
        let granted = inspected.descriptor.limits.granted(&GivenLimits::default(), &most);
        granted.map(|granted| granted.over(&ComponentLimits::default())).map_err(|error| error.to_string())
    })
}

/// Writes a temporary file and renames it, so that a deployment never reads a partial file.
fn write(file: &Path, bytes: &[u8]) -> Result<(), ProjectError> {
    let part = file.with_extension("wasm.part");
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, file));
    written.map_err(|error| {
        let _ = fs::remove_file(&part);
        ProjectError::file(file, "written")(error)
    })
}
