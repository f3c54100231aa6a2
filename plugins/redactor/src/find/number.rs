//! Digits in groups, as people write long numbers.

use super::words::{after, before, is_word};

/// A number as written: its digits, and where its groups end.
#[derive(Debug)]
pub(super) struct Number {
    /// The digits, as `b'0'..=b'9'`.
    pub(super) digits: Vec<u8>,
    /// After each group: the number of digits so far, and the position after the last of them.
    pub(super) ends: Vec<(usize, usize)>,
    /// Whether more digits follow than were requested.
    pub(super) is_cut: bool,
}

impl Number {
    /// Reads groups of digits, separated by text that `is_gap` accepts, until there are no more or more than `max` digits.
    pub(super) fn read(text: &str, start: usize, max: usize, is_gap: impl Fn(&str) -> bool) -> Self {
        let mut number = Number { digits: Vec::with_capacity(max), ends: Vec::with_capacity(max), is_cut: false };
        let mut at = start;
        loop {
            let group = digits_at(text, at, max + 1);
            if number.digits.len() + group > max {
                number.is_cut = true;
                return number;
            }
            number.digits.extend_from_slice(&text.as_bytes()[at..at + group]);
            at += group;
            number.ends.push((number.digits.len(), at));
            let gap = gap(text, at);
            if gap.is_empty() || !is_gap(gap) {
                return number;
            }
            at += gap.len();
        }
    }

    /// The number of digits of each group.
    pub(super) fn groups(&self) -> Vec<usize> {
        let before = std::iter::once(0).chain(self.ends.iter().map(|(count, _)| *count));
        before.zip(&self.ends).map(|(before, (count, _))| count - before).collect()
    }
}

/// The number of digits at a position; at most `max` are counted.
fn digits_at(text: &str, at: usize, max: usize) -> usize {
    text.as_bytes()[at..].iter().take(max).take_while(|byte| byte.is_ascii_digit()).count()
}

/// The text between a position and the next digit, if it consists of one to four characters used in numbers; otherwise empty.
fn gap(text: &str, at: usize) -> &str {
    let rest = &text[at..];
    let is_separator = |c: char| matches!(c, ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}' | '\u{2011}');
    let mut chars = rest.char_indices();
    let end = chars.by_ref().take(5).find(|(_, c)| !is_separator(*c));
    end.filter(|(_, c)| c.is_ascii_digit()).map_or("", |(end, _)| &rest[..end])
}

/// The positions, in bytes, where groups of digits begin that are not part of a word.
pub(super) fn starts(text: &str) -> impl Iterator<Item = usize> {
    super::words::word_starts(text).filter(|at| text.as_bytes()[*at].is_ascii_digit())
}

/// Whether digits that begin here continue digits before, as `23` does in `1.23` and `1-23`: only after a space a number begins.
pub(super) fn continues_at(text: &str, start: usize) -> bool {
    let Some(c @ ('.' | ',' | '-' | '/' | ':' | '+' | '\u{2011}')) = before(text, start) else { return false };
    before(text, start - c.len_utf8()).is_some_and(|c| c.is_ascii_digit())
}

/// Whether digits that end here continue as a word or a longer number.
pub(super) fn goes_on(text: &str, end: usize) -> bool {
    match after(text, end) {
        Some(c @ ('.' | ',' | '-' | ':' | '\u{2011}')) => after(text, end + c.len_utf8()).is_some_and(|c| c.is_ascii_digit()),
        Some(c) => is_word(c),
        None => false,
    }
}
