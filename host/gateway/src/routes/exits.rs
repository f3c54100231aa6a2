//! `POST /api/v1/weir/flows/{flow}/exits/{interface}/take` and `.../acknowledge`: takes messages from exits, under a lease.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::header::ALLOW;
use axum::http::{HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use crate::body::{self, NDJSON};
use crate::error::{GatewayError, Result};
use crate::exit::{self, Lease, LeaseId, Taking, Then};
use crate::gateway::{Gateway, Shared};
use crate::metrics::open::What;
use crate::ndjson::ndjson;
use crate::protocol::{Acknowledge, Acknowledged, ErrorAnswer, TakeRequest, TakenLine};
use crate::reader_backoff::ReaderBackoff;

/// Default lease time: how long a lease lasts without an acknowledgement. It tolerates pauses of the client, but not a hung one.
const LEASE_TIME: Duration = Duration::from_secs(60);
/// Below this, a lease expires while its messages are in transit; above, a hung client withholds messages from all others.
const LEASE_MS: std::ops::RangeInclusive<u64> = 100..=3_600_000;

/// Takes messages from an exit, under a lease with acknowledgement.
///
/// The first line is `{"lease": ID}`; then one line for each message, with its `receipt`. At most 1,024 messages or 1 MiB, but at least
/// one message, are unacknowledged at a time; more follow once they are acknowledged. The stream ends when all messages are acknowledged
/// and the count or the waiting time is reached; or when the lease expires, the caller disconnects, the flow is stopped, or Weir stops.
/// Messages that are unacknowledged then are redelivered at once, in order.
#[utoipa::path(
    post,
    path = "/api/v1/weir/flows/{flow}/exits/{interface}/take",
    operation_id = "take",
    tag = "flows",
    params(
        ("flow" = String, Path, description = "The flow's id"),
        ("interface" = String, Path, description = "The interface's name"),
    ),
    request_body = TakeRequest,
    responses((status = 200, description = "The lease, then one line for each message; if an error occurs, it is the last line", body = TakenLine, content_type = NDJSON))
)]
pub(crate) async fn take(State(gateway): State<Shared>, Path((flow, name)): Path<(String, String)>, request: Request) -> Result<Response> {
    let wanted: TakeRequest = read(&gateway, request, "\"count\", \"wait-ms\" and \"lease-ms\", all of them optional").await?;
    let lease_time = lease_time(wanted.lease_ms)?;
    let interface = gateway.dispatch.find(&flow, &name).await?;
    let queue = interface.exit_queue()?;
    let lease = Lease::new(gateway.backend.clone(), &flow, &name, wanted.count, lease_time);
    let Some(consumer) = exit::consumer(&gateway.dispatch, &interface, exit::WINDOW).await? else {
        let problem = "has no exit, since it is consumed within the flow; `weir tail` shows its messages";
        return Err(interface.wrong(problem.to_owned()));
    };
    let lease = gateway.leases.begin(lease);
    let open = gateway.open.begin(What::Exit);
    let wait = wanted.wait_ms.map(Duration::from_millis);
    let dispatch = gateway.dispatch.clone();
    Ok(ndjson(exit::lines(Taking { dispatch, interface, queue, consumer, reader_backoff: ReaderBackoff::new(), lease, wait, open })))
}

/// Acknowledges messages taken from an exit, and renews the lease.
///
/// Settles all messages up to a receipt. The settlement is durable when the request is answered. With `end` the lease ends and all other
/// messages are requeued.
#[utoipa::path(
    post,
    path = "/api/v1/weir/flows/{flow}/exits/{interface}/acknowledge",
    operation_id = "acknowledge",
    tag = "flows",
    params(
        ("flow" = String, Path, description = "The flow's id"),
        ("interface" = String, Path, description = "The interface's name"),
    ),
    request_body = Acknowledge,
    responses(
        (status = 200, description = "Settled", body = Acknowledged),
        (status = 410, description = "The lease has ended: unacknowledged messages are redelivered", body = ErrorAnswer),
    )
)]
pub(crate) async fn acknowledge(
    State(gateway): State<Shared>,
    Path((flow, name)): Path<(String, String)>,
    request: Request,
) -> Result<Json<Acknowledged>> {
    let wanted: Acknowledge = read(&gateway, request, "\"lease\" and \"through\"").await?;
    let bad = |problem: String| GatewayError::BadField { field: "lease".to_owned(), problem };
    let id = LeaseId::read(&wanted.lease)
        .ok_or_else(|| bad("must be the 32 hexadecimal digits in the first line of the answer to `take`".to_owned()))?;
    let Some(lease) = gateway.leases.find(id) else { return Err(GatewayError::LeaseEnded { lease: id.to_string() }) };
    if !lease.is_of(&flow, &name) {
        return Err(bad(format!("{id} is not a lease on exit `{name}` of flow `{flow}`: use the path of its `take` request")));
    }
    let then = if wanted.end { Then::End } else { Then::GoOn };
    let acknowledged_count = lease.acknowledge(wanted.through, then).await?;
    if then == Then::End {
        lease.gone().await;
    }
    Ok(Json(Acknowledged { acknowledged_count }))
}

/// The response to methods other than POST on the paths of an exit, and to all methods on the former path whose GET took messages without
/// acknowledgement; `None` for any other path.
pub(crate) fn moved(method: &Method, path: &str) -> Option<Response> {
    let (flow, behind) = path.strip_prefix("/api/v1/weir/flows/")?.split_once('/')?;
    let (name, action) = behind.strip_prefix("exits/").map(|exit| exit.split_once('/').unwrap_or((exit, "")))?;
    if !["", "take", "acknowledge"].contains(&action) {
        return None;
    }
    let (flow, name) = (weir_pubsub::shown(flow), weir_pubsub::shown(name));
    let next = format!(
        "take messages with `weir take {flow} {name}`, or with POST /api/v1/weir/flows/{flow}/exits/{name}/take with a JSON object, and acknowledge them with POST .../acknowledge"
    );
    let path = path.chars().take(200).collect();
    let mut response = GatewayError::WrongMethod { method: method.to_string(), path, next }.into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    Some(response)
}

async fn read<T: DeserializeOwned>(gateway: &Gateway, request: Request, fields: &str) -> Result<T> {
    let body = body::read_json(request, gateway.settings.max_body_bytes, gateway.settings.body_timeout).await?;
    let bad = |cause: &str| GatewayError::BadField {
        field: "the body".to_owned(),
        problem: format!("must be a JSON object with {fields}{cause}"),
    };
    match serde_json::from_slice(&body) {
        // An array would be read as the fields in order.
        Ok(_) if !body.trim_ascii_start().starts_with(b"{") => Err(bad("")),
        Ok(read) => Ok(read),
        Err(source) if source.is_data() => Err(bad(&format!(": {source}"))),
        Err(source) => Err(GatewayError::NotJson { what: "the body".to_owned(), source }),
    }
}

fn lease_time(lease_ms: Option<u64>) -> Result<Duration> {
    match lease_ms {
        None => Ok(LEASE_TIME),
        Some(ms) if LEASE_MS.contains(&ms) => Ok(Duration::from_millis(ms)),
        Some(ms) => {
            let problem = format!("must be from {} to {} milliseconds, is {ms}", LEASE_MS.start(), LEASE_MS.end());
            Err(GatewayError::BadField { field: "lease-ms".to_owned(), problem })
        }
    }
}
