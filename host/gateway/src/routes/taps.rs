//! `GET /api/v1/weir/flows/{flow}/taps/{interface}`: copies messages that pass from now on, without taking any.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;
use weir_pubsub::{Consumer, Delivery, PubsubError};

use crate::body::NDJSON;
use crate::dispatch::Interface;
use crate::error::{GatewayError, Result};
use crate::gateway::{Gateway, Shared};
use crate::message_json;
use crate::metrics::open::{OpenGuard, What};
use crate::ndjson::{error_line, ndjson};
use crate::protocol::MessageLine;
use crate::query::Fields;
use crate::reader_backoff::{ReaderBackoff, until_deadline};

/// Maximum number of messages buffered for a slow reader; above it the oldest are dropped, and the gap is reported as `{"missed": COUNT}`.
const BUFFERED_COUNT: NonZeroU32 = NonZeroU32::MIN.saturating_add(1023);

/// How much to read.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TapQuery {
    /// End after so many messages.
    count: Option<u64>,
    /// End when no message came for so many milliseconds.
    wait_ms: Option<u64>,
}

/// Shows the messages that pass through an interface of a flow, without removing any.
///
/// Streams lines until the count or the waiting time is reached, the caller disconnects, the flow is stopped, or Weir stops. A reader that
/// is too slow gets a line `{"missed": COUNT}` for the messages it missed; COUNT is null after a lost connection to the broker, since it
/// is unknown then.
#[utoipa::path(
    get,
    path = "/api/v1/weir/flows/{flow}/taps/{interface}",
    operation_id = "tap",
    tag = "flows",
    params(
        ("flow" = String, Path, description = "The flow's id"),
        ("interface" = String, Path, description = "The interface's name"),
        TapQuery,
    ),
    responses((status = 200, description = "One line for each message", body = MessageLine, content_type = NDJSON))
)]
pub(crate) async fn get(
    State(gateway): State<Shared>,
    Path((flow, name)): Path<(String, String)>,
    Fields(extent): Fields<TapQuery>,
) -> Result<Response> {
    let interface = gateway.dispatch.find(&flow, &name).await?;
    let reader = tap(&gateway, &interface).await?;
    let open = gateway.open.begin(What::Tap);
    let wait = extent.wait_ms.map(Duration::from_millis);
    let tap =
        Tap { gateway, interface, reader, reader_backoff: ReaderBackoff::new(), left: extent.count, wait, ends_at: None, _open: open };
    let lines = stream::unfold(tap, |mut tap| async move { tap.next().await.map(|line| (Ok::<_, GatewayError>(line), tap)) });
    Ok(ndjson(Body::from_stream(lines)))
}

/// Copies messages sent to an interface from now on.
pub(super) async fn tap(gateway: &Gateway, interface: &Interface) -> Result<Box<dyn Consumer>> {
    gateway.backend.inspect().tap(interface.input_topic(), BUFFERED_COUNT).await.map_err(GatewayError::broker("the topic cannot be tapped"))
}

/// Recreates a tap after the connection to the broker was lost; waits for the connection.
async fn tap_again(gateway: &Gateway, interface: &Interface, reader_backoff: &mut ReaderBackoff) -> Result<Box<dyn Consumer>> {
    tokio::select! {
        biased;
        () = gateway.stopping.cancelled() => Err(GatewayError::ShuttingDown),
        () = interface.stopped.cancelled() => Err(interface.gone()),
        tapped = reader_backoff.get(|| tap(gateway, interface)) => tapped,
    }
}

struct Tap {
    gateway: Shared,
    interface: Arc<Interface>,
    reader: Box<dyn Consumer>,
    /// The backoff after a lost connection.
    reader_backoff: ReaderBackoff,
    left: Option<u64>,
    wait: Option<Duration>,
    /// When it ends without another message: the rest of a wait that began before the connection was lost.
    ends_at: Option<Instant>,
    _open: OpenGuard,
}

impl Tap {
    async fn next(&mut self) -> Option<Bytes> {
        if self.left == Some(0) {
            return None;
        }
        // A lost connection does not restart the wait: the time before it counts.
        let ends_at = self.ends_at.take().or(self.wait.map(|wait| Instant::now() + wait));
        let error = match receive(&self.gateway, &self.interface, &*self.reader, ends_at).await {
            TapEvent::Delivery(delivery) => {
                self.reader_backoff.reset();
                self.left = self.left.map(|left| left - 1);
                let mut line = Vec::new();
                message_json::write(&delivery.message, &mut line);
                return Some(Bytes::from(line));
            }
            TapEvent::Failed(PubsubError::Lagged { missed_count }) => return Some(Bytes::from(format!("{{\"missed\":{missed_count}}}\n"))),
            TapEvent::End => return None,
            TapEvent::Stopped => self.interface.gone(),
            TapEvent::ShuttingDown => GatewayError::ShuttingDown,
            // The number of messages that passed without a connection is unknown.
            TapEvent::Failed(PubsubError::Unavailable { .. }) => {
                match until_deadline(ends_at, tap_again(&self.gateway, &self.interface, &mut self.reader_backoff)).await {
                    Some(Err(error)) => error,
                    tapped => {
                        match tapped {
                            Some(Ok(reader)) => (self.reader, self.ends_at) = (reader, ends_at),
                            _ => self.left = Some(0),
                        }
                        return Some(Bytes::from_static(b"{\"missed\":null}\n"));
                    }
                }
            }
            TapEvent::Failed(error) => GatewayError::broker("the tap ended")(error),
        };
        self.left = Some(0);
        Some(error_line(&error))
    }
}

/// The events that a reader of an interface waits for.
enum TapEvent {
    /// A message.
    Delivery(Box<Delivery>),
    /// The broker reports why there is none.
    Failed(PubsubError),
    /// The flow was stopped.
    Stopped,
    /// No message arrived in time.
    End,
    /// Weir is shutting down.
    ShuttingDown,
}

/// Waits for the next message.
async fn receive(gateway: &Gateway, interface: &Interface, consumer: &dyn Consumer, ends_at: Option<Instant>) -> TapEvent {
    tokio::select! {
        biased;
        () = gateway.stopping.cancelled() => TapEvent::ShuttingDown,
        next = consumer.receive() => next.map_or_else(TapEvent::Failed, |delivery| TapEvent::Delivery(Box::new(delivery))),
        () = interface.stopped.cancelled() => TapEvent::Stopped,
        _ = until_deadline(ends_at, std::future::pending::<()>()) => TapEvent::End,
    }
}
