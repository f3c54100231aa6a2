//! IP addresses. Those that identify no particular machine or this one, such as 127.0.0.1, stay.

use super::words::{after, before, is_word, word_starts};
use std::net::IpAddr;
use std::ops::Range;

/// The longest address, in bytes.
const MAX_BYTES: usize = 45;

pub(super) fn find(text: &str, add: &mut dyn FnMut(Range<usize>)) {
    let mut done = 0;
    for start in word_starts(text) {
        if start >= done
            && !matches!(before(text, start), Some('.' | ':' | '-'))
            && let Some(end) = address(text, start)
        {
            add(start..end);
            done = end;
        }
    }
}

fn address(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes()[start..].iter();
    let length = bytes.take(MAX_BYTES + 1).take_while(|byte| byte.is_ascii_hexdigit() || b".:".contains(byte)).count();
    let word = text[start..start + length].trim_end_matches(['.', ':']);
    // An address of version 4 may be followed by a port.
    let (address, port) = if word.contains('.') { word.split_once(':').unwrap_or((word, "")) } else { (word, "") };
    let is_known = match address.parse().ok()? {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_unspecified() || v4.is_broadcast() || is_version(text, start)),
        // Paths in source code look like it, too: `a::b`.
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unspecified()) && address.matches(':').count() > 2,
    };
    let end = start + address.len();
    (is_known && port.bytes().all(|byte| byte.is_ascii_digit()) && !after(text, start + word.len()).is_some_and(|c| is_word(c) || c == '-'))
        .then_some(end)
}

/// `version 1.2.3.4`
fn is_version(text: &str, start: usize) -> bool {
    let head = text[..start].trim_end_matches(' ');
    let word = head.rsplit(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
    ["version", "release", "v"].iter().any(|it| word.eq_ignore_ascii_case(it))
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
                ("from 203.0.113.7, port 22", &["203.0.113.7"]),
                ("http://198.51.100.10:8080/ and 192.0.2.1/24.", &["198.51.100.10", "192.0.2.1"]),
                ("2001:db8::8a2e:370:7334 [2001:db8:0:0:0:0:2:1]:80", &["2001:db8::8a2e:370:7334", "2001:db8:0:0:0:0:2:1"]),
                ("It was 203.0.113.7.", &["203.0.113.7"]),
            ],
        );
    }

    #[test]
    fn non_addresses_are_kept() {
        check(
            find,
            &[
                ("127.0.0.1 0.0.0.0 ::1 255.255.255.255", &[]),
                ("version 1.2.3.4, Release 10.0.0.1, v1.2.3.4, 1.2.3, 1.2.3.4.5, 1.2.3.400, 1.2.3.4-rc", &[]),
                ("std::fmt a::b dead::beef 12:34:56 cafe:babe", &[]),
                ("203.0.113.7x x203.0.113.7", &[]),
            ],
        );
    }
}
