//! The commands for authors: `weir new`, `weir build`, `weir test`, on real toolchains.

pub(crate) mod components;
mod dev;
mod fixed;
mod fixtures;
mod granting;
mod invalid;
mod languages;
mod missing;
mod project_fixture;
mod replay;
mod rust;
mod soak;
mod suites;
mod toolchains;
