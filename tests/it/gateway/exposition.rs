//! A strict parser of the Prometheus text format: any violation of the format fails the test.

use std::collections::{BTreeMap, BTreeSet};

type Labels = BTreeMap<String, String>;

/// The result of a scrape.
pub(super) struct Exposition {
    families: BTreeMap<String, Family>,
}

pub(super) struct Family {
    pub(super) kind: String,
    samples: Vec<(String, Labels, f64)>,
}

impl Exposition {
    pub(super) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut current: Option<(String, Family)> = None;
        let mut help: Option<String> = None;
        let mut close = |family: Option<(String, Family)>| {
            let Some((name, family)) = family else { return };
            family.check(&name);
            assert!(families.insert(name.clone(), family).is_none(), "{name} comes twice");
        };
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                close(current.take());
                let (name, words) = rest.split_once(' ').unwrap_or_else(|| panic!("no words: {line}"));
                assert!(!words.is_empty() && help.replace(name.to_owned()).is_none(), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                assert_eq!(help.take().as_deref(), Some(name), "the help comes before the type: {line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                current = Some((name.to_owned(), Family { kind: kind.to_owned(), samples: Vec::new() }));
            } else {
                let (name, family) = current.as_mut().unwrap_or_else(|| panic!("a sample outside of a family: {line}"));
                let sample = sample(line);
                let suffixes: &[&str] = if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(suffixes.iter().any(|suffix| sample.0 == format!("{name}{suffix}")), "{line} is none of {name}");
                family.samples.push(sample);
            }
        }
        close(current);
        Exposition { families }
    }

    pub(super) fn families(&self) -> impl Iterator<Item = (&str, &Family)> {
        self.families.iter().map(|(name, family)| (name.as_str(), family))
    }

    /// The value of the one sample that has these labels, possibly among others; `None` without such a sample.
    pub(super) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.all(name, labels);
        let first = found.next().map(|(_, value)| value);
        assert!(found.next().is_none(), "{name} {labels:?} is not one sample");
        first
    }

    /// All samples that have these labels.
    pub(super) fn all<'a>(&'a self, name: &'a str, labels: &'a [(&str, &str)]) -> impl Iterator<Item = (&'a Labels, f64)> {
        let suffix = move |family: &str| name.strip_prefix(family).is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest));
        let samples = self.families.iter().filter(move |(family, _)| suffix(family)).flat_map(|(_, family)| &family.samples);
        let has = move |of: &Labels| labels.iter().all(|(label, value)| of.get(*label).is_some_and(|found| found == value));
        samples.filter(move |(found, of, _)| found == name && has(of)).map(|(_, labels, value)| (labels, *value))
    }
}

impl Family {
    fn check(&self, name: &str) {
        assert!(is_name(name) && name.starts_with("weir_"), "{name}");
        assert_eq!(self.kind == "counter", name.ends_with("_total"), "{name} is a {}", self.kind);
        let mut seen = BTreeSet::new();
        for (sample, labels, value) in &self.samples {
            assert!(seen.insert((sample, labels)), "{sample} {labels:?} comes twice");
            assert!(self.kind == "gauge" || *value >= 0.0, "{sample} {labels:?} is {value}");
        }
        for (sample, labels, value) in self.samples.iter().filter(|(sample, ..)| sample.ends_with("_count")) {
            self.check_buckets(sample.trim_end_matches("_count"), labels, *value);
        }
    }

    fn check_buckets(&self, name: &str, labels: &Labels, count: f64) {
        let of = |suffix: &str| self.samples.iter().filter(move |(sample, ..)| *sample == format!("{name}{suffix}")).collect::<Vec<_>>();
        assert_eq!(of("_sum").iter().filter(|(_, found, _)| found == labels).count(), 1, "{name} {labels:?} has no sum");
        let mut before = (f64::NEG_INFINITY, 0.0);
        for (_, found, value) in of("_bucket") {
            let mut found = found.clone();
            let end = number(&found.remove("le").unwrap_or_else(|| panic!("a bucket without an end: {name}")));
            if found == *labels {
                assert!(end > before.0 && *value >= before.1, "{name} {labels:?}: {value} up to {end} after {before:?}");
                before = (end, *value);
            }
        }
        assert_eq!(before, (f64::INFINITY, count), "{name} {labels:?}: the last bucket holds all");
    }
}

fn is_name(text: &str) -> bool {
    let begins = text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    begins && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn number(text: &str) -> f64 {
    if text == "+Inf" { f64::INFINITY } else { text.parse().unwrap_or_else(|_| panic!("no number: {text}")) }
}

fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no sample: {line}"));
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, quoted) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
            assert!(is_name(label) && !label.starts_with("__"), "{line}");
            let (value, behind) = unquoted(quoted).unwrap_or_else(|| panic!("no value of {label}: {line}"));
            assert!(labels.insert(label.to_owned(), value).is_none(), "{label} comes twice: {line}");
            rest = &behind[1..];
            match behind.as_bytes()[0] {
                b',' => {}
                b'}' => break,
                _ => panic!("no end of {label}: {line}"),
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("no value: {line}"));
    (name.to_owned(), labels, number(value))
}

/// The value up to its closing quotation mark, and the text after it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' if at + 1 < text.len() => return Some((value, &text[at + 1..])),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                _ => return None,
            }),
            letter => value.push(letter),
        }
    }
    None
}
