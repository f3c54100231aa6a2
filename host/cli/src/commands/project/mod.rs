//! The commands for authors. Most work in the folder of a project, without a running Weir.

pub(crate) mod build;
pub(crate) mod dev;
mod folder;
pub(crate) mod new;
pub(crate) mod replay;
pub(crate) mod test;

use weir_project::ProjectError;

use super::print_note;
use crate::problem::{Exit, Problem};

/// An error of a project as a problem. Prints the output of a failed tool first.
pub(crate) fn problem(error: ProjectError) -> Problem {
    if let Some(output) = error.output() {
        print_note(output);
    }
    let exit = match &error {
        ProjectError::NoManifest { .. } | ProjectError::File { .. } => Exit::NoInput,
        ProjectError::Manifest(_) | ProjectError::Fixture { .. } | ProjectError::Component { .. } => Exit::BadInput,
        ProjectError::BadName { .. } => Exit::Usage,
        _ => Exit::Failed,
    };
    let fix = error.fix();
    let source = std::error::Error::source(&error).map(weir_pubsub::chain);
    let problem = Problem::new(exit, error.to_string());
    let problem = match source {
        Some(source) => problem.because(anyhow::Error::msg(source)),
        None => problem,
    };
    match fix {
        Some(fix) => problem.next(fix),
        None => problem,
    }
}

/// Reports a step of a build.
pub(crate) fn print_step(line: &str) {
    print_note(&format!("  {line}"));
}
