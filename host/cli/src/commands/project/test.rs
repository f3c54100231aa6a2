//! `weir test`: runs the fixtures of a project against its component.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};
use weir_project::{CheckedManifest, Difference, Harness, Report, Verdict, accept, fixture_files, run_fixtures};

use super::build::built;
use super::problem;
use crate::args::Test;
use crate::input::read_input;
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};

/// The cache of a project's compiled code.
const CODE_FOLDER: &str = ".weir/code";

/// Runs the command. Exit code 1 if a fixture differs.
pub(crate) fn run(format: Format, command: &Test) -> Result<ExitCode> {
    let folder = &command.folder;
    let component = match &command.component {
        Some(file) => file.clone(),
        None => built(folder, &CheckedManifest::read(folder).map_err(problem)?)?,
    };
    let files = chosen(folder, &command.fixtures)?;
    let harness = load(folder, &component)?;
    let reports = run_fixtures(&harness, &files);
    let updated = if command.update { update(&reports)? } else { Vec::new() };
    let is_good = |report: &Report| matches!(report.verdict, Verdict::Same) || updated.contains(&report.file);
    match format {
        Format::Json => output::json(&reports.iter().map(|report| as_json(report, &updated)).collect::<Value>())?,
        Format::Text => print(folder, &reports, &updated)?,
    }
    Ok(if reports.iter().all(is_good) { ExitCode::SUCCESS } else { ExitCode::from(Exit::Failed as u8) })
}

/// Loads a component for testing in a project.
pub(crate) fn load(folder: &Path, component: &Path) -> Result<Harness, Problem> {
    let bytes = read_input(component)?;
    Harness::load(component, &bytes, &folder.join(CODE_FOLDER)).map_err(problem)
}

/// The fixtures whose names contain one of these, or all.
fn chosen(folder: &Path, names: &[String]) -> Result<Vec<PathBuf>, Problem> {
    let all = fixture_files(folder).map_err(problem)?;
    if all.is_empty() {
        let what = format!("{} has no fixtures", folder.join("tests").display());
        return Err(Problem::new(Exit::NoInput, what).next("write one: tests/NAME.json with messages; weir test --update adds the results"));
    }
    let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_chosen = |file: &PathBuf| names.is_empty() || names.iter().any(|part| name(file).contains(part));
    let chosen: Vec<PathBuf> = all.iter().filter(|file| is_chosen(file)).cloned().collect();
    if chosen.is_empty() {
        let known = all.iter().map(|file| name(file)).collect::<Vec<_>>().join(", ");
        return Err(
            Problem::new(Exit::NoInput, format!("no fixture's name contains {}", names.join(" or "))).next(format!("available: {known}"))
        );
    }
    Ok(chosen)
}

/// Writes the observed results into fixtures that differ; returns the written files.
fn update(reports: &[Report]) -> Result<Vec<PathBuf>, Problem> {
    let mut updated = Vec::new();
    for report in reports {
        if accept(report).map_err(problem)? {
            updated.push(report.file.clone());
        }
    }
    Ok(updated)
}

fn shown<'f>(folder: &Path, file: &'f Path) -> std::path::Display<'f> {
    file.strip_prefix(folder).unwrap_or(file).display()
}

pub(crate) fn print(folder: &Path, reports: &[Report], updated: &[PathBuf]) -> std::io::Result<()> {
    for Report { file, verdict, elapsed_ms, .. } in reports {
        let name = shown(folder, file);
        match verdict {
            Verdict::Same => output::line(&format!("same      {name}  {elapsed_ms} ms"))?,
            Verdict::Different(_) if updated.contains(file) => output::line(&format!("updated   {name}"))?,
            Verdict::Different(differences) => {
                output::line(&format!("{}  {name}", output::bold("differs ")))?;
                print_differences(differences)?;
            }
            Verdict::Broken(problem) => output::line(&format!("{}  {name}\n  {problem}", output::bold("broken  ")))?,
        }
    }
    let bad = reports.iter().filter(|report| !matches!(report.verdict, Verdict::Same) && !updated.contains(&report.file)).count();
    let all = fixtures_count(reports.len());
    match bad {
        0 => output::line(&format!("{all} passed")),
        bad => output::line(&format!("{bad} of {all} failed; if the actual results are correct: weir test --update")),
    }
}

/// The number of fixtures, for people.
pub(crate) fn fixtures_count(count: usize) -> String {
    format!("{count} fixture{}", if count == 1 { "" } else { "s" })
}

fn print_differences(differences: &[Difference]) -> std::io::Result<()> {
    let mut last = 0;
    for Difference { message, place, expected, found } in differences {
        if *message != last {
            output::line(&format!("  message {message}"))?;
            last = *message;
        }
        output::line(&format!("    {place}"))?;
        output::line(&output::block("      expected ", expected))?;
        output::line(&output::block("      found    ", found))?;
    }
    Ok(())
}

fn as_json(report: &Report, updated: &[PathBuf]) -> Value {
    let difference = |it: &Difference| json!({"message": it.message, "place": it.place, "expected": it.expected, "found": it.found});
    let (verdict, details) = match &report.verdict {
        Verdict::Same => ("same", Value::Null),
        Verdict::Different(_) if updated.contains(&report.file) => ("updated", Value::Null),
        Verdict::Different(differences) => ("differs", differences.iter().map(difference).collect()),
        Verdict::Broken(problem) => ("broken", json!(problem)),
    };
    json!({"fixture": report.file, "verdict": verdict, "details": details, "elapsed-ms": report.elapsed_ms})
}
