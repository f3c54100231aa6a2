//! `POST /api/v1/flow/{flow}/service/{interface}`: one message into a flow, or one request and its answer.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use bytes::Bytes;
use weir_pubsub::{Message, PubsubError, Requester, Topic};

use super::services::json;
use crate::error::{GatewayError, Result, SharedPathError};
use crate::gateway::{Gateway, Shared};
use crate::interfaces::{Found, Interface};
use crate::{body, line};

/// One message into a flow, or one request and its answer.
///
/// A `flow` interface: the body is sent, and `{}` answers once it is durable. A `request` interface: the body goes out, and the last part
/// of the answer comes back as it is.
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
    let body = body::read_json(request, gateway.settings.max_body_bytes, gateway.settings.body_time).await?;
    line::check_json(&body).map_err(|source| GatewayError::NotJson { what: "the body".to_owned(), source })?;
    let found = Found::find(&gateway.config, &flow, &name).await?;
    let answer = match &found.interface {
        Interface::Flow(topic) => send(&gateway, &found, topic, body).await?,
        Interface::Request { request, response } => ask(&gateway, &found, request, response, body).await?,
    };
    Ok(json(answer))
}

async fn send(gateway: &Gateway, found: &Found, topic: &Topic, body: Bytes) -> Result<Bytes> {
    let producer = gateway.backend.producer(topic).await.map_err(GatewayError::broker("the broker cannot be reached"))?;
    producer.publish(Message::new(body)).await.map_err(|error| not_sent(found, error))?;
    Ok(Bytes::from_static(b"{}"))
}

async fn ask(gateway: &Gateway, found: &Found, request: &Topic, response: &Topic, body: Bytes) -> Result<Bytes> {
    // Bound for this one request: nothing is left behind when the flow or the caller goes.
    let requester = Requester::connect(&*gateway.backend, request, response, &gateway.subscription)
        .await
        .map_err(GatewayError::broker("the broker cannot be reached"))?;
    let answer = requester.request(Message::new(body), gateway.settings.interface_time).await.map_err(|error| not_sent(found, error))?;
    Ok(answer.body)
}

/// Why a message did not go into a flow.
pub(crate) fn not_sent(found: &Found, error: PubsubError) -> GatewayError {
    let what = format!("the message was not sent to interface `{}` of flow `{}`", found.name, found.flow);
    match error {
        PubsubError::QueueNotFound { .. } => found.wrong(
            "has no queue: nothing in the flow consumes it (it is an output, read by `weir tail --from-exit`), or the flow is being stopped"
                .to_owned(),
        ),
        PubsubError::OutcomeUnknown { .. } => {
            GatewayError::Broker { what: what.replace("was not", "may not have been"), source: error }
        }
        error => GatewayError::Broker { what, source: error },
    }
}
