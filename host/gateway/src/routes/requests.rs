//! `POST /api/v1/weir/flows/{flow}/interfaces/{interface}/requests?timeout-ms=`: one request, its answer part by part.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::body::NDJSON;
use crate::dispatch::PendingAnswer;
use crate::error::{GatewayError, Result};
use crate::gateway::Shared;
use crate::ndjson::{error_line, ndjson};
use crate::protocol::MessageLine;
use crate::query::Fields;
use crate::{body, message_json};

/// How long to wait.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RequestQuery {
    /// The time limit for the whole answer, in milliseconds; at most, and by default, the gateway's limit.
    timeout_ms: Option<u64>,
}

/// Sends one request and streams its answer part by part.
///
/// Streams one line for each part as it arrives. An error before the first part is an error of the whole request; a later one is the last
/// line.
#[utoipa::path(
    post,
    path = "/api/v1/weir/flows/{flow}/interfaces/{interface}/requests",
    operation_id = "request",
    tag = "flows",
    params(
        ("flow" = String, Path, description = "The flow's id"),
        ("interface" = String, Path, description = "The interface's name"),
        RequestQuery,
    ),
    request_body(content = serde_json::Value, description = "The request: any JSON"),
    responses((status = 200, description = "One line for each part", body = MessageLine, content_type = NDJSON))
)]
pub(crate) async fn post(
    State(gateway): State<Shared>,
    Path((flow, name)): Path<(String, String)>,
    Fields(patience): Fields<RequestQuery>,
    request: Request,
) -> Result<Response> {
    let body = body::read_json(request, gateway.settings.max_body_bytes, gateway.settings.body_timeout).await?;
    message_json::check_json(&body).map_err(|source| GatewayError::NotJson { what: "the body".to_owned(), source })?;
    let interface = gateway.dispatch.find(&flow, &name).await?;
    let longest = gateway.settings.interface_timeout;
    let timeout = patience.timeout_ms.map_or(longest, |ms| Duration::from_millis(ms).min(longest));
    let answer = PendingAnswer::begin(&gateway.dispatch, &interface, body, timeout).await?;
    let mut parts = Parts { gateway, answer, ended: false };
    let first = parts.next().await?;
    // A part is sent before waiting for the next one.
    let lines = stream::unfold((first, parts), |(first, mut parts)| async move {
        let line = match first {
            Some(line) => line,
            None => parts.next_line().await?,
        };
        Some((Ok::<_, GatewayError>(line), (None, parts)))
    });
    Ok(ndjson(Body::from_stream(lines)))
}

/// The lines of an answer.
struct Parts {
    gateway: Shared,
    answer: PendingAnswer,
    ended: bool,
}

impl Parts {
    /// The next line of the stream: a part, or an error, after which nothing follows.
    async fn next_line(&mut self) -> Option<Bytes> {
        let next = self.next().await;
        next.unwrap_or_else(|error| {
            self.ended = true;
            Some(error_line(&error))
        })
    }

    /// The line of the next part; `None` after the last.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.ended {
            return Ok(None);
        }
        let Some(next) = self.gateway.stopping.run_until_cancelled(self.answer.next()).await else {
            return Err(GatewayError::ShuttingDown);
        };
        let Some(part) = next? else { return Ok(None) };
        let mut line = Vec::new();
        message_json::write(&part, &mut line);
        Ok(Some(Bytes::from(line)))
    }
}
