//! The paths, and the server behind them.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;
use utoipa_axum::routes;

use crate::error::{GatewayError, Result};
use crate::gateway::{Gateway, GatewayParts, Shared};
use crate::paths::{AccessRules, Paths};
use crate::scope::AccessRule::{self, ByOperation, Open};
use crate::scope::Scope;
use crate::{connections, middleware, openapi, routes};

/// Serves until the token is cancelled; then accepts no more requests, ends the streams, and returns when requests in progress are done.
///
/// # Errors
/// If the broker is unreachable at the start, or the topicspace is not a valid part of a topic. The services need not be available: until they are,
/// requests are answered with that error, and the flows are read as soon as the config service answers.
///
/// # Cancel safety
/// Dropping the future stops the server immediately; accepted messages of an import may or may not be stored.
pub async fn serve(listener: TcpListener, parts: GatewayParts, token: CancellationToken) -> Result<()> {
    let (gateway, listeners) = Gateway::connect(parts, document, token.clone()).await?;
    let hosts = listeners.reports.listen(&gateway.hosts, token.clone());
    let flows = listeners.follower.run(token.clone());
    let server = connections::serve(listener, router(gateway.clone()), &gateway.settings, &token);
    tokio::join!(server, hosts, flows);
    // WebSockets are no longer part of the server. Each releases its slot when it has ended.
    let _ = gateway.sockets.acquire_many(gateway.settings.max_sockets_count as u32).await;
    Ok(())
}

/// For read-only requests.
const READ: AccessRule = AccessRule::Scope(Scope::Read);
/// For operating flows, and for sending and taking messages.
const OPERATE: AccessRule = AccessRule::Scope(Scope::Operate);
/// For changing what is deployed.
const DEPLOY: AccessRule = AccessRule::Scope(Scope::Deploy);

/// All paths, each with its access rule and OpenAPI description: a path cannot be added without both.
///
/// Open paths are those for supervisors and load balancers, which have no secret and receive neither names nor figures (`/metrics` shows both, as
/// does `/readyz` with a token), and the description of the paths, which is the same everywhere and is opened by browsers, which cannot present a
/// token for a page.
pub(crate) fn paths() -> Paths {
    Paths::new()
        .with(Open, routes!(routes::health::healthz))
        .with(Open, routes!(routes::health::readyz))
        .with(READ, routes!(routes::metrics::get))
        .with(ByOperation, routes!(routes::services::config))
        .with(ByOperation, routes!(routes::services::flow))
        .with(OPERATE, routes!(routes::interface::post))
        .with(ByOperation, routes!(routes::socket::get))
        .with(OPERATE, routes!(routes::import_stream::get))
        .with(OPERATE, routes!(routes::export_stream::get))
        .with(DEPLOY, routes!(routes::components::post))
        .with(READ, routes!(routes::components::get))
        .with(READ, routes!(routes::deployments::get))
        .with(DEPLOY, routes!(routes::removal::remove))
        .with(DEPLOY, routes!(routes::removal::prune))
        .with(READ, routes!(routes::status::get))
        .with(READ, routes!(routes::queues::get))
        .with(OPERATE, routes!(routes::exits::take))
        .with(OPERATE, routes!(routes::exits::acknowledge))
        .with(READ, routes!(routes::taps::get))
        .with(OPERATE, routes!(routes::import::post))
        .with(OPERATE, routes!(routes::requests::post))
        .with(READ, routes!(routes::dead_letters::get))
        .with(READ, routes!(routes::dead_letters::whole))
        .with(OPERATE, routes!(routes::redrive::redrive))
        .with(OPERATE, routes!(routes::redrive::delete))
        .with(Open, routes!(routes::documents::openapi))
        .with(Open, routes!(routes::documents::docs))
        .with(Open, routes!(routes::documents::front))
}

fn router(gateway: Shared) -> Router {
    paths()
        .into_router()
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_path)
        .layer(from_fn_with_state((gateway.clone(), access_rules()), middleware::pass))
        .with_state(gateway)
}

/// The access rules of each path. They do not change during the life of a process.
pub(crate) fn access_rules() -> &'static AccessRules {
    static ACCESS_RULES: LazyLock<AccessRules> = LazyLock::new(|| paths().into_access_rules());
    &ACCESS_RULES
}

/// The document of the paths. It is the same for the whole life of a process.
fn document() -> &'static OpenApi {
    static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(|| openapi::document(paths()));
    &DOCUMENT
}

async fn unknown_path(method: Method, request: Request) -> Response {
    if let Some(moved) = routes::exits::moved(&method, request.uri().path()) {
        return moved;
    }
    let unknown = GatewayError::UnknownPath { method: method.to_string(), path: request.uri().path().chars().take(200).collect() };
    unknown.into_response()
}
