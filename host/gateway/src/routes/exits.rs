//! `GET /api/v1/weir/flows/{flow}/exits/{interface}`: takes the messages that left a flow out of the queue that keeps them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;
use weir_pubsub::{Consumer, ConsumerOptions, Delivery, PubsubError, Receipt};

use crate::body::NDJSON;
use crate::dispatch::Interface;
use crate::error::{GatewayError, Result};
use crate::gateway::{Gateway, Shared};
use crate::line;
use crate::metrics::open::{Opened, What};
use crate::protocol::{ErrorAnswer, MessageLine};
use crate::query::Fields;
use crate::settling::Settling;

/// Lines that go out in one piece, at most.
const BATCH_BYTES: usize = 64 << 10;

/// How much to read.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Extent {
    /// End after so many messages.
    pub(crate) count: Option<u64>,
    /// End when no message came for so many milliseconds.
    pub(crate) wait_ms: Option<u64>,
}

/// Takes the messages that left a flow out of the queue that keeps them.
///
/// Streams lines until the count or the waiting time is reached, the caller goes, the flow is stopped, or Weir stops. A message is settled after its line was
/// handed to the connection; what was not is given back.
#[utoipa::path(
    get,
    path = "/api/v1/weir/flows/{flow}/exits/{interface}",
    operation_id = "exit",
    tag = "flows",
    params(
        ("flow" = String, Path, description = "The flow's id"),
        ("interface" = String, Path, description = "The interface's name"),
        Extent,
    ),
    responses((status = 200, description = "A line for each message; an error in the middle is the last line", body = MessageLine, content_type = NDJSON))
)]
pub(crate) async fn get(
    State(gateway): State<Shared>,
    Path((flow, name)): Path<(String, String)>,
    Fields(extent): Fields<Extent>,
) -> Result<Response> {
    let interface = gateway.dispatch.find(&flow, &name).await?;
    let Some(consumer) = consumer(&gateway, &interface).await? else {
        let problem = "has no exit: something in the flow consumes it; a tap shows what passes (`weir tail` without --from-exit)";
        return Err(interface.wrong(problem.to_owned()));
    };
    let exit = Exit {
        settling: Settling::new(gateway.backend.clone()),
        _open: gateway.open.begin(What::Exit),
        gateway,
        interface,
        consumer,
        left: extent.count,
        wait: extent.wait_ms.map(Duration::from_millis),
        handed_over: Vec::new(),
        ended: false,
    };
    let lines = stream::unfold(exit, |mut exit| async move { exit.next().await.map(|lines| (Ok::<_, GatewayError>(lines), exit)) });
    Ok(ndjson(Body::from_stream(lines)))
}

/// Reads the exit of an interface; `None` where it has none.
pub(super) async fn consumer(gateway: &Gateway, interface: &Interface) -> Result<Option<Box<dyn Consumer>>> {
    let queue = interface.exit_queue()?;
    match gateway.backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await {
        Ok(consumer) => Ok(Some(consumer)),
        Err(PubsubError::QueueNotFound { .. }) if gateway.dispatch.is_stopped(interface).await => Err(interface.gone()),
        Err(PubsubError::QueueNotFound { .. }) => Ok(None),
        Err(error) => Err(GatewayError::broker("the exit cannot be read")(error)),
    }
}

/// Why an exit cannot be read on.
pub(super) async fn cut_off(gateway: &Gateway, interface: &Interface, error: PubsubError) -> GatewayError {
    match error {
        PubsubError::QueueNotFound { .. } if gateway.dispatch.is_stopped(interface).await => interface.gone(),
        error => GatewayError::broker("the exit cannot be read on")(error),
    }
}

/// An answer of one JSON text a line.
pub(crate) fn ndjson(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    response
}

/// An error in the middle of a stream, as its last line.
pub(crate) fn error_line(error: &GatewayError) -> Bytes {
    let mut line = serde_json::to_vec(&ErrorAnswer { error: error.to_body() }).unwrap_or_default();
    line.push(b'\n');
    Bytes::from(line)
}

struct Exit {
    gateway: Shared,
    interface: Arc<Interface>,
    consumer: Box<dyn Consumer>,
    left: Option<u64>,
    wait: Option<Duration>,
    /// What the connection has, or had before it asked for more.
    handed_over: Vec<Receipt>,
    settling: Settling,
    ended: bool,
    _open: Opened,
}

impl Exit {
    /// The next lines; `None` at the end, when all that was handed over is settled.
    async fn next(&mut self) -> Option<Bytes> {
        match self.step().await {
            Ok(lines) => lines,
            Err(error) => {
                self.ended = true;
                tracing::warn!(error = %weir_pubsub::chain(&error), "exit stream ended");
                Some(error_line(&error))
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Bytes>> {
        // Being asked again means that the connection took the lines before.
        self.settling.settle(self.handed_over.drain(..)).await?;
        if self.ended || self.left == Some(0) {
            return self.settling.finish().await.map(|()| None);
        }
        match receive(&self.gateway, &self.interface, &*self.consumer, self.wait).await {
            Next::Delivery(delivery) => Ok(Some(self.batch(*delivery))),
            Next::Failed(error) => Err(cut_off(&self.gateway, &self.interface, error).await),
            Next::Stopped => Err(self.interface.gone()),
            Next::ShuttingDown => Err(GatewayError::ShuttingDown),
            Next::End => self.settling.finish().await.map(|()| None),
        }
    }

    /// The lines of a message and of those that are there already.
    fn batch(&mut self, first: Delivery) -> Bytes {
        let mut lines = Vec::new();
        let mut next = Some(first);
        while let Some(delivery) = next.take() {
            line::write(&delivery.message, &mut lines);
            self.handed_over.push(delivery.receipt);
            self.left = self.left.map(|left| left - 1);
            if self.left != Some(0) && lines.len() < BATCH_BYTES {
                next = self.consumer.receive().now_or_never().and_then(Result::ok);
            }
        }
        Bytes::from(lines)
    }
}

/// What a reader of an interface waits for.
pub(super) enum Next {
    /// A message.
    Delivery(Box<Delivery>),
    /// The broker says why there is none.
    Failed(PubsubError),
    /// The flow was stopped.
    Stopped,
    /// No message came in time.
    End,
    /// Weir stops.
    ShuttingDown,
}

/// Waits for the next message.
pub(super) async fn receive(gateway: &Gateway, interface: &Interface, consumer: &dyn Consumer, wait: Option<Duration>) -> Next {
    let deadline = wait.map(|wait| Instant::now() + wait);
    let idle = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = gateway.stopping.cancelled() => Next::ShuttingDown,
        next = consumer.receive() => next.map_or_else(Next::Failed, |delivery| Next::Delivery(Box::new(delivery))),
        () = interface.stopped.cancelled() => Next::Stopped,
        () = idle => Next::End,
    }
}
