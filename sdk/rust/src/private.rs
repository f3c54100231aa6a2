//! What the macros expand to; no part of the interface.

pub use crate::handler::{check_handler, check_setup, handle, no_handler};
