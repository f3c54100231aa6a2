//! The settings file: TOML without unknown names.

use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::definition::Definition;
use super::fault::{Fault, Place};
use super::kind::Value;
use super::list;
use weir_pubsub::nearest;

/// The contents of a file: the settings with the line of each, and all faults.
pub(super) struct Found {
    pub(super) values: Vec<(&'static Definition, Value, Place)>,
    pub(super) faults: Vec<Fault>,
}

/// Parses a settings file.
pub(super) fn read(path: &Path, text: &str) -> Found {
    let mut reader = Reader { path, text, found: Found { values: Vec::new(), faults: Vec::new() } };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        reader.fault(&error.span().unwrap_or(0..0), None, error.message().to_owned(), None);
    }
    // On lines that are not valid TOML, further faults are meaningless.
    let broken: Vec<usize> = reader.found.faults.iter().map(Fault::line).collect();
    let read = reader.found.faults.len();
    for (key, value) in document.get_ref() {
        let (key_span, span) = (key.span(), value.span());
        match value.get_ref() {
            DeValue::Table(table) => reader.section(key.get_ref(), &key_span, table),
            value => reader.setting(key.get_ref(), &key_span, value, &span),
        }
    }
    let Found { values, mut faults } = reader.found;
    let mut at = 0;
    faults.retain(|fault| {
        at += 1;
        at <= read || !broken.contains(&fault.line())
    });
    faults.sort_by_key(Fault::line);
    Found { values, faults }
}

struct Reader<'f> {
    path: &'f Path,
    text: &'f str,
    found: Found,
}

impl Reader<'_> {
    fn section(&mut self, section: &str, span: &Range<usize>, table: &DeTable<'_>) {
        let mut known = list::all().filter_map(Definition::section);
        if known.clone().all(|name| name != section) {
            let meant = nearest(section, known.by_ref());
            let problem = match (meant, list::find(section)) {
                (_, Some(_)) => "is a setting, not a section".to_owned(),
                (Some(name), None) => format!("there is no such section; did you mean [{name}]?"),
                (None, None) => "there is no such section".to_owned(),
            };
            return self.fault(span, Some(section), problem, Some(sections()));
        }
        for (key, value) in table {
            self.setting(&format!("{section}.{}", key.get_ref()), &key.span(), value.get_ref(), &value.span());
        }
    }

    fn setting(&mut self, name: &str, name_span: &Range<usize>, value: &DeValue<'_>, span: &Range<usize>) {
        let Some(definition) = list::find(name) else {
            return self.fault(name_span, Some(name), unknown(name), None);
        };
        let value = match value {
            DeValue::String(text) => definition.kind.read(text),
            DeValue::Integer(number) => match u64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => definition.kind.read_number(number),
                Err(_) => Err(format!("{number} is out of range")),
            },
            other => Err(format!("is {}", kind_of(other))),
        };
        match value {
            Ok(value) => {
                let place = self.place(span);
                self.found.values.push((definition, value, place));
            }
            Err(problem) => self.fault(span, Some(name), problem, Some(definition.kind.allowed())),
        }
    }

    fn fault(&mut self, span: &Range<usize>, field: Option<&str>, problem: String, allowed: Option<String>) {
        let place = self.place(span);
        self.found.faults.push(Fault { place, field: field.map(str::to_owned), problem, allowed });
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let before = &self.text[..self.text.floor_char_boundary(span.start)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Place::File { path: self.path.to_owned(), line, column }
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

fn sections() -> String {
    let mut names: Vec<String> = list::all().filter_map(Definition::section).map(|name| format!("[{name}]")).collect();
    names.dedup();
    names.join(", ")
}

/// The problem with an unknown name, and the name that was probably meant.
pub(super) fn unknown(name: &str) -> String {
    let key = name.rsplit('.').next().unwrap_or(name);
    // The same name in another section is preferred to similar names.
    let mut elsewhere = list::all().filter(|definition| definition.key() == key).map(|definition| definition.name);
    let only = elsewhere.next().filter(|_| elsewhere.next().is_none());
    match only.or_else(|| nearest(name, list::all().map(|definition| definition.name))) {
        Some(meant) => format!("there is no such setting; did you mean {meant}?"),
        None => "there is no such setting; weir settings show lists them".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found = read(Path::new("f"), text);
        assert_eq!(found.faults.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn each_fault_has_its_line_and_column() {
        check("", &[]);
        check(
            "grace = \"5s\"\n[gateway]\nmax-body = \"1MiB\"\ngateway.x = 1\n",
            &["f, line 4, column 1: gateway.gateway: there is no such setting; weir settings show lists them"],
        );
        check(
            "gracee = \"5s\"\n\n[gatway]\nmax-body = 1\n[broker]\n  cache = 64\n  disk-reserve-percent = \"5\"\n  segment = true",
            &[
                "f, line 1, column 1: gracee: there is no such setting; did you mean grace?",
                "f, line 3, column 2: gatway: there is no such section; did you mean [gateway]?; allowed: [log], [host], [gateway], [broker], [flow], [dead-letters], [component], [retry]",
                "f, line 6, column 11: broker.cache: 64 has no unit; allowed: a size from 1MiB to 1TiB",
                "f, line 8, column 13: broker.segment: is true or false; allowed: a size from 1MiB to 1GiB",
            ],
        );
        check("gateway.listen = \"::1\"", &["f, line 1, column 9: gateway.listen: there is no such setting; did you mean listen?"]);
        check("max-body = \"1MiB\"", &["f, line 1, column 1: max-body: there is no such setting; did you mean gateway.max-body?"]);
        check(
            "[grace]\na = 1",
            &[
                "f, line 1, column 2: grace: is a setting, not a section; allowed: [log], [host], [gateway], [broker], [flow], [dead-letters], [component], [retry]",
            ],
        );
    }

    #[test]
    fn invalid_toml_hides_no_other_fault_and_causes_none() {
        let found = read(Path::new("f"), "grace = \nlisten = \"0.0.0.0\"\n[broker\ncache = \"1GB\"\n");
        let lines: Vec<usize> = found.faults.iter().map(Fault::line).collect();
        assert!(lines.contains(&1) && lines.contains(&2) && lines.contains(&3), "{:?}", found.faults);
        assert_eq!(lines.iter().filter(|line| **line == 1).count(), 1, "{:?}", found.faults);
    }

    #[test]
    fn arbitrary_files_never_panic() {
        for text in
            ["\u{feff}grace = 1", "ä = 1\nb = \"ö", "a.b.c.d = 1", "= = =", "[[gateway]]\nmax-body = 1", "grace = -99999999999999999999"]
        {
            assert!(!read(Path::new("f"), text).faults.is_empty(), "{text}");
        }
    }
}
