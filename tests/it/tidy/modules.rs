//! Dependencies between the modules of the embedded broker, which other brokers follow as an example, and between the files of each broker.

use std::collections::{BTreeMap, BTreeSet};

use super::circles::cycle;
use super::paths::{Path, path, uses};
use super::{none, rust_files};

/// The crate that contains the broker.
const SOURCES: &str = "host/pubsub/src/";

/// The modules of the broker from the bottom to the top: each may use those of the rows before its own. `mod.rs` and `tests` may use all, and
/// nothing uses these.
const ROWS: &[&[&str]] =
    &[&["definition", "numbers", "options", "log_position", "refusal"], &["damage"], &["log", "state"], &["commit"], &["handles"]];

/// The module of a file of the crate.
fn module_of(file: &str) -> Path {
    let name = file.trim_start_matches(SOURCES).trim_end_matches(".rs").trim_end_matches("/mod");
    if name == "lib" { Path::new() } else { path(&name.split('/').collect::<Vec<_>>()) }
}

/// What may use the broker: its settings, the table of all brokers, the tests of connecting, and what remains of its files when no process
/// uses them.
const ABOVE: &[&str] = &["broker_settings", "broker_kind", "connect", "disk"];

/// Uses of the broker in a file of the crate that is not below it.
fn wrong_arrows(file: &str, text: &str) -> Vec<String> {
    let module = module_of(file);
    if module.first().is_some_and(|first| ABOVE.contains(&first.as_str())) {
        return Vec::new();
    }
    let own = match module.first().is_some_and(|first| first == "embedded") {
        true if module.len() == 1 || module[1] == "tests" => return Vec::new(),
        true => module[1].as_str(),
        false => "",
    };
    let row = ROWS.iter().position(|row| row.contains(&own)).unwrap_or(0);
    let is_wrong = |used: &&Path| match used.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["embedded", target, ..] => target != own && !ROWS[..row].iter().any(|row| row.contains(&target)),
        // Everything may be reached through these.
        ["embedded"] => true,
        [] | ["*"] => !own.is_empty(),
        _ => false,
    };
    uses(&module, text, &[])
        .iter()
        .map(|used| &used.path)
        .filter(is_wrong)
        .map(|used| format!("{file} uses crate::{}", used.join("::")))
        .collect()
}

#[test]
fn dependencies_between_modules_of_the_embedded_broker_have_one_direction() {
    let mut findings = Vec::new();
    for (file, text) in rust_files().filter(|(file, _)| file.starts_with(SOURCES)) {
        findings.extend(wrong_arrows(&file, &text));
        let module = module_of(&file);
        let listed = |name: &String| name == "tests" || ROWS.iter().any(|row| row.contains(&name.as_str()));
        if module.first().is_some_and(|first| first == "embedded") && !module.get(1).is_none_or(listed) {
            findings.push(format!("{file}: is in no row of the table"));
        }
    }
    none(
        findings,
        "an arrow that host/pubsub/src/embedded/mod.rs does not draw: move the code to where it may be, or change the drawing and the table with a reason",
    );
}

/// Which files of a broker use which, by module. A name that a file re-exports counts as a use of that file.
fn edges(folder: &str) -> BTreeMap<Path, BTreeSet<Path>> {
    let broker = |file: &String| file.starts_with(&format!("{SOURCES}{folder}/"));
    let files: BTreeMap<Path, String> =
        rust_files().filter(|(file, _)| broker(file)).map(|(file, text)| (module_of(&file), text)).collect();
    let file_of = |used: &Path| (1..=used.len()).rev().map(|length| used[..length].to_vec()).find(|prefix| files.contains_key(prefix));
    let edges_of = |(module, text): (&Path, &String)| {
        let used = uses(module, text, &[]).iter().filter_map(|used| file_of(&used.path)).filter(|used| used != module).collect();
        (module.clone(), used)
    };
    files.iter().map(edges_of).collect()
}

#[test]
fn files_of_a_broker_have_no_cyclic_uses() {
    let mut findings = Vec::new();
    for (folder, least_count) in [("embedded", 40), ("rabbitmq", 20), ("pulsar", 30), ("network", 5)] {
        let edges = edges(folder);
        assert!(edges.len() > least_count, "the broker in {folder} has moved: change SOURCES");
        let mut done = BTreeSet::new();
        findings.extend(edges.keys().find_map(|file| cycle(&edges, &mut vec![file.clone()], &mut done)));
    }
    none(findings, "a cycle between files: move what both need into a third one");
}

#[test]
fn brokers_do_not_use_each_other() {
    const BROKERS: [&str; 3] = ["embedded", "pulsar", "rabbitmq"];
    let mut findings = Vec::new();
    for (file, text) in rust_files().filter(|(file, _)| file.starts_with(SOURCES)) {
        let module = module_of(&file);
        let Some(own) = module.first().filter(|first| BROKERS.contains(&first.as_str())) else { continue };
        let others = uses(&module, &text, &[]);
        let others = others.iter().filter(|used| used.path.first().is_some_and(|first| first != own && BROKERS.contains(&first.as_str())));
        findings.extend(others.map(|used| format!("{file} uses crate::{}", used.path.join("::"))));
    }
    none(findings, "a broker that uses a file of another: move what both need beside them, or into `network`");
}

#[test]
fn uses_are_found_in_any_notation() {
    let found = |text: &str| wrong_arrows("host/pubsub/src/embedded/log/reader.rs", text).len();
    for wrong in [
        "use crate::embedded::state::Step;",
        "use crate::{embedded::{log::Log, commit::Shared}, error::Result};",
        "use super::super::state;",
        "use super::super::{log_position::LogPosition, handles::{self}};",
        "use super::super::*;",
        "use crate::embedded as broker;",
        "use crate::embedded::EmbeddedBroker;",
        "use crate as weir;",
        "fn f() { crate::embedded::commit::start(super::Log::open()) }",
        "pub(crate) use super::super::handles::QueueConsumer;",
        "mod tests { fn f() { super::super::super::state::f() } }",
        "fn f() { let c = '{'; } mod tests { use super::super::super::tests::f; }",
    ] {
        assert_eq!(found(wrong), 1, "{wrong}");
    }
    for right in [
        "use super::segment::{self, Header};\npub(super) fn f(&self) { self.f() }",
        "use crate::embedded::{numbers::Numbers, log_position::{LogPosition, Moved}};\nuse crate::{error::Result, topic::Queue};",
        "// use crate::embedded::state::Step;\nconst TEXT: &str = \"crate::embedded::state \\\" {\";",
        "mod tests { use super::*; use super::super::frame::Frame; }",
        "pub(in crate::embedded) struct A;",
    ] {
        assert_eq!(found(right), 0, "{right}");
    }
    assert_eq!(wrong_arrows("host/pubsub/src/lib.rs", "pub mod embedded;\npub use embedded::EmbeddedBroker;").len(), 1);
}
