//! All faults in the settings, reported at once, each with its place.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::problem::{Exit, Problem};

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a settings file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// In this environment variable.
    Environment(String),
    /// In this flag on the command line.
    Flag(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { path, line, column } => write!(f, "{}, line {line}, column {column}", path.display()),
            Place::Environment(name) => write!(f, "environment, {name}"),
            Place::Flag(flag) => write!(f, "command line, {flag}"),
        }
    }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(super) place: Place,
    /// The setting; `None` if a line is not a setting.
    pub(super) field: Option<String>,
    /// What is wrong, and what was probably meant.
    pub(super) problem: String,
    pub(super) allowed: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.problem)?;
        match &self.allowed {
            Some(allowed) => write!(f, "; allowed: {allowed}"),
            None => Ok(()),
        }
    }
}

impl Fault {
    /// The line of the file; 0 if not in a file.
    pub(super) fn line(&self) -> usize {
        if let Place::File { line, .. } = self.place { line } else { 0 }
    }

    fn to_json(&self) -> Value {
        let mut fields = json!({"field": self.field, "problem": self.problem, "allowed": self.allowed});
        match &self.place {
            Place::File { path, line, column } => {
                (fields["file"], fields["line"], fields["column"]) = (json!(path.display().to_string()), json!(line), json!(column));
            }
            Place::Environment(name) => fields["variable"] = json!(name),
            Place::Flag(flag) => fields["flag"] = json!(flag),
        }
        fields
    }
}

/// All faults as one problem: wrong usage if only flags are wrong, otherwise wrong settings.
pub(super) fn problem(faults: &[Fault]) -> Problem {
    let of_flags_alone = faults.iter().all(|fault| matches!(fault.place, Place::Flag(_)));
    let exit = if of_flags_alone { Exit::Usage } else { Exit::Settings };
    let what = match faults.len() {
        1 => "invalid setting".to_owned(),
        count => format!("{count} invalid settings"),
    };
    let details = faults.iter().map(|fault| (fault.to_string(), fault.to_json())).collect();
    Problem::new(exit, what)
        .with_details(details)
        .next("fix them, then run `weir settings show`; docs/operating.md describes every setting")
}
