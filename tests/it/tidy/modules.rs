//! Arrows between the modules of the embedded broker, which other brokers follow as an example, and between the files of each broker.

use std::collections::{BTreeMap, BTreeSet};

use super::{none, rust_files};

/// The crate that the broker is in.
const SOURCES: &str = "host/pubsub/src/";

/// The modules of the broker from the bottom to the top: each may use those of the rows before its own. `mod.rs` and `tests` may use all, and
/// nothing uses these.
const ROWS: &[&[&str]] =
    &[&["definition", "lock", "numbers", "options", "place", "refusal"], &["damage"], &["log", "state"], &["commit"], &["ends"]];

type Path = Vec<String>;

fn path(segments: &[&str]) -> Path {
    segments.iter().map(|segment| (*segment).to_owned()).collect()
}

/// The module that a file of the crate is.
fn module_of(file: &str) -> Path {
    let name = file.trim_start_matches(SOURCES).trim_end_matches(".rs").trim_end_matches("/mod");
    if name == "lib" { Path::new() } else { path(&name.split('/').collect::<Vec<_>>()) }
}

/// Words and punctuation of a source, comments and literals left out.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' => end_of_string(rest),
            '\'' if rest.starts_with("'\\") => rest[2..].find('\'').map_or(rest.len(), |end| end + 3),
            '\'' if rest.chars().nth(2) == Some('\'') => rest.char_indices().nth(3).map_or(rest.len(), |(at, _)| at),
            ':' if rest.starts_with("::") => 2,
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let is_silent = first.is_whitespace() || first == '"' || rest.starts_with("//") || (first == '\'' && length > 1);
        found.extend((!is_silent).then(|| &rest[..length]));
        rest = &rest[length..];
    }
    found
}

fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// Adds the paths of a tree such as `crate::{a, b::{c, d as e}}`; where it ends.
fn read_tree(tokens: &[&str], mut at: usize, mut prefix: Path, found: &mut Vec<Path>) -> usize {
    loop {
        if tokens[at] == "{" {
            at += 1;
            while tokens[at] != "}" {
                at = read_tree(tokens, at, prefix.clone(), found);
                // A name behind `as`.
                at += tokens[at..].iter().position(|token| [",", "}"].contains(token)).unwrap_or(0);
                at += usize::from(tokens[at] == ",");
            }
            return at + 1;
        }
        prefix.push(tokens[at].to_owned());
        at += 1;
        let goes_on = tokens.get(at) == Some(&"::") && tokens.get(at + 1).is_some_and(|next| *next != "<");
        if !goes_on {
            found.push(prefix);
            return at;
        }
        at += 1;
    }
}

/// All paths in a source that lead out of its module, in `use` and elsewhere, from the root of the crate.
fn uses(module: &Path, text: &str) -> BTreeSet<Path> {
    let tokens = tokens(text);
    let (mut at, mut depth, mut inline) = (0, 0, Vec::new());
    let mut all = BTreeSet::new();
    while at < tokens.len() {
        let before = at.checked_sub(1).map_or("", |at| tokens[at]);
        let is_visibility = before == "in" || (before == "(" && at > 1 && tokens[at - 2] == "pub");
        match tokens[at] {
            "mod" if tokens.get(at + 2) == Some(&"{") => inline.push((depth, tokens[at + 1])),
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.pop_if(|(begin, _)| *begin == depth);
            }
            "self" if tokens.get(at + 1) != Some(&"::") => {}
            "crate" | "super" | "self" | "embedded" if !["::", ".", "mod"].contains(&before) && !is_visibility => {
                let mut found = Vec::new();
                at = read_tree(&tokens, at, Path::new(), &mut found);
                let here: Path = module.iter().cloned().chain(inline.iter().map(|(_, name)| (*name).to_owned())).collect();
                all.extend(found.iter().map(|found| from_root(&here, found)));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    all
}

fn from_root(here: &Path, found: &[String]) -> Path {
    let mut path = match found[0].as_str() {
        "crate" | "embedded" => Path::new(),
        _ => here.clone(),
    };
    for segment in found {
        match segment.as_str() {
            "super" => drop(path.pop()),
            "crate" | "self" => {}
            name => path.push(name.to_owned()),
        }
    }
    path
}

/// What may use the broker: its settings, the table of all brokers, the tests of connecting, and what is left of its files where no process uses them.
const ABOVE: &[&str] = &["broker_settings", "kind", "connect", "disk"];

/// What a file of the crate uses of the broker although it is not below it.
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
    uses(&module, text).iter().filter(is_wrong).map(|used| format!("{file} uses crate::{}", used.join("::"))).collect()
}

#[test]
fn arrows_between_modules_of_the_embedded_broker_go_one_way() {
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
        let used = uses(module, text).iter().filter_map(file_of).filter(|used| used != module).collect();
        (module.clone(), used)
    };
    files.iter().map(edges_of).collect()
}

/// A path through the files that ends where it has been before, if there is one from its last file.
fn cycle(edges: &BTreeMap<Path, BTreeSet<Path>>, trail: &mut Vec<Path>, done: &mut BTreeSet<Path>) -> Option<String> {
    let last = trail.last()?.clone();
    for next in &edges[&last] {
        trail.push(next.clone());
        if let Some(begin) = trail[..trail.len() - 1].iter().position(|file| file == next) {
            return Some(trail[begin..].iter().map(|file| file.join("/")).collect::<Vec<_>>().join(" -> "));
        }
        if !done.contains(next)
            && let Some(found) = cycle(edges, trail, done)
        {
            return Some(found);
        }
        trail.pop();
    }
    done.insert(last);
    None
}

#[test]
fn no_files_of_a_broker_use_each_other() {
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
fn uses_are_found_however_they_are_written() {
    let found = |text: &str| wrong_arrows("host/pubsub/src/embedded/log/reader.rs", text).len();
    for wrong in [
        "use crate::embedded::state::Step;",
        "use crate::{embedded::{log::Log, commit::Shared}, error::Result};",
        "use super::super::state;",
        "use super::super::{place::Place, ends::{self}};",
        "use super::super::*;",
        "use crate::embedded as broker;",
        "use crate::embedded::EmbeddedBroker;",
        "use crate as weir;",
        "fn f() { crate::embedded::commit::start(super::Log::open()) }",
        "pub(crate) use super::super::ends::QueueConsumer;",
        "mod tests { fn f() { super::super::super::state::f() } }",
        "fn f() { let c = '{'; } mod tests { use super::super::super::tests::f; }",
    ] {
        assert_eq!(found(wrong), 1, "{wrong}");
    }
    for right in [
        "use super::segment::{self, Header};\npub(super) fn f(&self) { self.f() }",
        "use crate::embedded::{lock::lock, place::{Place, Moved}};\nuse crate::{error::Result, topic::Queue};",
        "// use crate::embedded::state::Step;\nconst TEXT: &str = \"crate::embedded::state \\\" {\";",
        "mod tests { use super::*; use super::super::frame::Frame; }",
        "pub(in crate::embedded) struct A;",
    ] {
        assert_eq!(found(right), 0, "{right}");
    }
    assert_eq!(wrong_arrows("host/pubsub/src/lib.rs", "pub mod embedded;\npub use embedded::EmbeddedBroker;").len(), 1);
}
