//! Standard output: tables for people, JSON for programs.

use std::io::{self, Write};

use anstyle::Style;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde::Serialize;

/// Limits of a table cell, in columns: longer text is cut first, and no column becomes narrower.
const MAX_CELL: usize = 200;
const MIN_CELL: usize = 6;

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Tables and sentences.
    Text,
    /// JSON.
    Json,
}

/// Prints a value as JSON over several lines.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    line(&text)
}

/// Prints a line.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{text}")
}

/// Prints a heading.
pub(crate) fn heading(text: &str) -> io::Result<()> {
    line(&bold(text))
}

/// Text in bold; printing strips this if colours are off.
pub(crate) fn bold(text: &str) -> String {
    let bold = Style::new().bold();
    format!("{bold}{text}{bold:#}")
}

/// The width of tables in columns: that of the terminal, otherwise 100.
pub(crate) fn width() -> usize {
    match terminal_size::terminal_size_of(io::stdout()) {
        Some((terminal_size::Width(columns), _)) => columns.into(),
        None => 100,
    }
}

/// A table of at most this width: text that is too long loses its middle, as both ends are more informative.
pub(crate) fn fitted(headings: &[&str], numbers: &[usize], mut rows: Vec<Vec<String>>, width: usize) -> String {
    for row in &mut rows {
        row.iter_mut().for_each(|cell| *cell = cut(cell, MAX_CELL));
    }
    let length = |text: &str| text.chars().count();
    let of_column = |at: usize| rows.iter().map(|row| length(&row[at])).chain([length(headings[at])]).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..headings.len()).map(of_column).collect();
    let room = width.saturating_sub(2 * headings.len().saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        let can_give = |at: &usize| !numbers.contains(at) && widths[*at] > length(headings[*at]).max(MIN_CELL);
        let Some(widest) = (0..headings.len()).filter(can_give).max_by_key(|at| widths[*at]) else { break };
        widths[widest] -= 1;
    }
    for row in &mut rows {
        row.iter_mut().zip(&widths).for_each(|(cell, width)| *cell = cut_middle(cell, *width));
    }
    table(headings, numbers, rows)
}

fn cut_middle(text: &str, length: usize) -> String {
    let count = text.chars().count();
    if count <= length {
        return text.to_owned();
    }
    let kept = length.saturating_sub(3);
    let (head, tail) = (kept / 2, kept - kept / 2);
    text.chars().take(head).chain("...".chars()).chain(text.chars().skip(count - tail)).collect()
}

/// A label followed by text of several aligned lines, without control characters.
pub(crate) fn block(label: &str, text: &str) -> String {
    let clean = |line: &str| line.replace('\t', "    ").chars().filter(|c| !c.is_control()).collect::<String>();
    let lines: Vec<String> = text.trim_end().lines().map(clean).collect();
    format!("{label}{}", lines.join(&format!("\n{}", " ".repeat(label.len()))))
}

/// Wraps a line of text to this width, with each line indented.
pub(crate) fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let room = width.saturating_sub(indent.len()).max(MIN_CELL);
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        // Words wider than a line are broken.
        let mut rest: Vec<char> = word.chars().collect();
        while !rest.is_empty() {
            let part: String = rest.drain(..rest.len().min(room)).collect();
            match lines.last_mut() {
                Some(line) if line.is_empty() => line.push_str(&part),
                Some(line) if line.chars().count() + 1 + part.chars().count() <= room => {
                    line.push(' ');
                    line.push_str(&part);
                }
                _ => lines.push(part),
            }
        }
    }
    lines.iter().map(|line| format!("{indent}{line}")).collect::<Vec<_>>().join("\n")
}

/// A table without borders, with numbers right-aligned.
pub(crate) fn table(headings: &[&str], numbers: &[usize], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers.contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A number with commas as thousands separators.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A size that the broker may not know.
pub(crate) fn size_if_known(bytes: Option<u64>) -> String {
    bytes.map_or_else(unknown, size)
}

/// A number that the broker may not know.
pub(crate) fn number_if_known(count: Option<u64>) -> String {
    count.map_or_else(unknown, number)
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// A size in the unit that fits.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A time limit: in seconds if it is a whole number of seconds.
pub(crate) fn time_limit(ms: u64) -> String {
    if ms.is_multiple_of(1000) { format!("{} s", number(ms / 1000)) } else { format!("{} ms", number(ms)) }
}

/// How long ago something was.
pub(crate) fn age(milliseconds: u64) -> String {
    match milliseconds / 1000 {
        seconds if seconds < 120 => format!("{seconds} s"),
        seconds if seconds < 7_200 => format!("{} min", seconds / 60),
        seconds if seconds < 172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// A time in UTC in the format of RFC 3339, in whole seconds; from milliseconds since 1970.
pub(crate) fn utc(ms: u64) -> String {
    let (days, seconds) = (ms / 86_400_000, ms / 1000 % 86_400);
    // Days are counted from 0000-03-01, so that a leap day is the last of its year; 400 years always have the same length.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year_of_era + era * 400 + next_year;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Text on one line, cut to a length, without control characters.
pub(crate) fn cut(text: &str, length: usize) -> String {
    let clean: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).collect();
    if clean.chars().count() <= length {
        return clean;
    }
    clean.chars().take(length.saturating_sub(3)).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_formatted_for_people() {
        assert_eq!((number(0), number(999), number(1_234_567)), ("0".into(), "999".into(), "1,234,567".into()));
        assert_eq!((size(1023), size(1024), size(5 << 20)), ("1023 B".into(), "1.0 KiB".into(), "5.0 MiB".into()));
        assert_eq!((age(1_500), age(180_000), age(7_200_000)), ("1 s".into(), "3 min".into(), "2 h".into()));
        assert_eq!((utc(0), utc(951_827_696_789)), ("1970-01-01T00:00:00Z".into(), "2000-02-29T12:34:56Z".into()));
        assert_eq!((utc(1_795_876_703_000), utc(4_107_542_399_000)), ("2026-11-28T14:38:23Z".into(), "2100-02-28T23:59:59Z".into()));
        assert_eq!(cut("a\u{1b}[31m b\n c", 20), "a[31m b c");
        assert_eq!(cut("abcdefgh", 6), "abc...");
    }

    #[test]
    fn wide_text_loses_its_middle_and_numbers_stay_complete() {
        let rows = vec![vec!["a-long-name@1.2.3".to_owned(), "1,000,000".to_owned()], vec!["b".to_owned(), "1".to_owned()]];
        let expected = ["runs               count", "a-lon...1.2.3  1,000,000", "b                      1"].join("\n");
        assert_eq!(fitted(&["runs", "count"], &[1], rows.clone(), 24), expected);
        assert_eq!(fitted(&["runs", "count"], &[1], rows, 5).lines().nth(1), Some("a....3  1,000,000"));
    }

    #[test]
    fn long_lines_are_wrapped_at_words() {
        assert_eq!(wrapped("one two three", "  ", 10), "  one two\n  three");
        assert_eq!(wrapped("abcdefghijk l", "", 8), "abcdefgh\nijk l");
        assert_eq!(wrapped("", "  ", 8), "  ");
        assert_eq!(block("a: ", "b\n\tc\u{1b}[m\n"), "a: b\n       c[m");
    }

    #[test]
    fn a_table_has_no_borders_and_right_aligned_numbers() {
        let rows = vec![vec!["a".to_owned(), "1".to_owned()], vec!["long name".to_owned(), "1,000".to_owned()]];
        assert_eq!(table(&["name", "count"], &[1], rows), "name       count\na              1\nlong name  1,000");
    }
}
