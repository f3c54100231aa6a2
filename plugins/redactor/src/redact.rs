//! Replaces the finds in a text: pure, and with the same result for the same text.

use crate::find::{self, Find};
use crate::kind::Kind;
use crate::settings::{Replacement, Settings};
use std::collections::BTreeMap;

/// The number of finds of each kind.
pub type Counts = BTreeMap<Kind, u64>;

/// A text with its finds replaced, in time linear in its length.
#[must_use]
pub fn redact(text: &str, settings: &Settings, counts: &mut Counts) -> String {
    let finds = merged(find::all(text, settings));
    let mut redacted = String::with_capacity(text.len());
    let mut at = 0;
    for find in finds {
        redacted.push_str(&text[at..find.bytes.start]);
        redacted.push_str(&placeholder(find.kind, &text[find.bytes.clone()], settings.replacement));
        at = find.bytes.end;
        *counts.entry(find.kind).or_default() += 1;
    }
    redacted.push_str(&text[at..]);
    redacted
}

/// Overlapping finds become one, so that no part of either stays: from the first character to the last, named after the longest.
fn merged(mut finds: Vec<Find>) -> Vec<Find> {
    finds.sort_by_key(|find| (find.bytes.start, find.bytes.end, find.kind));
    let mut merged: Vec<Find> = Vec::with_capacity(finds.len());
    let mut longest = 0;
    for find in finds {
        let length = find.bytes.len();
        match merged.last_mut() {
            Some(last) if find.bytes.start < last.bytes.end => {
                last.bytes.end = last.bytes.end.max(find.bytes.end);
                if length > longest || (length == longest && find.kind < last.kind) {
                    (last.kind, longest) = (find.kind, length);
                }
            }
            _ => {
                longest = length;
                merged.push(find);
            }
        }
    }
    merged
}

fn placeholder(kind: Kind, found: &str, replacement: Replacement) -> String {
    let label = kind.name().to_uppercase();
    if replacement == Replacement::Label || !kind.may_keep_last_4() {
        return format!("[{label}]");
    }
    let mut last: Vec<char> = found.chars().rev().filter(char::is_ascii_alphanumeric).take(4).collect();
    last.reverse();
    format!("[{label} {}]", last.into_iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(start: usize, end: usize, kind: Kind) -> Find {
        Find { bytes: start..end, kind }
    }

    #[test]
    fn overlapping_finds_are_merged_under_the_longest() {
        let finds = vec![find(5, 9, Kind::Phone), find(0, 6, Kind::Email), find(8, 10, Kind::Card), find(10, 12, Kind::Card)];
        assert_eq!(merged(finds), [find(0, 10, Kind::Email), find(10, 12, Kind::Card)]);
    }

    #[test]
    fn of_two_equally_long_finds_the_kind_listed_first_wins() {
        let one = vec![find(0, 6, Kind::Phone), find(0, 6, Kind::Card)];
        let other = one.iter().rev().cloned().collect();
        assert_eq!(merged(one), [find(0, 6, Kind::Card)]);
        assert_eq!(merged(other), [find(0, 6, Kind::Card)]);
    }

    #[test]
    fn the_last_four_digits_are_kept_where_they_reveal_nothing() {
        let settings = Settings::new("all", "text", Replacement::Last4, "us").unwrap();
        let text = "card 4111 1111 1111 1111, mail ada@example.com, call +1 415-555-2671, DE89 3704 0044 0532 0130 00.";
        let mut counts = Counts::new();
        assert_eq!(redact(text, &settings, &mut counts), "card [CARD 1111], mail [EMAIL], call [PHONE 2671], [IBAN 3000].");
        assert_eq!(counts, Counts::from([(Kind::Card, 1), (Kind::Email, 1), (Kind::Phone, 1), (Kind::Iban, 1)]));
    }

    #[test]
    fn only_the_configured_kinds_are_redacted() {
        let settings = Settings::new("email", "text", Replacement::Label, "us").unwrap();
        let text = "card 4111 1111 1111 1111, mail ada@example.com";
        assert_eq!(redact(text, &settings, &mut Counts::new()), "card 4111 1111 1111 1111, mail [EMAIL]");
    }

    const FIXTURES: [(&str, &str); 2] = [
        (include_str!("../fixtures/mail.txt"), include_str!("../fixtures/mail.expected.txt")),
        (include_str!("../fixtures/deployment.txt"), include_str!("../fixtures/deployment.expected.txt")),
    ];

    #[test]
    fn documents_lose_only_personal_data() {
        let settings = Settings::new("all", "text", Replacement::Label, "us").unwrap();
        for (text, expected) in FIXTURES {
            let redacted = redact(text, &settings, &mut Counts::new());
            assert_eq!(redacted, expected);
            assert_eq!(redact(&redacted, &settings, &mut Counts::new()), expected, "a second time there is nothing to find");
        }
    }

    /// The parts that hostile texts repeat.
    const HOSTILE: &[&str] = &[
        "1",
        "1 ",
        "4111 ",
        "4111-",
        "+1-",
        "(1)",
        "00 ",
        "a@",
        "@",
        "a.",
        "a@a.",
        "eyJ",
        "eyJ-",
        "eyJaaaaaaa.",
        "eyJaaaaaaa.eyJa.",
        "sk-",
        "sk-ant-",
        "pypi-AgE",
        "Bearer ",
        "password=",
        "password:",
        "=",
        ":",
        "://",
        "://a:",
        "http://a:b@",
        "DE89 ",
        "DE89",
        "DE89-",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nQUJDREVGR0hJSktMTU5PUA==\n",
        "-",
        "\n",
        "QUJDREVGR0hJSktMTU5PUA==\n",
        "a",
        "ä",
        "\u{a0}",
        "1.",
        "1:",
        "f:",
        "tel ",
        "tel 1",
    ];

    #[test]
    fn any_text_can_be_redacted_wherever_it_is_split() {
        let settings = Settings::new("all", "text", Replacement::Last4, "at,au,be,ca,ch,de,es,fr,gb,ie,it,jp,nl,pl,pt,se,us").unwrap();
        for unit in HOSTILE {
            let text = unit.repeat((32 << 10) / unit.len());
            let redacted = redact(&text, &settings, &mut Counts::new());
            assert!(redacted.len() <= 3 * text.len(), "{unit}");
        }
        for (text, _) in FIXTURES {
            for (at, _) in text.char_indices() {
                for part in [&text[at..], &text[..at]] {
                    let redacted = redact(part, &settings, &mut Counts::new());
                    assert!(redacted.len() <= 3 * part.len());
                }
            }
        }
    }
}
