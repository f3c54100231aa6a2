//! International bank account numbers.

use super::words::{after, is_word, word_starts};
use iban::Iban;
use std::ops::Range;

const LENGTHS: Range<usize> = 15..35;

pub(super) fn find(text: &str, add: &mut dyn FnMut(Range<usize>)) {
    let mut done = 0;
    for start in word_starts(text) {
        if start >= done
            && let Some(end) = iban(text, start)
        {
            add(start..end);
            done = end;
        }
    }
}

/// The end of the IBAN that begins here: written without separators, or in groups of four separated by a space or a hyphen.
fn iban(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let begins = |at: usize, is: fn(&u8) -> bool| bytes.get(start + at).is_some_and(is);
    if !(begins(0, u8::is_ascii_alphabetic)
        && begins(1, u8::is_ascii_alphabetic)
        && begins(2, u8::is_ascii_digit)
        && begins(3, u8::is_ascii_digit))
    {
        return None;
    }
    let mut number = String::with_capacity(LENGTHS.end);
    let (mut at, mut end) = (start, None);
    while number.len() < LENGTHS.end {
        let group = bytes[at..].iter().take(LENGTHS.end).take_while(|byte| byte.is_ascii_alphanumeric()).count();
        number.push_str(&text[at..at + group].to_ascii_uppercase());
        at += group;
        if LENGTHS.contains(&number.len()) && !after(text, at).is_some_and(is_word) && number.parse::<Iban>().is_ok() {
            end = Some(at);
        }
        let goes_on = group == 4 && matches!(bytes.get(at), Some(b' ' | b'-')) && bytes.get(at + 1).is_some_and(u8::is_ascii_alphanumeric);
        if !goes_on {
            break;
        }
        at += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::check;

    #[test]
    fn ibans_are_found() {
        check(
            find,
            &[
                ("DE89370400440532013000", &["DE89370400440532013000"]),
                ("IBAN: DE89 3704 0044 0532 0130 00 at a bank", &["DE89 3704 0044 0532 0130 00"]),
                (
                    "GB29 NWBK 6016 1331 9268 19, FR14 2004 1010 0505 0001 3M02 606.",
                    &["GB29 NWBK 6016 1331 9268 19", "FR14 2004 1010 0505 0001 3M02 606"],
                ),
                ("NL91-ABNA-0417-1643-00", &["NL91-ABNA-0417-1643-00"]),
                ("(no9386011117947)", &["no9386011117947"]),
                ("MT84MALT011000012345MTLCAST001S", &["MT84MALT011000012345MTLCAST001S"]),
                ("NO93 8601 1117 947 2024", &["NO93 8601 1117 947"]),
            ],
        );
    }

    #[test]
    fn non_ibans_are_kept() {
        check(
            find,
            &[
                ("DE88370400440532013000, the checksum is wrong", &[]),
                ("XX89370400440532013000, no such country", &[]),
                ("DE8937040044053201300, too short", &[]),
                ("DE893704004405320130001", &[]),
                ("xDE89370400440532013000 DE89370400440532013000_", &[]),
                ("AB12 is a place", &[]),
            ],
        );
    }
}
