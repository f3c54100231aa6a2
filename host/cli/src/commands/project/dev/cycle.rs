//! One cycle: build, test, deploy, swap.

use std::path::{Path, PathBuf};

use tokio::time::Instant;
use weir_config::names::deployment_key;
use weir_project::{CheckedManifest, CommandRunner, Purpose, Verdict, fixture_files, run_fixtures};

use super::super::test::{fixtures_count, load, print};
use super::super::{print_step, problem};
use super::borrowed_processor::BorrowedProcessor;
use super::dev_weir::DevWeir;
use super::output_tap::OutputTap;
use super::status_line::{print_status, unwritten};
use crate::args::{Dev, Reach};
use crate::client::Client;
use crate::commands::Session;
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};

/// The cycles of one project.
pub(super) struct DevCycles<'a> {
    command: &'a Dev,
    /// The component's name, once known; it must not change.
    name: Option<String>,
    target: Target,
    /// Shows the output of the flow.
    listening: Option<OutputTap>,
}

/// Where the component runs.
enum Target {
    /// In a flow of a running Weir.
    Running(Box<BorrowedProcessor>),
    /// In a separate Weir, once something was built.
    Own(Option<Box<DevWeir>>),
}

impl<'a> DevCycles<'a> {
    pub(super) fn new(data: &Path, reach: &Reach, command: &'a Dev) -> Result<Self, Problem> {
        let target = match &command.flow {
            Some(flow) => {
                let session = Session { client: Client::find(reach, data)?, format: Format::Text };
                Target::Running(Box::new(BorrowedProcessor::new(session, flow.clone())))
            }
            None => Target::Own(None),
        };
        Ok(DevCycles { command, name: None, target, listening: None })
    }

    /// Whether no edit of the sources can fix this.
    pub(super) fn is_hopeless(&self, error: &Problem) -> bool {
        matches!(error.exit, Exit::Unavailable | Exit::NoPermission)
    }

    /// Builds and tests. Can be cancelled at any time.
    pub(super) async fn make(&mut self, changed: &[PathBuf], is_first: bool) -> Result<BuildResult, Problem> {
        let began = Instant::now();
        if !is_first {
            let name = changed.first().and_then(|path| path.strip_prefix(&self.command.folder).ok()).map(|path| path.display().to_string());
            print_status(&format!("\n{} changed", name.unwrap_or_else(|| "a source".to_owned())))?;
        }
        let folder = self.command.folder.clone();
        let made = tokio::task::spawn_blocking(move || make(&folder)).await;
        let (checked, file, digest) = made.map_err(|_| Problem::new(Exit::Failed, "the build was aborted"))??;
        if self.name.get_or_insert_with(|| checked.manifest.name.clone()) != &checked.manifest.name {
            let what = format!("the component's name is now {}", checked.manifest.name);
            return Err(Problem::new(Exit::Failed, what).next("restart weir dev: the flow runs the old name"));
        }
        let component = deployment_key(&checked.manifest.name, &development_version(&checked.manifest.version, &digest));
        Ok(BuildResult { began, checked, file, component })
    }

    /// Deploys and swaps. Must be completed, so that the resulting state is known.
    pub(super) async fn deploy(&mut self, made: &BuildResult) -> Result<(), Problem> {
        let BuildResult { began, checked, file, component } = made;
        match &mut self.target {
            Target::Running(borrowed) => {
                let processor = self.command.processor.clone().unwrap_or_else(|| checked.manifest.name.clone());
                borrowed.try_out(file, processor, component).await?;
                if self.listening.is_none() {
                    self.listening = Some(OutputTap::begin(borrowed.session(), borrowed.flow()).await?);
                }
            }
            Target::Own(Some(weir)) => weir.try_out(file, checked.manifest.name.clone(), component).await?,
            Target::Own(none) => {
                let weir = DevWeir::start(component, file, &checked.descriptor, &self.command.parameters).await?;
                self.listening = Some(OutputTap::begin(weir.session(), DevWeir::FLOW).await?);
                *none = Some(Box::new(weir));
            }
        }
        print_status(&format!("{component} runs, {} ms after the change", output::number(began.elapsed().as_millis() as u64)))
    }

    /// Restores the processor of a running Weir.
    pub(super) async fn end(self) -> Result<(), Problem> {
        match self.target {
            Target::Running(borrowed) => borrowed.swap_back().await,
            Target::Own(_) => Ok(()),
        }
    }
}

/// The result of building in a cycle.
pub(super) struct BuildResult {
    began: Instant,
    checked: CheckedManifest,
    file: PathBuf,
    component: String,
}

/// Builds and tests; returns the file and the short digest of its content.
fn make(folder: &Path) -> Result<(CheckedManifest, PathBuf, String), Problem> {
    let checked = CheckedManifest::read(folder).map_err(problem)?;
    let file = folder.join(".weir/dev.wasm");
    let steps = CommandRunner { print_note: &print_step };
    let built = weir_project::build(folder, &checked, &file, Purpose::Try, &steps).map_err(problem)?;
    let fixtures = fixture_files(folder).map_err(problem)?;
    if !fixtures.is_empty() {
        let reports = run_fixtures(&load(folder, &file)?, &fixtures);
        let failed = reports.iter().filter(|report| !matches!(report.verdict, Verdict::Same)).count();
        if failed > 0 {
            print(folder, &reports, &[]).map_err(unwritten)?;
            return Err(Problem::new(Exit::Failed, "fixtures failed: the component is not deployed"));
        }
        print_step(&format!("{} passed", fixtures_count(reports.len())));
    }
    Ok((checked, file, built.inspected.digest.short()))
}

/// Makes a development version from the manifest's version and the digest: deployed versions never change.
fn development_version(version: &str, digest: &str) -> String {
    let version = version.split_once('+').map_or(version, |(version, _)| version);
    let joint = if version.contains('-') { "." } else { "-" };
    format!("{version}{joint}dev.d{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_development_version_precedes_its_release() {
        assert_eq!(development_version("0.1.0", "00ff"), "0.1.0-dev.d00ff");
        assert_eq!(development_version("0.1.0-rc.1+b", "00ff"), "0.1.0-rc.1.dev.d00ff");
    }
}
