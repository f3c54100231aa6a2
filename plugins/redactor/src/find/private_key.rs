//! Private keys in PEM, and PGP private key blocks.

use std::ops::Range;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// The longest name of the content of a block, in bytes.
const MAX_NAME: usize = 60;

/// The longest line of such a block; PEM has 64 characters on each.
const MAX_LINE: usize = 1000;

/// Shorter lines of a block whose other end is missing do not count as part of it.
const MIN_LINE: usize = 16;

/// Whole blocks; and of a block cut by a splitter, what can be recognized as part of it.
pub(super) fn find(text: &str, add: &mut dyn FnMut(Range<usize>)) {
    let mut done = 0;
    for (at, _) in text.match_indices(DASHES) {
        if at < done {
            continue;
        }
        if let Some(body) = heading(text, at, BEGIN) {
            let end = match next(text, body).and_then(|next| heading(text, next, END)) {
                Some(end) => end,
                None => lines_after(text, body),
            };
            if end > body {
                add(at..end);
            }
            done = end;
        } else if let Some(end) = heading(text, at, END) {
            let start = lines_before(text, at, done);
            if start < at {
                add(start..end);
            }
            done = end;
        }
    }
}

/// The end of the line that begins or ends a block of a private key, if there is one at this position.
fn heading(text: &str, at: usize, word: &str) -> Option<usize> {
    let rest = text[at..].strip_prefix(word)?;
    let end = rest.bytes().take(MAX_NAME).position(|byte| byte == b'-')?;
    let (name, rest) = rest.split_at(end);
    (name.contains("PRIVATE KEY") && rest.starts_with(DASHES)).then_some(at + word.len() + end + DASHES.len())
}

/// The next dashes after a position: those that end the block, if it is whole.
fn next(text: &str, from: usize) -> Option<usize> {
    text[from..].find(DASHES).map(|found| from + found)
}

/// The end of the lines of a block whose end is missing.
fn lines_after(text: &str, body: usize) -> usize {
    let mut end = body;
    while end < text.len() {
        let bytes = text.as_bytes()[end..].iter().take(MAX_LINE);
        let length = bytes.take_while(|byte| is_base64(**byte) || byte.is_ascii_whitespace() && **byte != b'\n').count();
        let line = &text[end..end + length];
        let is_whole = matches!(text.as_bytes().get(end + length), None | Some(b'\n'));
        if !is_whole || !(is_key(line) || line.trim().is_empty()) {
            break;
        }
        end = text.len().min(end + length + 1);
    }
    body + text[body..end].trim_end().len()
}

/// The beginning of the lines of a block whose beginning is missing.
fn lines_before(text: &str, end: usize, done: usize) -> usize {
    let mut start = end;
    for line in text[done..end].split_inclusive('\n').rev() {
        // The last line before the end may be short.
        if !(is_key(line) || start == end && !line.trim().is_empty() && line.trim().bytes().all(is_base64)) {
            break;
        }
        start -= line.len();
    }
    start
}

fn is_key(line: &str) -> bool {
    let line = line.trim();
    line.len() >= MIN_LINE && line.bytes().all(is_base64)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::{check, found};

    const LINES: &str = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\nMzEfYyjiWA4R4w==";

    #[test]
    fn whole_blocks_are_found() {
        for name in
            ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "PGP PRIVATE KEY BLOCK"]
        {
            let block = format!("-----BEGIN {name}-----\n{LINES}\n-----END {name}-----");
            assert_eq!(found(&format!("a\n{block}\nb\n{block}"), find), [block.as_str(), block.as_str()]);
        }
        let one_line = r"-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----";
        assert_eq!(found(&format!("\"key\": \"{one_line}\""), find), [one_line]);
    }

    #[test]
    fn truncated_blocks_are_found_up_to_their_end() {
        let begin = format!("-----BEGIN PRIVATE KEY-----\n{LINES}\nQUJD");
        assert_eq!(
            found(&format!("text\n{begin}"), find),
            [begin.trim_end_matches("\nMzEfYyjiWA4R4w==\nQUJD").to_owned() + "\nMzEfYyjiWA4R4w=="]
        );
        let end = format!("{LINES}\n-----END PRIVATE KEY-----");
        assert_eq!(found(&format!("{end}\ntext"), find), [end.as_str()]);
    }

    #[test]
    fn non_private_keys_are_kept() {
        check(
            find,
            &[
                ("-----BEGIN CERTIFICATE-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END CERTIFICATE-----", &[]),
                ("-----BEGIN PUBLIC KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PUBLIC KEY-----", &[]),
                ("A file with `-----BEGIN PRIVATE KEY-----` in its first line holds one.", &[]),
                ("and its last line is\n\n-----END PRIVATE KEY-----", &[]),
                ("-----BEGIN ----- -----END -----", &[]),
            ],
        );
    }
}
