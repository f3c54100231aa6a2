//! `POST /api/v1/config` and `POST /api/v1/flow`: the two services as they are, with the gateway's names.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;

use crate::body;
use crate::error::SharedPathError;
use crate::gateway::Shared;

/// One request to the config service.
pub(crate) async fn config(State(gateway): State<Shared>, request: Request) -> Result<Response, SharedPathError> {
    let body = body::read_json(request, gateway.settings.max_body_bytes, gateway.settings.body_time).await?;
    Ok(json(gateway.services.ask_config(&body).await?))
}

/// One request to the flow service.
pub(crate) async fn flow(State(gateway): State<Shared>, request: Request) -> Result<Response, SharedPathError> {
    let body = body::read_json(request, gateway.settings.max_body_bytes, gateway.settings.body_time).await?;
    Ok(json(gateway.services.ask_flow(&body).await?))
}

/// An answer of JSON that is there as bytes.
pub(crate) fn json(bytes: Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, axum::http::HeaderValue::from_static("application/json"));
    response
}
