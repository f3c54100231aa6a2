//! `weir doctor`: checks for common problems, each with a fix. It works with and without a running Weir, and changes nothing, unless it is requested
//! to remove orphans.

mod access;
mod broker;
mod components;
mod disk;
mod finding;
mod folder;
mod hosts;
mod locks;
mod orphans;
mod queues;
mod readers;
mod running;
mod unowned;

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};

use self::finding::{Finding, Grade, fail, ok, warn};
use crate::args;
use crate::output::{self, Format};
use crate::settings::{self, Loaded};

/// Runs all checks, and fails if one fails.
pub(crate) async fn run(data: &Path, reach: &args::Reach, format: Format, command: &args::Doctor) -> Result<ExitCode> {
    let mut findings = Vec::new();
    let (loaded, of_settings) = check_settings(data, &command.flags);
    let (state, of_folder) = folder::check(data, loaded.settings.shared_folder);
    findings.extend(of_folder);
    findings.push(disk::check(data, &loaded.settings));
    findings.push(of_settings);
    findings.extend(access::check(&loaded.settings));
    findings.push(folder::check_clock(data));
    findings.extend(broker::check(&loaded.settings).await);
    findings.extend(running::check(data, reach, &state, &loaded.settings, command).await);
    match format {
        Format::Json => output::json(&to_json(&findings))?,
        Format::Text => output::line(text(&findings, output::width()).trim_end())?,
    }
    Ok(if findings.iter().any(|finding| finding.grade == Grade::Fail) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The settings, or the defaults if they are invalid.
fn check_settings(data: &Path, flags: &args::SettingFlags) -> (Loaded, Finding) {
    match settings::load(data, flags) {
        Ok(loaded) => {
            let set_count = settings::all().filter(|definition| loaded.place(definition).is_some()).count();
            let from = loaded.file.as_ref().map_or_else(|| "no settings file".to_owned(), |file| file.display().to_string());
            let what = format!("{set_count} of {} set; {from}", settings::all().count());
            let finding = match loaded.notes.as_slice() {
                [] => ok("settings", what),
                notes => warn("settings", notes.join("; "), "correct the variable's name, or remove it"),
            };
            (loaded, finding)
        }
        Err(problem) => {
            let causes = weir_pubsub::chain(&problem);
            let details: String = problem.details().map(|detail| format!("\n- {detail}")).collect();
            let next = problem.next_step().unwrap_or("weir settings show lists all settings");
            (Loaded::default(), fail("settings", format!("{causes}{details}"), next))
        }
    }
}

fn text(findings: &[Finding], width: usize) -> String {
    let label = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { check, grade, what, next } in findings {
        let indent = " ".repeat(label + 8);
        let mut lines: Vec<String> = what.lines().map(|line| output::wrapped(line, &indent, width)).collect();
        lines.extend(next.as_ref().map(|next| output::wrapped(&format!("next: {next}"), &indent, width)));
        let lines = lines.join("\n");
        let _ = writeln!(text, "{}  {check:<label$}  {}", grade.shown(), lines.trim_start());
    }
    let count = |grade| findings.iter().filter(|finding| finding.grade == grade).count();
    let skipped = match count(Grade::Skip) {
        0 => String::new(),
        count => format!(", {count} not checked"),
    };
    let summary = match (count(Grade::Fail), count(Grade::Warn)) {
        (0, 0) => format!("no problems found{skipped}"),
        (failed, warned) => format!("{failed} failed, {warned} with warnings{skipped}"),
    };
    let _ = writeln!(text, "\n{summary}");
    text
}

fn to_json(findings: &[Finding]) -> Value {
    let one = |Finding { check, grade, what, next }: &Finding| json!({"check": check, "grade": grade.word(), "what": what, "next": next});
    let failed_count = findings.iter().filter(|finding| finding.grade == Grade::Fail).count();
    json!({"failed-count": failed_count, "checks": findings.iter().map(one).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_aligned_and_fit() {
        let findings = [ok("disk", "half is free"), fail("data folder", "it is of a newer version\n- and more", "take that version")];
        let text = anstream::adapter::strip_str(&text(&findings, 40)).to_string();
        let expected = "\
ok    disk         half is free
fail  data folder  it is of a newer
                   version
                   - and more
                   next: take that
                   version

1 failed, 0 with warnings
";
        assert_eq!(text, expected);
    }
}
