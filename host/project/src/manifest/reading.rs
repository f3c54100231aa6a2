//! Describes faults in a manifest, with their line, for people. Pure.

use std::path::Path;

use crate::error::ManifestError;
use crate::explain::explained;

/// The error for text that is not a manifest.
pub(super) fn malformed(file: &Path, text: &str, error: &toml::de::Error) -> ManifestError {
    let problem = explained(error.message());
    // A missing top-level key has no line.
    let at = error.span().map(|span| span.start.min(text.len())).filter(|at| *at > 0 || !problem.ends_with("is missing"));
    let problem = match at.and_then(|at| key_at(text, at)) {
        // The message about an unknown key already names it.
        Some(key) if !problem.contains(&format!("`{key}`")) => format!("key `{key}`: {problem}"),
        _ => problem,
    };
    ManifestError { file: file.to_owned(), line: at.map(|at| line_of(text, at)), problem }
}

/// A fault in a field of the descriptor, whose parts are keys and names.
pub(super) fn fault(file: &Path, text: &str, field: &str, problem: String) -> ManifestError {
    ManifestError { file: file.to_owned(), line: line_of_field(text, field), problem: format!("key `{field}`: {problem}") }
}

fn line_of(text: &str, at: usize) -> usize {
    text[..text.floor_char_boundary(at)].matches('\n').count() + 1
}

/// The key on the line that contains this position, if there is one.
fn key_at(text: &str, at: usize) -> Option<&str> {
    let line = text.lines().nth(line_of(text, at) - 1)?;
    let key = line.split_once('=')?.0.trim();
    (!key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.\"".contains(c))).then_some(key)
}

/// The line of a field such as `version`, `limits.time-ms` or `parameters.shortest.default`: the line of its last part that is found, where each part
/// is searched for after the previous one.
fn line_of_field(text: &str, field: &str) -> Option<usize> {
    let (mut from, mut found) = (0, None);
    for part in field.split('.') {
        let part = part.trim_end_matches("-ms").trim_end_matches("-bytes");
        let is_it = |line: &str| {
            let line = line.trim();
            let key = line.split_once('=').map_or(line, |(key, _)| key).trim().trim_matches(['[', ']', '"']);
            key == part || line.contains(&format!("\"{part}\""))
        };
        if let Some(at) = text.lines().skip(from).position(is_it) {
            from += at;
            found = Some(from + 1);
        }
    }
    found
}
