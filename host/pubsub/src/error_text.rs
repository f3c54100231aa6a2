//! Formatting of errors and of external text for display.

use std::error::Error;

/// The maximum number of characters of external text in an error message.
const SHOWN_COUNT: usize = 80;

/// The beginning of external text, safe for an error message: truncated, with control and non-ASCII characters escaped.
pub fn shown(text: &str) -> String {
    text.chars().take(SHOWN_COUNT).flat_map(char::escape_default).collect()
}

/// A list of names, for display.
pub fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let text = names.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "none".to_owned() } else { text }
}

/// An error with all its causes, on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_text_is_truncated_and_escaped() {
        assert_eq!(shown("a\nb"), "a\\nb");
        assert_eq!(shown(&"x".repeat(1_000)).len(), SHOWN_COUNT);
    }

    #[test]
    fn causes_follow_their_error() {
        let cause = std::io::Error::other(crate::message::NotAMessageId);
        assert_eq!(chain(&cause), "a message id is 32 hexadecimal digits");
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] crate::message::NotAMessageId);
        assert_eq!(chain(&Outer(crate::message::NotAMessageId)), "outer: a message id is 32 hexadecimal digits");
    }
}
