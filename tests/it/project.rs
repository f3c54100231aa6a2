//! The commands for authors: `weir new`, `weir build`, `weir test`, on real toolchains.

mod bed;
pub(crate) mod components;
mod dev;
mod fixed;
mod fixtures;
mod granting;
mod languages;
mod missing;
mod replay;
mod rust;
mod soak;
mod suites;
mod toolchains;
mod wrong;
