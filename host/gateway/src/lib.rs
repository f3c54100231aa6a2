//! The HTTP gateway: the way into a running Weir for people, programs and the command line.
//!
//! It reaches the config and flow services through their queues only, and serves this machine only: there are no tokens yet, so what
//! comes from a web page or names another host is refused.

mod body;
mod error;
mod flows;
mod gateway;
mod guard;
mod hosts;
mod import;
mod interfaces;
mod line;
mod metrics;
pub mod protocol;
mod query;
mod routes;
mod serve;
mod services;
mod settings;
mod translate;

pub use error::GatewayError;
pub use gateway::{GatewayParts, Inspect};
pub use serve::serve;
pub use settings::GatewaySettings;
