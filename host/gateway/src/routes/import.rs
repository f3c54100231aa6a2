//! `POST /api/v1/weir/flows/{flow}/interfaces/{interface}/messages?answers=`: many messages into a flow, each stored durably.
//!
//! The body is read no faster than the broker stores, so memory use does not depend on the number of messages, and a full queue applies back-pressure
//! to the sender. With `answers=true` it is also read no faster than the answers.

use std::io::Write;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::IntoParams;

use crate::body::{self, Lines, NDJSON};
use crate::dispatch::{Interface, not_sent};
use crate::error::{GatewayError, Result};
use crate::gateway::{Gateway, Shared};
use crate::import::{Ended, Import};
use crate::message_json;
use crate::metrics::open::{OpenGuard, What};
use crate::ndjson::ndjson;
use crate::protocol::Imported;
use crate::query::Fields;

/// How to answer.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportQuery {
    /// Whether to answer with a line for each message as soon as it is stored, not only the total at the end.
    #[serde(default)]
    answers: bool,
}

/// Imports many messages into a flow, each stored durably.
///
/// The body is read no faster than it is stored, so it may have any number of lines. With `answers=true` it must be NDJSON; the answer is
/// then a line `{"line", "id"}` for each message as soon as it is stored, followed by the usual answer as the last line, and the body is
/// also read no faster than the answers.
#[utoipa::path(
    post,
    path = "/api/v1/weir/flows/{flow}/interfaces/{interface}/messages",
    operation_id = "import",
    tag = "flows",
    params(
        ("flow" = String, Path, description = "The flow's id"),
        ("interface" = String, Path, description = "The interface's name"),
        ImportQuery,
    ),
    request_body(
        description = "One message per line, or a list of messages",
        content((serde_json::Value = "application/x-ndjson"), (Vec<serde_json::Value> = "application/json"))
    ),
    responses(
        (status = 200, description = "All messages are stored", body = Imported),
        (status = "4XX", description = "Ended early: the first `count` messages are stored, and the `unconfirmed` ones after them may be \
             stored", body = Imported),
        (status = "5XX", description = "The same", body = Imported),
    )
)]
pub(crate) async fn post(
    State(gateway): State<Shared>,
    Path((flow, name)): Path<(String, String)>,
    Fields(wanted): Fields<ImportQuery>,
    request: Request,
) -> Result<Response> {
    let interface = gateway.dispatch.find(&flow, &name).await?;
    let mut import = Import::new(gateway.dispatch.producer(&interface).await?, gateway.budget.share(), gateway.settings.full_queue_timeout);
    let open = gateway.open.begin(What::Import);
    if wanted.answers {
        body::expect_type(request.headers(), NDJSON)?;
        return Ok(answered(gateway, interface, import.answering(), request.into_body(), open));
    }
    let outcome = match body::media_type(request.headers()).as_str() {
        NDJSON => import_lines(&gateway, &interface, &mut import, request.into_body()).await,
        "application/json" => import_array(&gateway, &interface, &mut import, request).await,
        _ => {
            Err(body::wrong_type(request.headers(), "application/json (a list of messages) or application/x-ndjson (one per line)").into())
        }
    };
    Ok(match ended(&gateway, &interface, outcome).await {
        None => Json(import.imported(None)).into_response(),
        Some(error) => (error.kind().0, Json(import.imported(Some(error.to_body())))).into_response(),
    })
}

/// Why it ended early, if it did.
pub(super) async fn ended(gateway: &Gateway, interface: &Interface, outcome: Result<(), Ended>) -> Option<GatewayError> {
    match outcome {
        Ok(()) => None,
        Err(Ended::Gateway(error)) => Some(error),
        Err(Ended::Broker(error)) => Some(not_sent(&gateway.dispatch, interface, error).await),
    }
}

fn lines_of(gateway: &Gateway, body: Body) -> Lines {
    Lines::new(body, gateway.backend.limits().max_message_bytes, gateway.budget.share(), gateway.settings.body_timeout)
}

async fn import_lines(gateway: &Gateway, interface: &Interface, import: &mut Import, body: Body) -> Result<(), Ended> {
    let mut lines = lines_of(gateway, body);
    let outcome = pump(gateway, interface, import, &mut lines).await;
    let settled = import.finish(gateway.dispatch.over(interface)).await;
    if outcome.is_err() || settled.is_err() {
        lines.drain().await;
    }
    settled.and(outcome)
}

async fn pump(gateway: &Gateway, interface: &Interface, import: &mut Import, lines: &mut Lines) -> Result<(), Ended> {
    while step(gateway, interface, import, lines).await? == ImportStep::Done {}
    Ok(())
}

/// Whether more may follow.
#[derive(PartialEq, Eq)]
enum ImportStep {
    /// One more message was accepted, or reported as stored.
    Done,
    /// The body has ended.
    End,
}

async fn step(gateway: &Gateway, interface: &Interface, import: &mut Import, lines: &mut Lines) -> Result<ImportStep, Ended> {
    tokio::select! {
        biased;
        error = gateway.dispatch.over(interface) => Err(error.into()),
        step = forward(interface, import, lines) => step,
    }
}

async fn forward(interface: &Interface, import: &mut Import, lines: &mut Lines) -> Result<ImportStep, Ended> {
    tokio::select! {
        biased;
        // Counts messages stored meanwhile, so that they do not wait for a sender that pauses.
        Some(outcome) = import.next() => import.take_known(outcome).await.map(|()| ImportStep::Done),
        // Accepts nothing while the flow's stop may still be refused.
        next = async { interface.decided().await; lines.next().await } => {
            let Some((number, text)) = next? else { return Ok(ImportStep::End) };
            message_json::check_json(&text).map_err(|source| GatewayError::NotJson { what: format!("line {number}"), source })?;
            import.send(number, text).await.map(|()| ImportStep::Done)
        }
    }
}

async fn import_array(gateway: &Gateway, interface: &Interface, import: &mut Import, request: Request) -> Result<(), Ended> {
    let body = body::read(request, gateway.settings.max_body_bytes, gateway.settings.body_timeout).await?;
    // Kept as written: parsing would change numbers and the order of fields, and refuse deeply nested values.
    let messages: Vec<&RawValue> = serde_json::from_slice(&body).map_err(not_a_list)?;
    let mut sent = Ok(());
    for (number, message) in (1..).zip(messages) {
        sent = tokio::select! {
            biased;
            error = gateway.dispatch.over(interface) => Err(error.into()),
            sent = import.send(number, Bytes::copy_from_slice(message.get().as_bytes())) => sent,
        };
        if sent.is_err() {
            break;
        }
    }
    let settled = import.finish(gateway.dispatch.over(interface)).await;
    settled.and(sent)
}

fn not_a_list(source: serde_json::Error) -> GatewayError {
    if source.is_data() {
        return GatewayError::BadField { field: "the body".to_owned(), problem: format!("must be a JSON list of messages: {source}") };
    }
    GatewayError::NotJson { what: "the body".to_owned(), source }
}

/// Streams a line for each stored message, and finally the result of an import without answers. The body is only read when the connection requests
/// more lines: a caller that does not read is not read from.
fn answered(gateway: Shared, interface: Arc<Interface>, import: Import, body: Body, open: OpenGuard) -> Response {
    let lines = lines_of(&gateway, body);
    let answers = Answers { gateway, interface, import, lines, told: false, _open: open };
    let lines = stream::unfold(Some(answers), |answers: Option<Answers>| async move {
        let mut answers = answers?;
        match answers.next().await {
            Some(lines) => Some((Ok::<_, GatewayError>(lines), Some(answers))),
            None => {
                // The sender of a refused body receives the error instead of a broken connection.
                answers.lines.drain().await;
                None
            }
        }
    });
    ndjson(Body::from_stream(lines))
}

struct Answers {
    gateway: Shared,
    interface: Arc<Interface>,
    import: Import,
    lines: Lines,
    /// Whether the last line was returned.
    told: bool,
    _open: OpenGuard,
}

impl Answers {
    /// The next lines; `None` after the last one.
    async fn next(&mut self) -> Option<Bytes> {
        if self.told {
            return None;
        }
        loop {
            let done = step(&self.gateway, &self.interface, &mut self.import, &mut self.lines).await;
            if !matches!(done, Ok(ImportStep::Done)) {
                return Some(self.last(done.map(|_| ())).await);
            }
            let lines = self.lines();
            if !lines.is_empty() {
                return Some(Bytes::from(lines));
            }
        }
    }

    /// The lines for messages stored since the last call.
    fn lines(&mut self) -> Vec<u8> {
        let mut lines = Vec::new();
        for stored in self.import.take_answers() {
            let _ = writeln!(lines, "{{\"line\":{},\"id\":\"{}\"}}", stored.number, stored.id);
        }
        lines
    }

    async fn last(&mut self, outcome: Result<(), Ended>) -> Bytes {
        let settled = self.import.finish(self.gateway.dispatch.over(&self.interface)).await;
        let mut lines = self.lines();
        let error = ended(&self.gateway, &self.interface, settled.and(outcome)).await.map(|error| error.to_body());
        self.told = true;
        lines.extend(serde_json::to_vec(&self.import.imported(error)).unwrap_or_default());
        lines.push(b'\n');
        Bytes::from(lines)
    }
}
