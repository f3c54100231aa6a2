//! Phone numbers, by their notation.
//!
//! Of all countries with `+` or, in groups, with `00`; without these in the notation of the requested regions, in groups; and in any form
//! after a word such as "Tel". Whether a number has been assigned is not checked.

use super::number::{Number, continues_at, goes_on, starts};
use super::words::{before, is_word};
use crate::region::Region;
use std::ops::Range;

/// The most digits that a number may have, by E.164, without `00`.
const MAX_DIGITS: usize = 15;

/// The digits dialled instead of `+`.
const DIALLED: &[u8] = b"00";

/// Words that mark the following number as a phone number, in lower case.
const LABELS: &[&str] = &[
    "tel",
    "telephone",
    "telefon",
    "téléphone",
    "teléfono",
    "telefono",
    "phone",
    "fax",
    "telefax",
    "mobile",
    "mobil",
    "cell",
    "fon",
    "whatsapp",
];

pub(super) fn find(text: &str, regions: &[Region], add: &mut dyn FnMut(Range<usize>)) {
    let mut done = 0;
    for start in starts(text).filter(|start| has_separator(text, *start)) {
        if start < done {
            continue;
        }
        let begin = if before(text, start) == Some('+') { start - 1 } else { start };
        let is_part = if begin < start { !is_free(text, begin) } else { continues_at(text, start) };
        if is_part {
            continue;
        }
        let number = read(text, start);
        let end = if begin < start {
            longest(text, &number, is_international)
        } else {
            dialled(text, start, &number).or_else(|| labelled(text, start, &number)).or_else(|| national(text, start, &number, regions))
        };
        if let Some(end) = end {
            add(opened(text, begin..end));
            done = end;
        }
    }
}

/// Most numbers of a text are short and isolated; they are excluded before anything is read.
fn has_separator(text: &str, start: usize) -> bool {
    let most = &text.as_bytes()[start..text.len().min(start + MAX_DIGITS + 8)];
    most.iter().filter(|byte| byte.is_ascii_digit()).count() >= 7
}

/// Whether a `+` stands alone and is not part of a sum.
fn is_free(text: &str, plus: usize) -> bool {
    !before(text, plus).is_some_and(|c| is_word(c) || c == '+')
}

fn read(text: &str, start: usize) -> Number {
    let repeats = |gap: &str| gap.as_bytes().windows(2).any(|pair| pair[0] == pair[1]);
    Number::read(text, start, MAX_DIGITS + DIALLED.len(), |gap| !repeats(gap) && !gap.contains(". "))
}

/// The end of the longest number of whole groups that fits.
fn longest(text: &str, number: &Number, fits: impl Fn(&[u8], usize) -> bool) -> Option<usize> {
    let ends = number.ends.iter().enumerate().rev();
    ends.filter(|(_, (_, end))| !goes_on(text, *end))
        .find(|(at, (count, _))| fits(&number.digits[..*count], at + 1))
        .map(|(_, (_, end))| *end)
}

/// With `00` instead of `+`, in groups.
fn dialled(text: &str, start: usize, number: &Number) -> Option<usize> {
    if !number.digits.starts_with(DIALLED) || follows_digits(text, start) {
        return None;
    }
    longest(text, number, |digits, groups| groups > 1 && is_international(&digits[DIALLED.len().min(digits.len())..], groups))
}

/// A country code and a number in that country. Numbers with the code 1 all have the same length; for other codes, eight digits without
/// groups are a date.
fn is_international(digits: &[u8], groups: usize) -> bool {
    match digits {
        [b'0', ..] | [] => false,
        [b'1', area, ..] => digits.len() == 11 && *area >= b'2',
        _ => (if groups > 1 { 8 } else { 9 }..=MAX_DIGITS).contains(&digits.len()),
    }
}

/// After a word that labels it.
fn labelled(text: &str, start: usize, number: &Number) -> Option<usize> {
    let between = text[..start].chars().rev().take(4).take_while(|c| " :.=(#\t\u{a0}".contains(*c)).map(char::len_utf8).sum::<usize>();
    let head = &text[..start - between];
    let letters = head.chars().rev().take(12).take_while(|c| c.is_alphabetic()).map(char::len_utf8).sum::<usize>();
    let word = &head[head.len() - letters..];
    if between == 0 || letters == 0 || !LABELS.contains(&word.to_lowercase().as_str()) {
        return None;
    }
    let groups = number.groups();
    longest(text, number, |digits, count| (7..=MAX_DIGITS).contains(&digits.len()) && !is_date(&groups[..count]))
}

/// In the notation of a region.
fn national(text: &str, start: usize, number: &Number, regions: &[Region]) -> Option<usize> {
    let groups = number.groups();
    if regions.iter().any(|region| region.is_of_north_america())
        && let Some(end) = north_american(text, start, number, &groups)
    {
        return Some(end);
    }
    let (_, end) = *number.ends.last()?;
    let is_alone = !number.is_cut && !goes_on(text, end) && !follows_digits(text, start);
    let written = &text[start..end];
    let fits = |region: &Region| !region.is_of_north_america() && !is_date(&groups) && region.writes(&number.digits, &groups, written);
    (is_alone && regions.iter().any(fits)).then_some(end)
}

/// `(415) 555-2671` and similar: three, three and four digits, of which the first two groups begin with neither 0 nor 1, and joined by more
/// than spaces.
fn north_american(text: &str, start: usize, number: &Number, groups: &[usize]) -> Option<usize> {
    let (first, at) = match groups {
        [3, 3, 4, ..] => (0, 2),
        [1, 3, 3, 4, ..] if number.digits[0] == b'1' => (1, 3),
        _ => return None,
    };
    let (_, end) = number.ends[at];
    let written = &text[start..end];
    let fits = number.digits[first] >= b'2' && number.digits[first + 3] >= b'2' && written.contains(['-', '.', ')', '/', '\u{2011}']);
    let is_mixed = written.contains('.') && written.contains(['-', '/', ' ']);
    (fits && !is_mixed && !goes_on(text, end)).then_some(end)
}

fn is_date(groups: &[usize]) -> bool {
    matches!(groups, [1 | 2, 1 | 2, 2 | 4] | [4, 1 | 2, 1 | 2])
}

/// Whether only a space separates a position from digits before it.
fn follows_digits(text: &str, start: usize) -> bool {
    before(text, start) == Some(' ') && before(text, start - 1).is_some_and(|c| c.is_ascii_digit())
}

/// Includes the bracket before it, if it is closed inside.
fn opened(text: &str, bytes: Range<usize>) -> Range<usize> {
    let count = |bracket| text[bytes.clone()].matches(bracket).count();
    if before(text, bytes.start) == Some('(') && count(')') > count('(') { bytes.start - 1..bytes.end } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a table for some regions.
    fn check(codes: &[&str], table: &[(&str, &[&str])]) {
        let regions: Vec<_> = Region::all().filter(|region| codes.contains(&region.code)).collect();
        assert_eq!(regions.len(), codes.len());
        crate::find::check(|text, add| find(text, &regions, add), table);
    }

    #[test]
    fn international_numbers_are_found_anywhere() {
        check(
            &[],
            &[
                ("+14155552671", &["+14155552671"]),
                ("Call +1 (415) 555-2671, or +1-415-555-2671.", &["+1 (415) 555-2671", "+1-415-555-2671"]),
                ("+49 (0)30 1234567 and +49 30/1234567", &["+49 (0)30 1234567", "+49 30/1234567"]),
                ("(+44) 20 7946 0958; (+44 20 7946 0958)", &["(+44) 20 7946 0958", "+44 20 7946 0958"]),
                ("+33 1 23 45 67 89\n+86 138 0013 8000", &["+33 1 23 45 67 89", "+86 138 0013 8000"]),
                ("00 49 30 1234567, 0044-20-7946-0958", &["00 49 30 1234567", "0044-20-7946-0958"]),
                ("tel:+493012345678", &["+493012345678"]),
                ("+372\u{a0}123\u{a0}4567", &["+372\u{a0}123\u{a0}4567"]),
            ],
        );
    }

    #[test]
    fn numbers_behind_a_word_for_phone_are_found_in_any_form() {
        check(
            &[],
            &[
                ("Tel. 5551234", &["5551234"]),
                ("Phone: 030 1234567, FAX 030-1234568", &["030 1234567", "030-1234568"]),
                ("Téléphone : 01 23 45 67 89", &["01 23 45 67 89"]),
                ("mobile=(0171) 1234567", &["(0171) 1234567"]),
            ],
        );
        check(&[], &[("phone 2024-01-02, Tel. 12, hotel 5551234, phone5551234, telephones 5551234", &[])]);
    }

    #[test]
    fn numbers_of_north_america_are_found_there() {
        let table: &[(&str, &[&str])] = &[
            ("(415) 555-2671 or 415-555-2671 or 415.555.2671", &["(415) 555-2671", "415-555-2671", "415.555.2671"]),
            ("1-800-555-0199 x12", &["1-800-555-0199"]),
            ("415-555-2671 2024", &["415-555-2671"]),
            ("212/555-0123", &["212/555-0123"]),
        ];
        check(&["us"], table);
        check(&["ca"], table);
        check(&["de"], &table.iter().map(|(text, _)| (*text, &[] as &[&str])).collect::<Vec<_>>());
        check(
            &["us"],
            &[
                ("4155552671, 415 555 2671, 115-555-2671, 415-155-2671, 415-555-26711, 415-555-2671-9, 9-415-555-2671", &[]),
                ("Clause 252.227-7013, 2024-555-1234, 123-45-6789, 192.168.1.100, 1.415.555.2671.1", &[]),
            ],
        );
    }

    #[test]
    fn numbers_of_other_regions_are_found_there() {
        check(
            &["de"],
            &[
                (
                    "030 1234567, 030/1234567, (030) 123 45 67, 0171-1234567",
                    &["030 1234567", "030/1234567", "(030) 123 45 67", "0171-1234567"],
                ),
                ("030123456 01-02-2024 0-306-40615-2 0123.456.789 17 030 123456 00 12 34 56", &[]),
                ("01 02 03 04 05 06 07 08 09", &[]),
            ],
        );
        check(&["fr"], &[("01 23 45 67 89, 01.23.45.67.89, 01 23 45 67 8", &["01 23 45 67 89", "01.23.45.67.89"])]);
        check(&["gb"], &[("020 7946 0958 and 07700 900123", &["020 7946 0958", "07700 900123"])]);
        check(&["es"], &[("612 34 56 78 and 112 34 56 78", &["612 34 56 78"])]);
    }

    #[test]
    fn non_phone_numbers_are_kept() {
        check(
            &["us", "de", "fr"],
            &[
                ("2026-11-24 12:34:56+01:00, UTC+0100, 20261124T123456Z", &[]),
                ("1 + 12345678, x+14155552671, a++14155552671, +20240101, +1234567", &[]),
                ("version 0.10.2.1234567, RFC 2616, ISO 8601:2004, 3.14159265358979", &[]),
                ("978-3-16-148410-0, 0-306-40615-2, ISSN 2049-3630", &[]),
                ("4111 1111 1111 1111 and DE89 3704 0044 0532 0130 00", &[]),
                ("1,234,567,890.12 and 12 345 678 and 65536 131072 262144", &[]),
                ("0x0012345678, 00000000 00000010 000001e0, #1234567", &[]),
                ("127.0.0.1:8080, 10.0.0.1/24, 2001:db8::1234:5678", &[]),
            ],
        );
    }
}
