//! The HTTP gateway: the way into a running Weir for people, programs and the command line.
//!
//! It reaches the config and flow services through their queues only. Whoever shows one of its [`Tokens`] may use it as far as the
//! token's [`Scope`] goes; where none is set, programs of this machine may, and what comes from a web page or names another host is refused.

mod again;
mod body;
mod budget;
mod certificate;
mod connections;
mod dead_letters;
mod dispatch;
mod error;
mod error_answer;
mod error_kind;
mod exit;
mod fetching;
mod flows;
mod forwarding;
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
mod paths;
pub mod protocol;
mod pulse;
mod query;
mod remote;
mod room;
mod routes;
mod scope;
mod serve;
mod services;
mod settings;
mod settling;
mod socket;
mod stalled;
mod tls;
mod token;
mod tokens;
mod translate;
mod turns;
mod unowned;

pub use error::GatewayError;
pub use forwarding::{Components, StoreFault};
pub use gateway::{GatewayParts, Inspect, UnusedCode};
pub use remote::{RemoteError, RemoteGateway, TlsFault, TokenReach, Trust};
pub use routes::components::record_deployment;
pub use scope::{NotAScope, Scope};
pub use serve::serve;
pub use settings::GatewaySettings;
pub use tls::{BadIdentity, TlsIdentity, TlsServer, Validity};
pub use token::{BadToken, Token};
pub use tokens::{BadTokens, TokenLine, Tokens, read_tokens};
pub use unowned::warn_of_unowned_queues;
