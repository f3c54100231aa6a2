//! The paths of modules that a source names, in any notation.

use std::collections::BTreeSet;

/// The segments of a path, from the root of its crate.
pub(super) type Path = Vec<String>;

pub(super) fn path(segments: &[&str]) -> Path {
    segments.iter().map(|segment| (*segment).to_owned()).collect()
}

/// The words and punctuation of a source, without comments and literals.
pub(super) fn tokens(text: &str) -> Vec<&str> {
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

/// Adds the paths of a tree such as `crate::{a, b::{c, d as e}}`; returns where it ends.
fn read_tree(tokens: &[&str], mut at: usize, mut prefix: Path, found: &mut Vec<Path>) -> usize {
    loop {
        if tokens[at] == "{" {
            at += 1;
            while tokens[at] != "}" {
                at = read_tree(tokens, at, prefix.clone(), found);
                // A name after `as`.
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

/// A path that a source names.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Use {
    pub(super) path: Path,
    /// Whether the source only re-exports it, by `pub use`.
    pub(super) is_export: bool,
}

/// All paths in a source that lead out of its module or to one of these modules below it, in `use` and elsewhere.
pub(super) fn uses(module: &Path, text: &str, children: &[&str]) -> BTreeSet<Use> {
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
            first if is_first(first, tokens.get(at + 1), children) && !["::", ".", "mod"].contains(&before) && !is_visibility => {
                let is_export = before == "use" && at > 1 && ["pub", ")"].contains(&tokens[at - 2]);
                let mut found = Vec::new();
                at = read_tree(&tokens, at, Path::new(), &mut found);
                let here: Path = module.iter().cloned().chain(inline.iter().map(|(_, name)| (*name).to_owned())).collect();
                all.extend(found.iter().map(|found| Use { path: from_root(&here, found), is_export }));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    all
}

/// Whether a path of this crate begins with a token.
fn is_first(token: &str, next: Option<&&str>, children: &[&str]) -> bool {
    ["crate", "super", "self", "embedded"].contains(&token) || (children.contains(&token) && next == Some(&"::"))
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
