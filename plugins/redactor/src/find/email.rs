//! E-mail addresses.

use super::words::{after, before};
use std::ops::Range;

/// The longest parts considered, in characters: more than the standards allow.
const MAX_LOCAL: usize = 128;
const MAX_DOMAIN: usize = 255;

/// File extensions that occur where domains end, as in `icon@2x.png`.
const FILES: &[&str] = &["png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "mjs", "ts"];

pub(super) fn find(text: &str, add: &mut dyn FnMut(Range<usize>)) {
    for (at, _) in text.match_indices('@') {
        if let Some(start) = local(text, at)
            && let Some(end) = domain(text, at + 1)
            && !is_remote(text, start..at, end)
        {
            add(start..end);
        }
    }
}

/// Letters of addresses: from alphabets that separate words by spaces, otherwise a Chinese sentence would become part of one.
fn is_letter(c: char) -> bool {
    c.is_alphanumeric() && c < '\u{530}'
}

/// The beginning of the part before the `@`.
fn local(text: &str, at: usize) -> Option<usize> {
    let mut begin = None;
    let mut last = '@';
    for (place, c) in text[..at].char_indices().rev().take(MAX_LOCAL) {
        let dots = c == '.' && (last == '.' || last == '@');
        if dots || !(is_letter(c) || "._%+-'&#~=".contains(c)) {
            break;
        }
        // It begins with a letter, a digit or `_`, not with the quote or the bullet before it.
        if is_letter(c) || c == '_' {
            begin = Some(place);
        }
        last = c;
    }
    // `key=a@example.com` assigns an address to a name.
    let begin = begin?;
    text[begin..at].rfind('=').map_or(Some(begin), |equals| Some(begin + equals + 1).filter(|begin| *begin < at))
}

/// The end of the domain: at least two labels, the last consisting of letters only.
fn domain(text: &str, from: usize) -> Option<usize> {
    let chars = text[from..].chars().take(MAX_DOMAIN);
    let length: usize = chars.take_while(|c| is_letter(*c) || *c == '-' || *c == '.').map(char::len_utf8).sum();
    let name = &text[from..from + length];
    let (mut end, mut at) = (None, from);
    for (place, label) in name.split('.').enumerate() {
        // An empty label, as before the second of two dots, is the end of a sentence.
        let label = label.trim_end_matches('-');
        if label.is_empty() || label.starts_with('-') {
            break;
        }
        let is_last = label.starts_with("xn--") || (label.chars().count() >= 2 && label.chars().all(char::is_alphabetic));
        if place > 0 && is_last && !FILES.contains(&label) {
            end = Some(at + label.len());
        }
        at += label.len() + 1;
    }
    end
}

/// `git@host:path`, the location of a repository, `user:password@host` of a URL, and anything with more than one `@`.
fn is_remote(text: &str, local: Range<usize>, end: usize) -> bool {
    match before(text, local.start) {
        Some('@') => true,
        Some(':') => {
            let user = text[..local.start - 1].trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "._-%".contains(c));
            user.ends_with("://")
        }
        _ => &text[local] == "git" && after(text, end) == Some(':'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::check;

    #[test]
    fn addresses_are_found() {
        check(
            find,
            &[
                ("Write to ada@example.com.", &["ada@example.com"]),
                (
                    "<ada.lovelace+list@mail.example.co.uk>, \"bob_2@example.org\"",
                    &["ada.lovelace+list@mail.example.co.uk", "bob_2@example.org"],
                ),
                ("mailto:ada@example.com?subject=x", &["ada@example.com"]),
                ("E-Mail:müller@müller.example, иван@пример.рф", &["müller@müller.example", "иван@пример.рф"]),
                ("o'brien@example.com said 'a@example.com'", &["o'brien@example.com", "a@example.com"]),
                ("user=ada@example.com&x=1", &["ada@example.com"]),
                ("联系ada@example.com或者", &["ada@example.com"]),
                ("a@xn--mller-kva.example...", &["a@xn--mller-kva.example"]),
                ("ada@EXAMPLE.COM-", &["ada@EXAMPLE.COM"]),
                ("see...ada@example.com", &["ada@example.com"]),
                ("a@example.com,b@example.com;c@example.com", &["a@example.com", "b@example.com", "c@example.com"]),
            ],
        );
    }

    #[test]
    fn non_addresses_are_kept() {
        check(
            find,
            &[
                ("git clone git@github.com:owner/name.git", &[]),
                ("icon@2x.png and react@18.2.0 and user@localhost", &[]),
                ("@example.com, @decorator.call, a @ b.example, a@@example.com", &[]),
                ("ada(at)example.com", &[]),
                ("https://user:password@host.example/, mailto://x/", &[]),
                ("a@b.c and a@1.2.3.4 and @", &[]),
            ],
        );
    }
}
