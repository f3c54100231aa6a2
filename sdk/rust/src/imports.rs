//! The functions that the contract imports: in a component those of its host, elsewhere those of the test kit.

#[cfg(target_family = "wasm")]
pub(crate) use crate::bindings::base::weir::processor::{config, context, log, messaging};
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::imports::{config, context, log, messaging};
