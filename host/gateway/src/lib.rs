//! The HTTP gateway: the way into a running Weir for people, programs and the command line.
//!
//! It reaches the config and flow services through their queues only. Whoever shows its [`Token`] may use it; where none is set, programs
//! of this machine may, and what comes from a web page or names another host is refused.

mod again;
mod body;
mod budget;
mod connections;
mod dead_letters;
mod dispatch;
mod error;
mod error_answer;
mod exit;
mod flows;
mod gateway;
mod guard;
mod held;
mod hosts;
mod import;
mod line;
mod metrics;
mod openapi;
mod page;
mod pages;
mod passage;
pub mod protocol;
mod pulse;
mod query;
mod room;
mod routes;
mod serve;
mod services;
mod settings;
mod settling;
mod socket;
mod stalled;
mod token;
mod translate;
mod turns;
mod unowned;

pub use error::GatewayError;
pub use gateway::{GatewayParts, Inspect, UnusedCode};
pub use serve::serve;
pub use settings::GatewaySettings;
pub use token::{BadToken, Token};
pub use unowned::warn_of_unowned_queues;
