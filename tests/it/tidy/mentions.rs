//! Files that documents and comments mention: a reader follows these first.

use super::{files, none};

/// The paths of Rust sources that a line mentions in backticks; names in braces are several paths.
fn mentioned(line: &str) -> Vec<String> {
    let quoted = line.split('`').skip(1).step_by(2);
    let is_path = |text: &&str| text.ends_with(".rs") && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-/.,{}".contains(c));
    quoted.filter(is_path).flat_map(expanded).collect()
}

fn expanded(path: &str) -> Vec<String> {
    let Some((before, (names, after))) = path.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?))) else {
        return vec![path.to_owned()];
    };
    names.split(',').map(|name| format!("{before}{}{after}", name.trim())).collect()
}

#[test]
fn documents_and_comments_mention_only_files_that_exist() {
    let files = files();
    let exists = |path: &str| files.keys().any(|file| file == path || file.ends_with(&format!("/{path}")));
    let mut findings = Vec::new();
    for (file, text) in &files {
        // What was is described by the change log, and projects of authors have files of their own.
        let is_described = file.ends_with(".md") && file != "CHANGELOG.md" && !file.starts_with("docs/writing-a-processor");
        for (number, line) in text.lines().enumerate() {
            if is_described || file.ends_with(".rs") && line.trim_start().starts_with("//") {
                let missing = mentioned(line).into_iter().filter(|path| !exists(path));
                findings.extend(missing.map(|path| format!("{file}:{}: {path}", number + 1)));
            }
        }
    }
    none(findings, "a file that is mentioned and does not exist: name the one that took its place");
}

#[test]
fn mentioned_files_are_found() {
    assert_eq!(mentioned("see `a/{b,c}.rs` and `d.rs`, not `e` or `f::g`"), ["a/b.rs", "a/c.rs", "d.rs"]);
}
