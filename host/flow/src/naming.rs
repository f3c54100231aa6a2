//! Untrusted names: checking them, and showing them in errors.

/// Maximum length of the name of a processor, variant, flow, blueprint, interface, spec or parameter, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// A name as shown in error messages: truncated, control characters escaped.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Why a string is not a valid name, and the fix.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name is empty: give it one".to_owned());
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("the name has {} bytes; the limit is {MAX_NAME_BYTES}: shorten it", name.len()));
    }
    if name == "." || name == ".." {
        return Err(format!("`{name}` cannot be used in the path of a URL: choose another name"));
    }
    match name.chars().find(|c| c.is_control() || matches!(c, '/' | '*' | '#')) {
        Some(character) => Err(format!("the name contains {character:?}: names must not contain control characters, /, * or #")),
        None => Ok(()),
    }
}
