//! How errors, and texts from outside, are told to people.

use std::error::Error;

/// Characters of an outside text that an error message shows.
const SHOWN_COUNT: usize = 80;

/// The beginning of a text from outside, fit for an error message: cut, with control characters and what is not ASCII escaped.
pub fn shown(text: &str) -> String {
    text.chars().take(SHOWN_COUNT).flat_map(char::escape_default).collect()
}

/// A list of names, for people.
pub fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let text = names.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "none".to_owned() } else { text }
}

/// An error with all its causes, as one line.
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
