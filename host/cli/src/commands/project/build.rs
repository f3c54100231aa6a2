//! `weir build`: builds the component of a project.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;
use tokio::time::Instant;
use weir_config::names::deployment_key;
use weir_project::{Built, CheckedManifest, CommandRunner, Purpose};

use super::{print_step, problem};
use crate::args::Build;
use crate::output::{self, Format};
use crate::problem::Problem;

/// Runs the command.
pub(crate) fn run(format: Format, command: &Build) -> Result<()> {
    let checked = CheckedManifest::read(&command.folder).map_err(problem)?;
    let output = command.output.clone().unwrap_or_else(|| checked.component_file(&command.folder));
    let began = Instant::now();
    let built = build(&command.folder, &checked, &output)?;
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match format {
        Format::Json => output::json(&json!({
            "file": built.file,
            "component": component(&checked),
            "digest": built.inspected.digest,
            "size-bytes": built.inspected.size_bytes,
            "elapsed-ms": ms,
        }))?,
        Format::Text => print(&checked, &built, ms)?,
    }
    Ok(())
}

/// Builds, reporting each step on standard error.
pub(crate) fn build(folder: &Path, checked: &CheckedManifest, output: &Path) -> Result<Built, Problem> {
    weir_project::build(folder, checked, output, Purpose::Ship, &CommandRunner { print_note: &print_step }).map_err(problem)
}

/// The project's component, built if it is missing or older than its sources.
pub(crate) fn built(folder: &Path, checked: &CheckedManifest) -> Result<PathBuf, Problem> {
    let file = checked.component_file(folder);
    let modified = file.metadata().and_then(|meta| meta.modified()).ok();
    let is_fresh = modified.zip(weir_project::newest_change(folder)).is_some_and(|(built, changed)| changed <= built);
    if !is_fresh {
        build(folder, checked, &file)?;
    }
    Ok(file)
}

fn component(checked: &CheckedManifest) -> String {
    deployment_key(&checked.manifest.name, &checked.manifest.version)
}

fn print(checked: &CheckedManifest, built: &Built, ms: u64) -> std::io::Result<()> {
    let Built { file, inspected } = built;
    let size = output::size(inspected.size_bytes);
    output::line(&format!("{} built in {} ms: {size}, {}", component(checked), output::number(ms), inspected.digest))?;
    output::line(&format!("  deploy it   weir deploy {}", file.display()))?;
    output::line(&format!("  inspect it  weir inspect {}", file.display()))
}
