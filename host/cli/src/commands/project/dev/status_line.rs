//! The lines in which `weir dev` reports its progress.

use crate::output;
use crate::problem::{Exit, Problem};

/// Prints a line.
pub(super) fn print_status(line: &str) -> Result<(), Problem> {
    output::line(line).map_err(unwritten)
}

/// The problem of output that cannot be written.
pub(super) fn unwritten(error: std::io::Error) -> Problem {
    Problem::new(Exit::Failed, "the output cannot be written").because(error)
}
