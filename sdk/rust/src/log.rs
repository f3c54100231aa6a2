//! The log. Lines automatically carry processor, flow, component and message; output to stdout and stderr is logged too.
//!
//! ```
//! use weir::{Text, log};
//!
//! fn count(Text(text): Text) {
//!     log::info("text seen").with("bytes", text.len()).write();
//!     if text.is_empty() {
//!         log::warn("the text is empty").write();
//!     }
//! }
//!
//! weir::processor!(count);
//! ```

use crate::imports::log;
use std::fmt::Display;

pub use crate::bindings::base::weir::processor::log::Level;

/// A line under construction: nothing is logged before [`Line::write`], and nothing is formatted if lines of this level are not logged.
#[derive(Debug)]
#[must_use = "a line is logged by `write`"]
pub struct Line<'a> {
    level: Level,
    message: &'a str,
    /// `None` if the line is not logged.
    fields: Option<Vec<(String, String)>>,
}

impl Line<'_> {
    /// Adds a field.
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        if let Some(fields) = &mut self.fields {
            fields.push((name.to_owned(), value.to_string()));
        }
        self
    }

    /// Logs the line.
    pub fn write(self) {
        if let Some(fields) = self.fields {
            log::write(self.level, self.message, &fields);
        }
    }
}

/// A line with a level.
pub fn line(level: Level, message: &str) -> Line<'_> {
    Line { level, message, fields: log::enabled(level).then(Vec::new) }
}

/// A line for following every step.
pub fn trace(message: &str) -> Line<'_> {
    line(Level::Trace, message)
}

/// A line for debugging.
pub fn debug(message: &str) -> Line<'_> {
    line(Level::Debug, message)
}

/// A line about an event.
pub fn info(message: &str) -> Line<'_> {
    line(Level::Info, message)
}

/// A line about a problem that did no harm.
pub fn warn(message: &str) -> Line<'_> {
    line(Level::Warn, message)
}

/// A line about a problem that needs attention.
pub fn error(message: &str) -> Line<'_> {
    line(Level::Error, message)
}
