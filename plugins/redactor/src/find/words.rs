//! Words in a text, and the characters beside a position.

/// Whether a character can be part of a word or number, so that neither begins beside it.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The character before a position.
pub(super) fn before(text: &str, at: usize) -> Option<char> {
    text[..at].chars().next_back()
}

/// The character at a position.
pub(super) fn after(text: &str, at: usize) -> Option<char> {
    text[at..].chars().next()
}

/// The positions, in bytes, where words begin: at ASCII letters and digits that do not follow a part of a word.
pub(super) fn word_starts(text: &str) -> impl Iterator<Item = usize> {
    let mut inside = false;
    text.char_indices().filter_map(move |(at, c)| {
        let starts = !inside && c.is_ascii_alphanumeric();
        inside = is_word(c);
        starts.then_some(at)
    })
}
