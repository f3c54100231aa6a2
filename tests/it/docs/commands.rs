//! Commands of `weir` that documents name in backticks, with their options.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use weir_tests::weir::binary;

use super::read::{Step, spans, steps};
use super::reader::repository;

/// All documents for users.
fn documents() -> Vec<String> {
    let of = |folder: &'static str| {
        let files = fs::read_dir(repository().join(folder)).unwrap();
        files.map(move |entry| format!("{folder}/{}", entry.unwrap().file_name().display()))
    };
    let docs = of("docs").chain(of("docs/writing-a-processor"));
    let plugins = fs::read_dir(repository().join("plugins")).unwrap();
    let plugins = plugins.map(|entry| format!("plugins/{}/README.md", entry.unwrap().file_name().display()));
    let others = [
        "README.md",
        "SECURITY.md",
        "bench/README.md",
        "deploy/README.md",
        "sdk/js/README.md",
        "sdk/python/README.md",
        "sdk/rust/README.md",
    ]
    .map(str::to_owned);
    docs.filter(|name| name.ends_with(".md")).chain(plugins).chain(others).collect()
}

/// The help of a command of the command line; `None` if there is no such command.
struct Helps(BTreeMap<Vec<String>, Option<String>>);

impl Helps {
    fn of(&mut self, words: &[String]) -> Option<&str> {
        let ask = || {
            let output = Command::new(binary()).args(words).arg("--help").env("NO_COLOR", "1").output().unwrap();
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        };
        self.0.entry(words.to_vec()).or_insert_with(ask).as_deref()
    }

    /// What is wrong with a command as written in a document.
    fn fault(&mut self, command: &str) -> Option<String> {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        let mut known: Vec<String> = Vec::new();
        for word in words.iter().filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')).take(2) {
            let help = self.of(&known).unwrap_or_default();
            if !lists(help, word) {
                break;
            }
            known.push((*word).to_owned());
        }
        let first_is_a_command =
            words.first().is_none_or(|word| word.starts_with('-') || *word == "help" || known.first().is_some_and(|k| k == word));
        if !first_is_a_command {
            return Some(format!("there is no `weir {}`", words[0]));
        }
        let help = self.of(&known).unwrap_or_default().to_owned();
        let options = words.iter().filter(|word| word.starts_with("--") && word.len() > 2);
        let option = |word: &&&str| word.trim_end_matches(['.', ',', ';', ':']).split('=').next().unwrap_or_default().to_owned();
        options
            .map(|word| option(&word))
            .find(|option| !names(&help, option))
            .map(|option| format!("`weir {}` has no {option}", known.join(" ")))
    }
}

/// Whether a help text lists a command with this name or alias.
fn lists(help: &str, command: &str) -> bool {
    help.lines().any(|line| line.starts_with("  ") && line.split_whitespace().next() == Some(command))
        || help.lines().any(|line| line.contains("[aliases: ") && line.contains(command))
}

fn names(help: &str, option: &str) -> bool {
    help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).any(|word| word == option)
}

#[test]
fn documented_commands_and_options_exist() {
    let mut helps = Helps(BTreeMap::new());
    let mut faults = Vec::new();
    let mut count = 0;
    for document in documents() {
        let text = fs::read_to_string(repository().join(&document)).unwrap();
        for command in spans(&text).into_iter().filter(|span| span.starts_with("weir ")) {
            count += 1;
            faults.extend(helps.fault(&command).map(|fault| format!("{document}: `{command}`: {fault}")));
        }
    }
    assert!(count > 30, "only {count} commands were found");
    assert!(faults.is_empty(), "documents name what is not there:\n  {}", faults.join("\n  "));
}

/// Show what `weir build` and the tests of an SDK run themselves, with placeholder names: `tests/it/project/` runs them.
const SHOWN: [&str; 2] = ["sdk/js/README.md", "sdk/python/README.md"];

#[test]
fn every_document_with_commands_is_run() {
    let tests = fs::read_to_string(repository().join("tests/it/docs.rs")).unwrap();
    let runs = |document: &String| {
        let text = fs::read_to_string(repository().join(document)).unwrap();
        steps(&text).iter().any(|step| matches!(step, Step::Run { command, .. } if !command.starts_with("./just ")))
    };
    let ours = documents().into_iter().filter(|document| !SHOWN.contains(&document.as_str()));
    let missing: Vec<String> = ours.filter(runs).filter(|document| !tests.contains(document.as_str())).collect();
    assert!(missing.is_empty(), "the commands of these documents are run by no test of tests/it/docs.rs: {}", missing.join(", "));
}
