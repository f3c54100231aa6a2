//! Common parts of the kit's error messages, with the wording of the host.

/// A list of names, for people.
pub(super) fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let text = names.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "none".to_owned() } else { text }
}

/// The beginning of an arbitrary text, for use in an error message.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_default).collect()
}

/// An error about a field of the descriptor.
pub(super) fn fault(field: &str, problem: &str) -> String {
    format!("field `{field}` of the descriptor: {problem}")
}
