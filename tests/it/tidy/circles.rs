//! Cycles between the modules of a crate: of two that use each other, neither can be understood, tested or replaced alone.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::{Path, path, tokens, uses};
use super::{none, rust_files};

/// The crates without any circle, and the minimum number of files in each.
///
/// Not listed: `sdk/rust`, where calls of the host and the test kit, which stands in for the host outside wasm, use each other.
const CRATES: [(&str, usize); 9] = [
    ("host/cli/src/", 110),
    ("host/config/src/", 35),
    ("host/flow/src/", 35),
    ("host/gateway/src/", 80),
    ("host/project/src/", 20),
    ("host/pubsub/src/", 120),
    ("host/runtime/src/", 45),
    ("plugins/redactor/src/", 12),
    ("plugins/router/src/", 4),
];

type Edges = BTreeMap<Path, BTreeSet<Path>>;

/// The sources of a crate by module, without the tests in them.
type Sources = BTreeMap<Path, String>;

fn sources(folder: &str) -> Sources {
    let ours = rust_files().filter_map(|(file, text)| Some((file.strip_prefix(folder)?.to_owned(), text)));
    let by_module = ours.map(|(file, text)| (module_of(&file), without_tests(&text).to_owned()));
    by_module.filter(|(module, _)| module.last().is_none_or(|name| name != "tests")).collect()
}

fn module_of(file: &str) -> Path {
    match file.trim_end_matches(".rs").trim_end_matches("/mod") {
        "lib" => Path::new(),
        name => path(&name.split('/').collect::<Vec<_>>()),
    }
}

/// A source up to its test module.
fn without_tests(text: &str) -> &str {
    let mut starts = text.match_indices("#[cfg(test)]\n").map(|(at, _)| at);
    let is_module = |at: &usize| {
        text[*at..].lines().skip_while(|line| line.starts_with("#[")).take(1).all(|line| line.starts_with("mod ") && line.ends_with('{'))
    };
    &text[..starts.find(is_module).unwrap_or(text.len())]
}

/// The names that a source re-exports.
fn exports(module: &Path, sources: &Sources) -> BTreeMap<String, Path> {
    let exported = uses(module, &sources[module], &children(module, sources)).into_iter().filter(|used| used.is_export);
    exported.filter_map(|used| Some((used.path.last()?.clone(), used.path))).collect()
}

fn children<'s>(module: &Path, sources: &'s Sources) -> Vec<&'s str> {
    let below = sources.keys().filter(|other| other.len() == module.len() + 1 && other.starts_with(module));
    below.filter_map(|other| other.last().map(String::as_str)).collect()
}

/// Which file uses which. A name that a file only re-exports is a use of the file that defines it.
fn file_edges(sources: &Sources) -> Edges {
    let exports: BTreeMap<&Path, BTreeMap<String, Path>> = sources.keys().map(|module| (module, exports(module, sources))).collect();
    let mut edges = Edges::new();
    for (module, text) in sources {
        let words = tokens(text);
        let is_used = |name: &String| words.iter().filter(|word| *word == name).count() > 1;
        let used = uses(module, text, &children(module, sources)).into_iter();
        let used = used.filter(|used| !used.is_export || used.path.last().is_some_and(is_used));
        let files = used.map(|used| defining_file(used.path, &exports)).filter(|file| file != module);
        edges.insert(module.clone(), files.collect());
    }
    edges
}

fn defining_file(mut used: Path, exports: &BTreeMap<&Path, BTreeMap<String, Path>>) -> Path {
    // Follows re-exports, with a limit in case of a cycle.
    for _ in 0..8 {
        let length = (0..=used.len()).rev().find(|length| exports.contains_key(&used[..*length].to_vec())).unwrap_or(0);
        let (file, rest) = (used[..length].to_vec(), &used[length..]);
        let exported = rest.first().and_then(|name| exports.get(&file)?.get(name));
        match exported {
            Some(path) if *path != used => used = path.iter().chain(&rest[1..]).cloned().collect(),
            _ => return file,
        }
    }
    used
}

/// The same between the modules at the root of the crate, each with everything below it.
fn module_edges(files: &Edges) -> Edges {
    let root = |path: &Path| path.first().map(|name| vec![name.clone()]);
    let mut edges = Edges::new();
    for (file, used) in files {
        let Some(module) = root(file) else { continue };
        let others: Vec<Path> = used.iter().filter_map(root).filter(|other| *other != module).collect();
        edges.entry(module).or_default().extend(others);
    }
    edges
}

/// A cycle of a crate, if it has one.
fn circle(sources: &Sources) -> Option<String> {
    let files = file_edges(sources);
    let find = |edges: &Edges| {
        let mut done = BTreeSet::new();
        edges.keys().find_map(|module| cycle(edges, &mut vec![module.clone()], &mut done))
    };
    find(&files).or_else(|| find(&module_edges(&files)))
}

/// A path through the files that ends where it has been before, if there is one from its last file.
pub(super) fn cycle(edges: &BTreeMap<Path, BTreeSet<Path>>, trail: &mut Vec<Path>, done: &mut BTreeSet<Path>) -> Option<String> {
    let last = trail.last()?.clone();
    for next in edges.get(&last).into_iter().flatten() {
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
fn no_modules_of_a_crate_use_each_other() {
    let mut findings = Vec::new();
    for (folder, least_count) in CRATES {
        let sources = sources(folder);
        assert!(sources.len() >= least_count, "{folder} has {} files: the crate has moved, change CRATES", sources.len());
        findings.extend(circle(&sources).map(|circle| format!("{folder}: {circle}")));
    }
    none(findings, "modules that use each other: move what both need into a third one, or hand over what is needed instead of the whole");
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let found = |files: &[(&str, &str)]| {
        let sources: Sources = files.iter().map(|(file, text)| (module_of(file), without_tests(text).to_owned())).collect();
        circle(&sources).is_some()
    };
    let root = ("lib.rs", "mod a;\nmod b;\npub use b::B;");
    for (a, b) in [
        ("use crate::b::B;", "use crate::a::A;"),
        ("fn f() { super::b::f() }", "use crate::{a::{self, A}};"),
        ("use crate::b::B;", "pub use crate::a::A;\nfn f(a: A) {}"),
        ("use crate::b::B;\n#[cfg(test)]\nfn only_for_tests() {}", "use crate::a::A;"),
    ] {
        assert!(found(&[root, ("a.rs", a), ("b.rs", b)]), "{a} / {b}");
    }
    assert!(found(&[("a/mod.rs", "mod b;\nfn f() { b::f() }"), ("a/b.rs", "use super::A;")]), "parent and child");
    assert!(
        found(&[("a/x.rs", "use crate::b::y::Y;"), ("a/z.rs", ""), ("b/y.rs", ""), ("b/w.rs", "use crate::a::z::Z;")]),
        "only as modules"
    );
    for (a, b) in [
        ("use crate::b::B;", "pub use crate::a::A;"),
        ("use crate::b::B;", "// use crate::a::A;"),
        ("use crate::b::B;", "#[cfg(test)]\n#[allow(clippy::unwrap_used, reason = \"tests\")]\nmod tests {\n    use crate::a::A;\n}"),
        ("use std::b::B;", "use crate::a::A;"),
    ] {
        assert!(!found(&[root, ("a.rs", a), ("b.rs", b)]), "{a} / {b}");
    }
    assert!(
        !found(&[("a/mod.rs", "mod b;\npub use b::B;"), ("a/b.rs", "use super::c::C;"), ("a/c.rs", "")]),
        "a parent that only gives on"
    );
}
