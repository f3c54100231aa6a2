//! Errors for people (what and where, why, and what to do next), and exit codes for scripts.

use std::fmt;

/// Exit codes. The numbers follow sysexits.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Weir refused or failed.
    Failed = 1,
    /// The command line is invalid.
    Usage = 64,
    /// The input is invalid.
    BadInput = 65,
    /// A file cannot be read.
    NoInput = 66,
    /// Weir cannot be reached, is full, or did not answer in time.
    Unavailable = 69,
    /// The data folder cannot be used.
    NoFolder = 73,
    /// The gateway requires a token that was not given or is not valid.
    NoPermission = 77,
    /// The settings are invalid.
    Settings = 78,
}

/// Details of what is wrong, each for people and for programs.
pub(crate) type Details = Vec<(String, serde_json::Value)>;

/// An error with its exit code and, if known, the next step.
#[derive(Debug)]
pub(crate) struct Problem {
    /// For scripts.
    pub(crate) exit: Exit,
    /// What went wrong, and where.
    what: String,
    details: Details,
    /// What to do.
    next: Option<String>,
    source: Option<anyhow::Error>,
}

impl Problem {
    /// A problem without cause or next step.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Problem { exit, what: what.into(), details: Vec::new(), next: None, source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub(crate) fn because(mut self, source: impl Into<anyhow::Error>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds details of what is wrong, each for people and for programs.
    #[must_use]
    pub(crate) fn with_details(mut self, details: Details) -> Self {
        self.details = details;
        self
    }

    /// What to do.
    pub(crate) fn next_step(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// Details of what is wrong, for people.
    pub(crate) fn details(&self) -> impl Iterator<Item = &str> {
        self.details.iter().map(|(detail, _)| detail.as_str())
    }

    /// The same, each for people and for programs.
    pub(crate) fn detail_pairs(&self) -> &[(String, serde_json::Value)] {
        &self.details
    }

    /// Adds the next step.
    #[must_use]
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Adds the next step, unless there already is one.
    #[must_use]
    pub(crate) fn or_next(self, next: impl Into<String>) -> Self {
        if self.next.is_some() { self } else { self.next(next) }
    }

    /// Adds advice before the next step.
    #[must_use]
    pub(crate) fn advised(mut self, advice: &str) -> Self {
        self.next = Some(self.next.map_or_else(|| advice.to_owned(), |next| format!("{advice} {next}")));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}
