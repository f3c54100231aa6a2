//! The finding of a check: its grade, what was found, and the next step.

use anstyle::{AnsiColor, Style};

/// How many items of a kind are named; the rest is counted.
const NAMED_COUNT: usize = 5;

/// The grade of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grade {
    /// As it should be.
    Ok,
    /// It works, but needs attention.
    Warn,
    /// It does not work.
    Fail,
    /// It could not be checked.
    Skip,
}

impl Grade {
    pub(super) fn word(self) -> &'static str {
        match self {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Fail => "fail",
            Grade::Skip => "skip",
        }
    }

    pub(super) fn shown(self) -> String {
        let colour = match self {
            Grade::Ok => AnsiColor::Green,
            Grade::Skip => AnsiColor::Blue,
            Grade::Warn => AnsiColor::Yellow,
            Grade::Fail => AnsiColor::Red,
        };
        let style = Style::new().bold().fg_color(Some(colour.into()));
        format!("{style}{:<4}{style:#}", self.word())
    }
}

/// The result of one check.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) grade: Grade,
    pub(super) what: String,
    pub(super) next: Option<String>,
}

/// As it should be.
pub(super) fn ok(check: &'static str, what: impl Into<String>) -> Finding {
    Finding { check, grade: Grade::Ok, what: what.into(), next: None }
}

/// It works, but needs attention.
pub(super) fn warn(check: &'static str, what: impl Into<String>, next: impl Into<String>) -> Finding {
    Finding { check, grade: Grade::Warn, what: what.into(), next: Some(next.into()) }
}

/// It does not work.
pub(super) fn fail(check: &'static str, what: impl Into<String>, next: impl Into<String>) -> Finding {
    Finding { check, grade: Grade::Fail, what: what.into(), next: Some(next.into()) }
}

/// It could not be checked.
pub(super) fn skip(check: &'static str, what: impl Into<String>, next: impl Into<String>) -> Finding {
    Finding { check, grade: Grade::Skip, what: what.into(), next: Some(next.into()) }
}

/// The first items, and the number of further ones.
pub(super) fn some(all: &[String]) -> String {
    let named = all.iter().take(NAMED_COUNT).cloned().collect::<Vec<_>>().join("\n");
    match all.len().saturating_sub(NAMED_COUNT) {
        0 => named,
        more => format!("{named}\nand {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_findings_of_a_kind_are_counted() {
        let all: Vec<String> = (0..7).map(|at| at.to_string()).collect();
        assert_eq!(some(&all), "0\n1\n2\n3\n4\nand 2 more");
        assert_eq!(some(&all[..2]), "0\n1");
    }
}
