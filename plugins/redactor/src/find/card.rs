//! Numbers of payment cards.

use super::number::{Number, continues_at, goes_on, starts};
use std::ops::Range;

const DIGITS: Range<usize> = 13..20;

/// Issuers: the range of the first digits, and the permitted lengths of the whole number.
const ISSUERS: &[(&str, &str, &[usize])] = &[
    ("4", "4", &[13, 16, 19]),
    ("51", "55", &[16]),
    ("2221", "2720", &[16]),
    ("34", "34", &[15]),
    ("37", "37", &[15]),
    ("300", "305", &[14, 16]),
    ("36", "36", &[14]),
    ("38", "39", &[14, 16]),
    ("6011", "6011", &[16, 19]),
    ("62", "62", &[16, 17, 18, 19]),
    ("644", "659", &[16, 19]),
    ("3528", "3589", &[16, 17, 18, 19]),
    ("2200", "2204", &[16, 19]),
    ("6304", "6304", &[16, 18, 19]),
    ("6759", "6763", &[16, 18, 19]),
];

pub(super) fn find(text: &str, add: &mut dyn FnMut(Range<usize>)) {
    let mut done = 0;
    for start in starts(text) {
        // No issuer's numbers begin with other digits.
        if start < done || !matches!(text.as_bytes()[start], b'2'..=b'6') || continues_at(text, start) {
            continue;
        }
        if let Some(end) = card(text, start) {
            add(start..end);
            done = end;
        }
    }
}

/// The end of the card number that begins here: the longest one.
fn card(text: &str, start: usize) -> Option<usize> {
    let number = Number::read(text, start, DIGITS.end - 1, |gap| matches!(gap, " " | "-" | "\u{a0}"));
    let groups = number.groups();
    let ends = number.ends.iter().enumerate().rev();
    ends.filter(|(at, (_, end))| is_grouped(&groups[..=*at]) && !goes_on(text, *end))
        .find(|(at, (count, _))| is_issued(&number.digits[..*count], at + 1) && checks(&number.digits[..*count]))
        .map(|(_, (_, end))| *end)
}

/// Whether cards are written in such groups: of four, as Amex and Diners do, or without groups.
fn is_grouped(groups: &[usize]) -> bool {
    match groups {
        [_] | [4, 6, 4 | 5] => true,
        [fours @ .., last] => fours.len() >= 3 && fours.iter().all(|group| *group == 4) && *last <= 4,
        [] => false,
    }
}

/// Longer numbers without groups are more likely 64-bit ids, except for UnionPay's.
fn is_issued(digits: &[u8], groups: usize) -> bool {
    if digits.len() > 16 && groups == 1 && !digits.starts_with(b"62") {
        return false;
    }
    let fits = |(from, to, counts): &(&str, &str, &[usize])| {
        counts.contains(&digits.len()) && (from.as_bytes()..=to.as_bytes()).contains(&&digits[..from.len()])
    };
    ISSUERS.iter().any(fits)
}

/// The Luhn checksum.
fn checks(digits: &[u8]) -> bool {
    let sum: u32 = digits.iter().rev().enumerate().map(|(at, digit)| weighed(at, u32::from(digit - b'0'))).sum();
    sum.is_multiple_of(10)
}

/// A digit's contribution to the sum, counted from the last: every second one is doubled, and then its two digits are added.
fn weighed(at: usize, digit: u32) -> u32 {
    match (at % 2, digit) {
        (0, _) => digit,
        (_, 0..5) => 2 * digit,
        _ => 2 * digit - 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::check;

    #[test]
    fn cards_are_found() {
        check(
            find,
            &[
                ("4111111111111111", &["4111111111111111"]),
                ("Card: 4111 1111 1111 1111 12/27", &["4111 1111 1111 1111"]),
                ("5555-5555-5555-4444, 2223003122003222.", &["5555-5555-5555-4444", "2223003122003222"]),
                ("378282246310005 or 3782 822463 10005", &["378282246310005", "3782 822463 10005"]),
                ("6011111111111117 3530111333300000", &["6011111111111117", "3530111333300000"]),
                ("30569309025904 and 3056 930902 5904", &["30569309025904", "3056 930902 5904"]),
                ("4222222222222", &["4222222222222"]),
                ("No. 12 4111 1111 1111 1111 99", &["4111 1111 1111 1111"]),
                ("(4111\u{a0}1111\u{a0}1111\u{a0}1111)", &["4111\u{a0}1111\u{a0}1111\u{a0}1111"]),
                ("6205500000000000004", &["6205500000000000004"]),
            ],
        );
    }

    #[test]
    fn non_card_numbers_are_kept() {
        check(
            find,
            &[
                ("4111111111111112, a digit is wrong", &[]),
                ("1234567812345670, no issuer", &[]),
                ("411111111111111100000, too long", &[]),
                ("x4111111111111111 4111111111111111x _4111111111111111", &[]),
                ("0.4111111111111111 and 4111111111111111.5 and 12-4111-1111-1111-1111", &[]),
                ("41 11 11 11 11 11 11 11, other groups", &[]),
                ("2001-4111-1111-1111-1111, 4111-1111-1111-1111-5", &[]),
                ("0000000000000000 1700000000000000 4044404959645932768", &[]),
                ("550e8400-e29b-41d4-a716-446655440000", &[]),
            ],
        );
    }
}
