//! Versioned configuration: the service that keeps it, the client that asks, and the follower that never misses a change.

mod batch;
mod client;
mod components;
mod error;
mod operations;
pub mod protocol;
pub mod records;
mod service;
mod store;
mod topics;
mod watch;

pub use batch::{Batch, MAX_REQUEST_ENTRIES_COUNT, Versioned};
pub use client::ConfigClient;
pub use components::ComponentFolder;
pub use error::{ConfigError, Result};
pub use service::ConfigService;
pub use store::{Applied, Everything, Store};
pub use watch::{Change, Content, Follower, FollowerHandle, FollowerStatus, HandlerId};
