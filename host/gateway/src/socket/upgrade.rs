//! Upgrades a request to a WebSocket.
//!
//! Written here instead of using axum: there a connection cannot be read any further after a message that is too large, and its sender, which is
//! still writing, would get a broken connection instead of the reason.

use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::FutureExt;
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::connection::Connection;
use crate::error::{GatewayError, Result};
use crate::gateway::Shared;
use crate::metrics::open::What;

/// A request to become a WebSocket.
pub(crate) struct Upgrade {
    key: HeaderValue,
    upgraded: OnUpgrade,
}

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = GatewayError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let refused = |problem: &str| GatewayError::BadField { field: "the request".to_owned(), problem: problem.to_owned() };
        if !names(&parts.headers, &CONNECTION, "upgrade") || !names(&parts.headers, &UPGRADE, "websocket") {
            return Err(refused("this path is a WebSocket: open it with a WebSocket client, using ws:// instead of http://"));
        }
        if !names(&parts.headers, &SEC_WEBSOCKET_VERSION, "13") {
            return Err(refused("`Sec-WebSocket-Version` must be 13"));
        }
        let key = parts.headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| refused("`Sec-WebSocket-Key` is missing"))?.clone();
        let upgraded =
            parts.extensions.remove().ok_or_else(|| refused("this connection cannot be upgraded to a WebSocket: use HTTP/1.1"))?;
        Ok(Upgrade { key, upgraded })
    }
}

/// Whether a header is a list that contains this word.
fn names(headers: &HeaderMap, header: &HeaderName, word: &str) -> bool {
    let mut words = headers.get_all(header).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    words.any(|found| found.trim().eq_ignore_ascii_case(word))
}

impl Upgrade {
    /// Upgrades the request, with messages up to `max_message_bytes`, and executes `run` with it. Fails if too many WebSockets are open.
    pub(crate) fn accept<F, R>(self, gateway: Shared, what: What, max_message_bytes: usize, run: F) -> Result<Response>
    where
        F: FnOnce(Shared, Connection) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let limit_count = gateway.settings.max_sockets_count;
        let slot = gateway.sockets.clone().try_acquire_owned().map_err(|_| GatewayError::TooManySockets { limit_count })?;
        let open = gateway.open.begin(what);
        let accept = derive_accept_key(self.key.as_bytes());
        tokio::spawn(async move {
            // The slot and the count are released when the task ends for any reason.
            let _held = (slot, open);
            match self.upgraded.await {
                Ok(upgraded) => {
                    let connection = Connection::new(upgraded, max_message_bytes, &gateway).await;
                    if AssertUnwindSafe(run(gateway, connection)).catch_unwind().await.is_err() {
                        tracing::error!("socket closed by a bug in Weir");
                    }
                }
                Err(error) => tracing::debug!(error = %weir_pubsub::chain(&error), "upgrade to a WebSocket failed"),
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept.parse().expect("base64 is a value of a header"));
        Ok(response)
    }
}
