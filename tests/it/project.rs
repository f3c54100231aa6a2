//! The commands for authors: `weir new`, `weir build`, `weir test`, on real toolchains.

mod bed;
mod dev;
mod fixtures;
mod granting;
mod languages;
mod missing;
mod replay;
mod rust;
mod wrong;
