//! Versioned configuration: the service that stores it, its client, and the follower that never misses a change.
//!
//! ```
//! use std::sync::Arc;
//!
//! use tokio_util::sync::CancellationToken;
//! use weir_config::{Batch, Change, ConfigClient, ConfigService, Follower, Store};
//! use weir_pubsub::Backend;
//!
//! # async fn example(backend: Arc<dyn Backend>, folder: &std::path::Path) -> weir_config::Result<()> {
//! let store = Store::open(&folder.join("config.sqlite")).await?;
//! let service = ConfigService::start(backend.clone(), "tg", store).await?;
//!
//! let client = ConfigClient::connect(backend.clone(), "tg").await?;
//! client.apply(Batch::new().put("prompt", "greeting", "\"hello\"").on_condition("prompt", "greeting", None)).await?;
//!
//! let follower = Follower::new(backend, "tg", client)?.on(["prompt"], |change: Change| async move {
//!     let greeting = change.get("prompt", "greeting").ok_or("there is no greeting")?;
//!     println!("{greeting} as of version {}", change.version);
//!     Ok(())
//! });
//! let token = CancellationToken::new();
//! let following = tokio::spawn(follower.run(token.clone()));
//! # token.cancel();
//! # following.await.expect("no panic");
//! service.stop().await;
//! # Ok(())
//! # }
//! ```

mod batch;
mod client;
mod components;
mod error;
pub mod names;
mod operations;
pub mod protocol;
pub mod records;
mod service;
mod size;
mod store;
mod topics;
pub mod units;
mod watch;

pub use batch::{Batch, MAX_REQUEST_ENTRIES_COUNT, Versioned};
pub use client::ConfigClient;
pub use components::{
    ComponentBytes, ComponentFolder, ComponentSource, Incoming, RemoteComponents, RemoteFault, StoredComponent, UnusedFile, remove_unused,
    unused_files,
};
pub use error::{ConfigError, DISK_FULL, Result, WrongBytes};
pub use service::ConfigService;
pub use size::Capacity;
pub use store::{Applied, Everything, Store};
pub use watch::{Change, Content, Follower, FollowerHandle, FollowerStatus, HandlerId};
