//! The HTTP gateway: the interface of a running Weir for people, programs and the command line.
//!
//! It reaches the config and flow services only through their queues. A client that presents one of its [`Tokens`] may use it within the token's
//! [`Scope`]; without tokens, programs on this machine may use it, and requests from web pages or to other hosts are refused.
//!
//! ```
//! use std::sync::Arc;
//!
//! use tokio::net::TcpListener;
//! use tokio_util::sync::CancellationToken;
//! use weir_config::{ComponentFolder, ConfigClient};
//! use weir_gateway::{GatewayParts, GatewaySettings};
//! use weir_pubsub::Backend;
//! use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let temporary = tempfile::tempdir()?;
//! # let folder = temporary.path();
//! let backend: Arc<dyn Backend> = EmbeddedBroker::open(&folder.join("queues"), EmbeddedOptions::default())?;
//! let parts = GatewayParts {
//!     config: ConfigClient::connect(backend.clone(), "tg").await?,
//!     backend,
//!     components: ComponentFolder::new(folder.join("components")).into(),
//! // `weir up` checks components with `weir_runtime::Checker`; this gateway accepts none.
//!     inspect: Arc::new(|_, _| Err("no components are deployed here".to_owned())),
//!     defaults: Default::default(),
//!     unused_code: Arc::new(|_| Ok(Vec::new())),
//!     topicspace: "tg".to_owned(),
//!     contract: "0.1.0",
//!     dropped_log_lines: || 0,
//!     settings: GatewaySettings::default(),
//! };
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! let stop = CancellationToken::new();
//! let serving = tokio::spawn(weir_gateway::serve(listener, parts, stop.clone()));
//!
//! // It serves although no service is running yet; `/readyz` reports what is missing.
//! let client = reqwest::Client::builder().no_proxy().build()?;
//! assert!(client.get(format!("http://{address}/healthz")).send().await?.status().is_success());
//! assert_eq!(client.get(format!("http://{address}/nothing")).send().await?.status(), 404);
//!
//! stop.cancel();
//! serving.await??;
//! # Ok(())
//! # }
//! ```

mod activity;
mod admission;
mod api_page;
mod body;
mod budget;
mod caller;
mod certificate;
mod connections;
mod cors;
mod dead_letters;
mod dispatch;
mod error;
mod error_response;
mod error_status;
mod exit;
mod fetching;
mod flows;
mod forwarding;
mod gateway;
mod guard;
mod hosts;
mod import;
mod message_json;
mod metrics;
mod middleware;
mod ndjson;
mod openapi;
mod paths;
pub mod protocol;
mod query;
mod reader_backoff;
mod remote;
mod request_share;
mod routes;
mod scope;
mod serve;
mod services;
mod settings;
mod settling;
mod socket;
mod store_fault;
mod store_lock;
mod tls;
mod token;
mod tokens;
mod translate;
mod unowned;
mod unread_timeout;

pub use error::GatewayError;
pub use forwarding::Components;
pub use gateway::{ComponentCheck, GatewayParts, UnusedCode};
pub use remote::{RemoteError, RemoteGateway, TlsFault, TokenReach, Trust};
pub use routes::components::record_deployment;
pub use scope::{NotAScope, Scope};
pub use serve::serve;
pub use settings::GatewaySettings;
pub use store_fault::StoreFault;
pub use tls::{BadIdentity, TlsIdentity, TlsServer, Validity};
pub use token::{BadToken, Token};
pub use tokens::{BadTokens, TokenLine, Tokens, read_tokens};
pub use unowned::warn_of_unowned_queues;
