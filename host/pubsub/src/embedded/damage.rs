//! Damaged messages.

use std::path::PathBuf;

use super::log_position::LogPosition;

/// A message whose bytes on disk differ from those written.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    pub(crate) position: LogPosition,
    /// The segment file.
    pub(crate) path: PathBuf,
    pub(crate) detail: &'static str,
    /// The file with the readable part, if it was kept.
    pub(crate) kept_in: Option<PathBuf>,
}
