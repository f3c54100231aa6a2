//! `POST /api/v1/weir/flows/{flow}/interfaces/{interface}/requests?timeout-ms=`: one request, its answer part by part.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use utoipa::IntoParams;
use weir_pubsub::{Message, PubsubError, Replies, Requester, WEIR_ERROR};

use super::exits::{error_line, ndjson};
use super::interface::not_sent;
use crate::body::NDJSON;
use crate::error::{GatewayError, Result};
use crate::gateway::Shared;
use crate::interfaces::{Found, Interface};
use crate::protocol::MessageLine;
use crate::query::Fields;
use crate::{body, line};

/// How long to wait.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Patience {
    /// For the whole answer, in milliseconds; the gateway's own time unless it is shorter.
    timeout_ms: Option<u64>,
}

/// One request, and its answer part by part.
///
/// Streams a line for each part as it comes. What goes wrong before the first part is an error of the whole request; later, it is the last
/// line.
#[utoipa::path(
    post,
    path = "/api/v1/weir/flows/{flow}/interfaces/{interface}/requests",
    operation_id = "request",
    tag = "flows",
    params(
        ("flow" = String, Path, description = "The flow's id"),
        ("interface" = String, Path, description = "The interface's name"),
        Patience,
    ),
    request_body(content = serde_json::Value, description = "The request: any JSON"),
    responses((status = 200, description = "A line for each part", body = MessageLine, content_type = NDJSON))
)]
pub(crate) async fn post(
    State(gateway): State<Shared>,
    Path((flow, name)): Path<(String, String)>,
    Fields(patience): Fields<Patience>,
    request: Request,
) -> Result<Response> {
    let body = body::read_json(request, gateway.settings.max_body_bytes, gateway.settings.body_time).await?;
    line::check_json(&body).map_err(|source| GatewayError::NotJson { what: "the body".to_owned(), source })?;
    let found = Found::find(&gateway.config, &flow, &name).await?;
    let Interface::Request { request, response } = &found.interface else {
        return Err(found.wrong("takes messages and answers none: send it one by `weir send`".to_owned()));
    };
    let longest = gateway.settings.interface_time;
    let timeout = patience.timeout_ms.map_or(longest, |ms| Duration::from_millis(ms).min(longest));
    // Bound for this one request: nothing is left behind when the flow or the caller goes.
    let requester = Requester::connect(&*gateway.backend, request, response, &gateway.subscription)
        .await
        .map_err(GatewayError::broker("the broker cannot be reached"))?;
    let replies = requester.begin(Message::new(body), timeout).await.map_err(|error| not_sent(&found, error))?;
    let mut answer = Answer { gateway, found, replies, _requester: requester, ended: false };
    let first = answer.next().await?;
    // A part is handed over before the next one is waited for.
    let lines = stream::unfold((first, answer), |(first, mut answer)| async move {
        let line = match first {
            Some(line) => line,
            None => answer.next_line().await?,
        };
        Some((Ok::<_, GatewayError>(line), (None, answer)))
    });
    Ok(ndjson(Body::from_stream(lines)))
}

/// An answer that is under way.
struct Answer {
    gateway: Shared,
    found: Found,
    replies: Replies,
    /// Takes the parts in for as long as it lives.
    _requester: Requester,
    ended: bool,
}

impl Answer {
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
        let Some(next) = self.gateway.stopping.run_until_cancelled(self.replies.next()).await else {
            return Err(GatewayError::ShuttingDown);
        };
        let Some(part) = next.map_err(|error| self.unanswered(error))? else { return Ok(None) };
        if let Some(kind) = part.properties.get(WEIR_ERROR) {
            return Err(GatewayError::RequestFailed { flow: self.found.flow.clone(), kind: kind.to_owned(), said: said(&part, kind) });
        }
        let mut line = Vec::new();
        line::write(&part, &mut line);
        Ok(Some(Bytes::from(line)))
    }

    fn unanswered(&self, error: PubsubError) -> GatewayError {
        let what = format!("interface `{}` of flow `{}` did not answer", self.found.name, self.found.flow);
        GatewayError::Broker { what, source: error }
    }
}

/// What an error answer says, in its own words.
fn said(part: &Message, kind: &str) -> String {
    let body: Option<serde_json::Value> = serde_json::from_slice(&part.body).ok();
    let text = body.as_ref().and_then(|body| body.pointer("/error/message")?.as_str());
    text.unwrap_or(kind).to_owned()
}
