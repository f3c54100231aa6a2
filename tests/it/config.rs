//! The config service, its store and client, and the follower.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bounds;
mod client;
pub(crate) mod fake;
pub(crate) mod faulty;
mod follower;
mod follower_faults;
mod follower_handlers;
mod full_disk;
mod hostile;
mod service;
mod store;
mod supervision;
mod support;
