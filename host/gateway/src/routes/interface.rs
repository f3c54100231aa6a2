//! `POST /api/v1/flow/{flow}/service/{interface}`: one message into a flow, or one request and its answer.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use bytes::Bytes;

use super::services::json;
use crate::dispatch::{self, Endpoint};
use crate::error::GatewayError;
use crate::error_response::SharedPathError;
use crate::gateway::Shared;
use crate::{body, message_json};

/// Sends one message into a flow, or one request.
///
/// `flow` interface: the body is sent, and the answer is `{}` once the message is durable. `request` interface: the body is the request,
/// and the last part of the answer is returned unchanged.
#[utoipa::path(
    post,
    path = "/api/v1/flow/{flow}/service/{interface}",
    operation_id = "interface",
    tag = "services",
    params(("flow" = String, Path, description = "The flow's id"), ("interface" = String, Path, description = "The interface's name")),
    request_body(content = serde_json::Value, description = "The message, or the request: any JSON"),
    responses((status = 200, description = "`{}`, the answer, or `{\"error\": {\"type\", \"message\"}}`", body = serde_json::Value))
)]
pub(crate) async fn post(
    State(gateway): State<Shared>,
    Path((flow, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, SharedPathError> {
    let body = body::read_json(request, gateway.settings.max_body_bytes, gateway.settings.body_timeout).await?;
    message_json::check_json(&body).map_err(|source| GatewayError::NotJson { what: "the body".to_owned(), source })?;
    let interface = gateway.dispatch.find(&flow, &name).await?;
    let answer = match &interface.endpoint {
        Endpoint::Flow { .. } => dispatch::send(&gateway.dispatch, &interface, body).await.map(|()| Bytes::from_static(b"{}"))?,
        Endpoint::Request { .. } => dispatch::ask(&gateway.dispatch, &interface, body, gateway.settings.interface_timeout).await?,
    };
    Ok(json(answer))
}
