//! The rules of CONTRIBUTING.md that a program can check. Each failure states the fix.

mod circles;
mod mentions;
mod modules;
mod paths;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which of our crates each crate may use. Nothing uses tests and bench, which may use everything.
const DEPENDENCIES: &[(&str, &[&str])] = &[
    ("host/pubsub", &[]),
    ("host/config", &["weir-pubsub"]),
    ("host/flow", &["weir-config", "weir-pubsub"]),
    ("host/runtime", &["weir-config", "weir-pubsub"]),
    ("host/project", &["weir-runtime", "weir-config", "weir-pubsub"]),
    ("host/gateway", &["weir-flow", "weir-config", "weir-pubsub"]),
    ("host/cli", &["weir-project", "weir-gateway", "weir-runtime", "weir-flow", "weir-config", "weir-pubsub"]),
    ("sdk/rust", &[]),
    ("tests/guests", &["weir"]),
    ("bench/pulsar-peer", &[]),
];

/// Which crates may depend on a large dependency, so that it can be replaced or upgraded in one place.
const NAMED_ONLY_IN: &[(&str, &[&str])] = &[
    ("wasmtime", &["host/runtime", "bench"]),
    ("wasmtime-wasi", &["host/runtime", "bench"]),
    ("sqlx", &["host/config"]),
    ("axum", &["host/gateway", "bench"]),
    ("utoipa-axum", &["host/gateway"]),
    ("clap", &["host/cli", "bench"]),
];

/// The one file of its crate that names `sqlx`.
const SQLX_FILE: &str = "host/config/src/store.rs";

/// A file has one purpose.
const MAX_LINES: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every text file of the repository: its path from the root, and its text.
fn files() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            // Files created by builds and runs, and the history.
            let skipped = path.join("CACHEDIR.TAG").exists()
                || ["target", ".git", ".weir", "demo-results", "node_modules", "weir-data"].contains(&name);
            if path.is_dir() && !skipped {
                folders.push(path);
            } else if path.is_file()
                && !skipped
                && let Ok(text) = fs::read_to_string(&path)
            {
                found.insert(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), text);
            }
        }
    }
    found
}

fn rust_files() -> impl Iterator<Item = (String, String)> {
    files().into_iter().filter(|(path, _)| path.ends_with(".rs"))
}

/// Fails with all findings at once.
fn none(findings: Vec<String>, what_to_do: &str) {
    assert!(findings.is_empty(), "{what_to_do}:\n  {}", findings.join("\n  "));
}

/// The dependencies of every crate, including those for tests, by the crate's folder.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let manifests = files().into_iter().filter(|(path, text)| path.ends_with("/Cargo.toml") && text.contains("[package]"));
    let of = |text: &str| {
        let mut in_dependencies = false;
        let mut names = BTreeSet::new();
        for line in text.lines() {
            if line.starts_with('[') {
                in_dependencies = line.ends_with("dependencies]");
            } else if in_dependencies && let Some((name, _)) = line.split_once(['.', ' ', '=']) {
                names.insert(name.to_owned());
            }
        }
        names
    };
    manifests.map(|(path, text)| (path.trim_end_matches("/Cargo.toml").to_owned(), of(&text))).collect()
}

#[test]
fn dependencies_between_crates_have_one_direction() {
    let all = dependencies();
    let mut findings = Vec::new();
    for (folder, names) in &all {
        let allowed = match DEPENDENCIES.iter().find(|(of, _)| of == folder) {
            Some((_, allowed)) => *allowed,
            None if folder.starts_with("plugins/") => &["weir"],
            None if folder == "tests" || folder == "bench" => continue,
            None => {
                findings.push(format!("{folder}: is not in the table"));
                continue;
            }
        };
        let ours = names.iter().filter(|name| *name == "weir" || name.starts_with("weir-"));
        findings.extend(ours.filter(|name| !allowed.contains(&name.as_str())).map(|name| format!("{folder} uses {name}")));
    }
    assert!(DEPENDENCIES.iter().all(|(folder, _)| all.contains_key(*folder)), "the table names crates that are not there");
    none(findings, "an arrow that ARCHITECTURE.md does not have: move the code to where it may be, or change the table with a reason");
}

/// Prints by design: a child process of its own tests.
const PRINTS: &[&str] = &["host/pubsub/src/embedded/tests/crash.rs"];

#[test]
fn the_host_uses_no_printing_macros() {
    let mut findings = Vec::new();
    for (path, text) in rust_files().filter(|(path, _)| path.starts_with("host/") && !PRINTS.contains(&path.as_str())) {
        let prints = |line: &str| !line.trim_start().starts_with("//") && ["print!(", "println!("].iter().any(|name| line.contains(name));
        findings.extend(text.lines().zip(1..).filter(|(line, _)| prints(line)).map(|(line, at)| format!("{path}:{at}: {}", line.trim())));
    }
    none(findings, "these macros panic where the output cannot be written: log, or write with `output.rs` of the cli");
}

#[test]
fn large_dependencies_are_named_in_one_place() {
    let mut findings = Vec::new();
    for (folder, names) in dependencies() {
        for (dependency, places) in NAMED_ONLY_IN {
            if names.contains(*dependency) && !places.contains(&folder.as_str()) {
                findings.push(format!("{folder} depends on {dependency}"));
            }
        }
    }
    let names_sqlx = |(path, text): &(String, String)| path.starts_with("host/") && path != SQLX_FILE && text.contains("sqlx::");
    findings.extend(rust_files().filter(names_sqlx).map(|(path, _)| format!("{path} names sqlx")));
    none(findings, "a dependency outside of its place");
}

/// The one file of the flow service that writes configuration.
const WRITES_FILE: &str = "host/flow/src/writes.rs";

#[test]
fn the_flow_service_writes_configuration_in_one_place() {
    // `ConfigClient::apply` is the only operation that writes, and accepts only a batch.
    let applies = |line: &str| line.contains(".apply(") || line.contains("::apply");
    let mut findings = Vec::new();
    for (path, text) in rust_files().filter(|(path, _)| path.starts_with("host/flow/src/")) {
        let calls: Vec<String> =
            text.lines().filter(|line| applies(line) && !line.trim_start().starts_with("//")).map(str::to_owned).collect();
        assert!(path != WRITES_FILE || calls.len() == 1, "{path} must call the client's write operation once");
        findings.extend(calls.iter().filter(|_| path != WRITES_FILE).map(|line| format!("{path}: {}", line.trim())));
    }
    none(findings, "writes go through `Writes` in host/flow/src/writes.rs, so that a condition on all of them is one line there");
}

/// The one file that spells out names that several crates build or read.
const NAMES_FILE: &str = "host/config/src/names.rs";
/// Parts of such names.
const NAMES: &[&str] = &[
    "gateway--",
    "}--{",
    "\"--\"",
    "\"processor:",
    "weir-dead-letters",
    "\"weir-status",
    "\"weir-ask",
    "\"config-svc\"",
    "\"flow-svc\"",
    "\"flow-service\"",
    "\"flow-blueprint\"",
    "\"parameter-type\"",
    "\"leftover\"",
    "\"queue-made\"",
    "}@{",
];

/// The text of a source before its tests, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let text = text.split_once("\nmod tests {").map_or(text, |(code, _)| code);
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn shared_names_are_defined_in_one_file() {
    let mut findings = Vec::new();
    for (path, text) in rust_files().filter(|(path, _)| path.starts_with("host/") && !path.ends_with("/tests.rs")) {
        let spells = |line: &&str| NAMES.iter().any(|part| line.contains(part));
        let found: Vec<&str> = code(&text).filter(spells).collect();
        assert!(path != NAMES_FILE || found.len() > 5, "{path} must have the names that are looked for");
        findings.extend(found.iter().filter(|_| path != NAMES_FILE).map(|line| format!("{path}: {}", line.trim())));
    }
    none(findings, "build and read these by the functions of host/config/src/names.rs");
}

#[test]
fn no_file_is_too_long() {
    let long = rust_files().map(|(path, text)| (path, text.lines().count())).filter(|(_, lines)| *lines > MAX_LINES);
    none(long.map(|(path, lines)| format!("{path} has {lines} lines")).collect(), "split these by what they do; at most 500 lines");
}

#[test]
fn modules_are_named_after_their_content() {
    let vague = ["util", "utils", "common", "helper", "helpers", "types", "misc"];
    let parts = |path: &str| path.trim_end_matches(".rs").split('/').any(|part| vague.contains(&part));
    none(rust_files().map(|(path, _)| path).filter(|path| parts(path)).collect(), "name the thing that is inside");
}

#[test]
fn lib_files_contain_only_docs_modules_and_re_exports() {
    let mut findings = Vec::new();
    for (path, text) in rust_files().filter(|(path, _)| path.ends_with("src/lib.rs") && !path.starts_with("plugins/")) {
        let mut inside_use = false;
        for line in text.lines().map(str::trim) {
            let starts_use = line.starts_with("use ") || line.starts_with("pub use ");
            inside_use |= starts_use;
            let module = (line.starts_with("mod ") || line.starts_with("pub mod ")) && line.ends_with(';');
            let silent = line.is_empty() || line.starts_with("//") || line.starts_with("#[") || line.starts_with("#![");
            if !(inside_use || module || silent) {
                findings.push(format!("{path}: {line}"));
            }
            inside_use &= !line.ends_with(';');
        }
    }
    none(findings, "move these into a file that is named after them");
}

#[test]
fn every_promise_of_a_broker_is_listed() {
    let files = files();
    let list = &files["tests/src/conformance/mod.rs"];
    let mut findings = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with("tests/src/conformance/")) {
        let promises = text.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split_once('(')).map(|(name, _)| name);
        let unlisted = |name: &&str| !list.contains(&format!(" {name},\n"));
        findings.extend(promises.filter(unlisted).map(|name| format!("{path}: {name}")));
    }
    none(findings, "a promise that no broker is tried on: add it to the list in tests/src/conformance/mod.rs");
}

/// The promises about inspecting queues.
const INSPECTING: &[&str] = &["figures", "browsing", "redriving"];

#[test]
fn promises_are_checked_by_consuming() {
    let mut findings = Vec::new();
    for (path, text) in rust_files().filter(|(path, _)| path.starts_with("tests/src/conformance/")) {
        let may_look = INSPECTING.iter().any(|name| path.ends_with(&format!("/{name}.rs")));
        // Checking whether a call is refused does not check what a queue holds.
        let looks = |line: &&str| [".stats(", ".browse(", "look("].iter().any(|call| line.contains(call)) && !line.contains(".err()");
        let lines = text.lines().filter(looks).map(|line| format!("{path}: {}", line.trim()));
        findings.extend(lines.filter(|_| !may_look));
    }
    none(findings, "not every broker has figures and shows messages: consume them (`Bed::drained`, `expect`)");
}

#[test]
fn every_path_of_the_gateway_is_described() {
    let routed = |(path, text): &(String, String)| path.starts_with("host/gateway/src/") && text.contains(".route(");
    let findings = rust_files().filter(routed).map(|(path, _)| path).collect();
    none(findings, "paths that the OpenAPI document does not have: add them by `.routes(routes!(...))` in host/gateway/src/serve.rs");
}

#[test]
fn no_test_is_ignored_and_no_code_unfinished() {
    let words = [concat!("#[ign", "ore"), concat!("tod", "o!("), concat!("unimple", "mented!("), concat!("db", "g!(")];
    let findings = rust_files()
        .flat_map(|(path, text)| words.into_iter().filter(move |word| text.contains(word)).map(move |word| format!("{path}: {word}")));
    none(findings.collect(), "finish or remove these; a test that cannot run is a failure");
}

#[test]
fn tests_wait_for_events_and_do_not_sleep() {
    let mut findings = Vec::new();
    for (path, text) in rust_files().filter(|(path, _)| !path.starts_with("tests/guests/") && path != "tests/it/tidy.rs") {
        let in_test = path.starts_with("tests/") || path.ends_with("/tests.rs") || path.contains("/tests/");
        let tests = if in_test { text.as_str() } else { text.split_once("#[cfg(test)]").map_or("", |(_, tests)| tests) };
        findings.extend(tests.lines().filter(|line| line.contains("sleep(")).map(|line| format!("{path}: {}", line.trim())));
    }
    none(findings, "wait for the event with a deadline (tests/src/wait.rs), or move the clock of a paused runtime");
}

/// The targets of all links `[text](target)` of a text.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

#[test]
fn links_are_valid() {
    let mut findings = Vec::new();
    for (path, text) in files().iter().filter(|(path, _)| path.ends_with(".md")) {
        for target in links(text).filter(|target| !target.contains("://") && !target.starts_with("mailto:")) {
            let file = target.split('#').next().unwrap();
            let folder = root().join(path).parent().unwrap().to_owned();
            if !file.is_empty() && !folder.join(file).exists() {
                findings.push(format!("{path}: {target}"));
            }
        }
    }
    none(findings, "links to what is not there");
}

#[test]
fn documented_paths_exist() {
    let places = ["host/", "sdk/", "tests/", "wit/", "docs/", "plugins/", "bench/", "demo/", ".ci/"];
    let mut findings = Vec::new();
    for (path, text) in files().iter().filter(|(path, _)| path.ends_with(".md")) {
        let spans = text.split('`').skip(1).step_by(2).filter(|span| places.iter().any(|place| span.starts_with(place)));
        let plain = |span: &&str| span.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        // A name in capitals is a placeholder.
        let chosen = |span: &&str| span.split(['/', '.']).any(|part| part.len() > 1 && part.chars().all(|c| c.is_ascii_uppercase()));
        let missing = spans.filter(plain).filter(|span| !chosen(span) && !root().join(span).exists());
        findings.extend(missing.map(|span| format!("{path}: {span}")));
    }
    none(findings, "documents that name what is not there");
}

#[test]
fn documented_tests_exist() {
    let files = files();
    let is_a_test =
        |span: &&str| span.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') && span.matches('_').count() > 2;
    let mut findings = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".md")) {
        for name in text.split('`').skip(1).step_by(2).filter(is_a_test) {
            let defined = format!("fn {name}(");
            // Figures of the gateway have similar names.
            if !name.starts_with("weir_") && !files.iter().any(|(path, text)| path.ends_with(".rs") && text.contains(&defined)) {
                findings.push(format!("{path}: {name}"));
            }
        }
    }
    none(findings, "documents that name a test that is not there");
}

#[test]
fn no_path_of_a_machine_is_committed() {
    let paths = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let mut findings = Vec::new();
    for (path, text) in files() {
        findings.extend(paths.iter().filter(|word| text.contains(*word)).map(|word| format!("{path}: {word}")));
    }
    none(findings, "paths that exist on one machine only");
}

/// The texts of all log messages of a source, and the fields of each.
fn log_calls(text: &str) -> Vec<&str> {
    let calls = ["error!(", "warn!(", "info!(", "debug!("].into_iter().flat_map(|call| {
        let call = format!("tracing::{call}");
        text.match_indices(&call).map(|(at, call)| at + call.len()).collect::<Vec<_>>()
    });
    calls.filter_map(|from| text[from..].find("\n").map(|_| &text[from..])).map(|rest| &rest[..end_of_call(rest)]).collect()
}

/// The end of an open call, ignoring text in quotes.
fn end_of_call(text: &str) -> usize {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

#[test]
fn log_messages_are_constant_and_errors_include_their_causes() {
    let mut findings = Vec::new();
    for (path, text) in rust_files().filter(|(path, _)| path.starts_with("host/")) {
        for call in log_calls(&text) {
            let shown = call.split_whitespace().collect::<Vec<_>>().join(" ");
            let message = call.rsplit_once('"').and_then(|(before, _)| before.rsplit_once('"')).map_or("", |(_, message)| message);
            let is_good = message.starts_with(|c: char| c.is_lowercase()) && !message.ends_with('.') && !message.contains('{');
            if !is_good {
                findings.push(format!("{path}: the message of `{shown}`"));
            }
            if shown.contains("%error,") && !shown.contains("error = %error,") && !path.starts_with("host/pubsub/src/embedded/log/") {
                findings.push(format!("{path}: the error of `{shown}` lacks its causes: error = %chain(&error)"));
            }
        }
    }
    none(findings, "log messages are constant, lower case and without a period; data goes into fields, and errors have their causes");
}

#[test]
fn crates_come_from_the_public_registry_only() {
    let files = files();
    let foreign = |line: &&str| line.starts_with("source = ") && !line.contains("github.com/rust-lang/crates.io-index");
    let mut findings: Vec<String> = files["Cargo.lock"].lines().filter(foreign).map(str::to_owned).collect();
    let cargo_settings =
        files.iter().filter(|(path, text)| path.contains(".cargo/") && (text.contains("[source") || text.contains("registry")));
    findings.extend(cargo_settings.map(|(path, _)| format!("{path} names a registry")));
    none(findings, "a registry that others do not have");
}
