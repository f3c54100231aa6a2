//! `POST /api/v1/config` and `POST /api/v1/flow`: direct access to the two services, with the gateway's field names.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;

use crate::body;
use crate::caller::Caller;
use crate::error_response::SharedPathError;
use crate::gateway::Shared;

/// Config service: values by type and key.
///
/// `operation` is `get` (`keys`), `list` or `getvalues` (`type`), `put` (`values`), `delete` (`keys`) or `config` (everything).
///
/// Writes require the scope `operate`; writes of the types `component`, `descriptor`, `processor:...`, `flow`, `flow-service`,
/// `leftover`, `queue-made` or `parked`, and unknown operations, require `deploy`.
#[utoipa::path(
    post,
    path = "/api/v1/config",
    operation_id = "config",
    tag = "services",
    request_body(content = weir_config::protocol::Request, description = "One request"),
    responses((status = 200, description = "The answer without null fields; `error` states the problem", body = weir_config::protocol::Response))
)]
pub(crate) async fn config(
    State(gateway): State<Shared>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, SharedPathError> {
    let body = body::read_json(request, gateway.settings.max_body_bytes, gateway.settings.body_timeout).await?;
    Ok(json(gateway.services.ask_config(&body, caller).await?))
}

/// Flow service: blueprints, and the flows started from them.
///
/// `operation` is `list-blueprints`, `get-blueprint`, `put-blueprint`, `delete-blueprint`, `list-flows`, `get-flow`, `start-flow`,
/// `stop-flow` or Weir's own `swap`. A stop deletes the messages in the flow's queues, unless `backlog` is `refuse`: then a flow that
/// holds messages keeps running.
///
/// Writes require the scope `operate`; unknown operations require `deploy`.
#[utoipa::path(
    post,
    path = "/api/v1/flow",
    operation_id = "flow",
    tag = "services",
    request_body(content = weir_flow::protocol::Request, description = "One request"),
    responses((status = 200, description = "The answer without null fields; `error` states the problem", body = weir_flow::protocol::Response))
)]
pub(crate) async fn flow(
    State(gateway): State<Shared>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, SharedPathError> {
    let body = body::read_json(request, gateway.settings.max_body_bytes, gateway.settings.body_timeout).await?;
    Ok(json(gateway.services.ask_flow(&body, caller).await?))
}

/// A response from JSON bytes.
pub(crate) fn json(bytes: Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, axum::http::HeaderValue::from_static("application/json"));
    response
}
