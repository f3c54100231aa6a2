//! Used by the expansion of macros; not part of the interface.

pub use crate::handler::{handle, no_handler};
#[cfg(not(target_family = "wasm"))]
pub use crate::testing::Processor;
