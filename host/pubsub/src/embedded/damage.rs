//! Messages that are lost.

use std::path::PathBuf;

use super::log_position::LogPosition;

/// A message whose bytes on the disk are not those that were written.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    pub(crate) position: LogPosition,
    /// The file that it was in.
    pub(crate) path: PathBuf,
    pub(crate) detail: &'static str,
    /// The file that keeps what could be read of it.
    pub(crate) kept_in: Option<PathBuf>,
}
