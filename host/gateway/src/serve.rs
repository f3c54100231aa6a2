//! The paths, and the server behind them.

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error::{GatewayError, Result};
use crate::gateway::{Gateway, GatewayParts, Shared};
use crate::metrics::requests;
use crate::{guard, pages, routes};

/// Serves until the token is cancelled; then takes no more requests, ends the streams, and returns when those under way are done.
///
/// # Errors
/// When the broker cannot be reached at the start, or the topicspace is no part of a topic.
///
/// # Cancel safety
/// Dropping the future ends the server at once; what it had accepted of an import is stored or not.
pub async fn serve(listener: TcpListener, parts: GatewayParts, token: CancellationToken) -> Result<()> {
    let (gateway, reports) = Gateway::connect(parts, token.clone()).await?;
    let hosts = gateway.hosts.listen(reports, token.clone());
    let server = axum::serve(listener, router(gateway.clone())).with_graceful_shutdown(token.clone().cancelled_owned());
    let (served, ()) = tokio::join!(server, hosts);
    served.map_err(|_| GatewayError::Broken { what: "the server" })
}

fn router(gateway: Shared) -> Router {
    Router::new()
        .route("/healthz", get(routes::health::healthz))
        .route("/readyz", get(routes::health::readyz))
        .route("/metrics", get(routes::metrics::get))
        .route("/api/v1/config", post(routes::services::config))
        .route("/api/v1/flow", post(routes::services::flow))
        .route("/api/v1/flow/{flow}/service/{interface}", post(routes::interface::post))
        .route("/api/v1/weir/components", post(routes::components::post))
        .route("/api/v1/weir/components/{digest}", get(routes::components::get))
        .route("/api/v1/weir/status", get(routes::status::get))
        .route("/api/v1/weir/queues", get(routes::queues::get))
        .route("/api/v1/weir/flows/{flow}/exits/{interface}", get(routes::exits::get))
        .route("/api/v1/weir/flows/{flow}/taps/{interface}", get(routes::taps::get))
        .route("/api/v1/weir/flows/{flow}/interfaces/{interface}/messages", post(routes::import::post))
        .route("/api/v1/weir/flows/{flow}/interfaces/{interface}/requests", post(routes::requests::post))
        .route("/api/v1/weir/dead-letters", get(routes::dead_letters::get))
        .route("/api/v1/weir/dead-letters/{letter}", get(routes::dead_letters::whole))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_path)
        .layer(from_fn_with_state(gateway.clone(), guard::allowed))
        .layer(from_fn_with_state(gateway.clone(), pages::readable))
        // Outermost: what the guard refuses is counted too.
        .layer(from_fn_with_state(gateway.clone(), requests::count))
        .with_state(gateway)
}

async fn unknown_path(method: Method, request: Request) -> GatewayError {
    GatewayError::UnknownPath { method: method.to_string(), path: request.uri().path().chars().take(200).collect() }
}
