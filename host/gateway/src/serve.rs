//! The paths, and the server behind them.

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::{GatewayError, Result};
use crate::gateway::{Gateway, GatewayParts, Shared};
use crate::{connections, passage, routes};

/// Serves until the token is cancelled; then takes no more requests, ends the streams, and returns when those under way are done.
///
/// # Errors
/// When the broker cannot be reached at the start, or the topicspace is no part of a topic. The services need not be there: until they are,
/// requests are told so, and the flows are read as soon as the config service answers.
///
/// # Cancel safety
/// Dropping the future ends the server at once; what it had accepted of an import is stored or not.
pub async fn serve(listener: TcpListener, parts: GatewayParts, token: CancellationToken) -> Result<()> {
    let (gateway, heard) = Gateway::connect(parts, token.clone()).await?;
    let hosts = heard.reports.listen(&gateway.hosts, token.clone());
    let flows = heard.follower.run(token.clone());
    let server = connections::serve(listener, router(gateway.clone()), &gateway.settings, &token);
    tokio::join!(server, hosts, flows);
    // WebSockets are no part of the server any more. Each gives its place back when it has ended.
    let _ = gateway.sockets.acquire_many(gateway.settings.max_sockets_count as u32).await;
    Ok(())
}

/// Every path, with what the OpenAPI document says of it: a path that is not described cannot be added here.
pub(crate) fn paths() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(routes::health::healthz))
        .routes(routes!(routes::health::readyz))
        .routes(routes!(routes::metrics::get))
        .routes(routes!(routes::services::config))
        .routes(routes!(routes::services::flow))
        .routes(routes!(routes::interface::post))
        .routes(routes!(routes::socket::get))
        .routes(routes!(routes::import_stream::get))
        .routes(routes!(routes::export_stream::get))
        .routes(routes!(routes::components::post))
        .routes(routes!(routes::components::get))
        .routes(routes!(routes::deployments::get))
        .routes(routes!(routes::removal::remove))
        .routes(routes!(routes::removal::prune))
        .routes(routes!(routes::status::get))
        .routes(routes!(routes::queues::get))
        .routes(routes!(routes::exits::take))
        .routes(routes!(routes::exits::acknowledge))
        .routes(routes!(routes::taps::get))
        .routes(routes!(routes::import::post))
        .routes(routes!(routes::requests::post))
        .routes(routes!(routes::dead_letters::get))
        .routes(routes!(routes::dead_letters::whole))
        .routes(routes!(routes::redrive::redrive))
        .routes(routes!(routes::redrive::delete))
        .routes(routes!(routes::documents::openapi))
        .routes(routes!(routes::documents::docs))
        .routes(routes!(routes::documents::front))
}

fn router(gateway: Shared) -> Router {
    Router::from(paths())
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_path)
        .layer(from_fn_with_state(gateway.clone(), passage::pass))
        .with_state(gateway)
}

async fn unknown_path(method: Method, request: Request) -> Response {
    if let Some(moved) = routes::exits::moved(&method, request.uri().path()) {
        return moved;
    }
    let unknown = GatewayError::UnknownPath { method: method.to_string(), path: request.uri().path().chars().take(200).collect() };
    unknown.into_response()
}
