//! `GET /api/v1/weir/flows/{flow}/exits/{interface}`: takes the messages that left a flow out of the queue that keeps them.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, stream};
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;
use weir_pubsub::{Consumer, ConsumerOptions, Delivery, PubsubError, Receipt, Settled};

use crate::body::NDJSON;
use crate::error::{GatewayError, Result};
use crate::gateway::{Gateway, Shared};
use crate::interfaces::Found;
use crate::line;
use crate::protocol::{ErrorAnswer, MessageLine};
use crate::query::Fields;

/// Lines that go out in one piece, at most.
const BATCH_BYTES: usize = 64 << 10;
/// Settles whose outcome is waited for later, at most.
const SETTLING_COUNT: usize = 1024;

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
/// Streams lines until the count or the waiting time is reached, the caller goes, or Weir stops. A message is settled after its line was
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
    let found = Found::find(&gateway.config, &flow, &name).await?;
    let queue = found.exit_queue()?;
    let consumer = gateway.backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await;
    let consumer = consumer.map_err(|error| match error {
        PubsubError::QueueNotFound { .. } => found
            .wrong("has no exit: something in the flow consumes it; a tap shows what passes (`weir tail` without --from-exit)".to_owned()),
        error => GatewayError::broker("the exit cannot be read")(error),
    })?;
    let exit = Exit {
        gateway,
        consumer,
        left: extent.count,
        wait: extent.wait_ms.map(Duration::from_millis),
        handed_over: Vec::new(),
        settling: VecDeque::new(),
        ended: false,
    };
    let lines = stream::unfold(exit, |mut exit| async move { exit.next().await.map(|lines| (Ok::<_, GatewayError>(lines), exit)) });
    Ok(ndjson(Body::from_stream(lines)))
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
    consumer: Box<dyn Consumer>,
    left: Option<u64>,
    wait: Option<Duration>,
    /// What the connection has, or had before it asked for more.
    handed_over: Vec<Receipt>,
    settling: VecDeque<BoxFuture<'static, Result<Settled, PubsubError>>>,
    ended: bool,
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
        let backend = self.gateway.backend.clone();
        // Being asked again means that the connection took the lines before.
        self.settling.extend(self.handed_over.drain(..).map(|receipt| backend.settle(&receipt, Vec::new())));
        let done = self.ended || self.left == Some(0);
        self.wait_for_settled(if done { 0 } else { SETTLING_COUNT }).await?;
        if done {
            return Ok(None);
        }
        let next = receive(&self.gateway, &*self.consumer, self.wait).await;
        match next.transpose().map_err(GatewayError::broker("the exit cannot be read on"))? {
            Some(delivery) => Ok(Some(self.batch(delivery))),
            None => {
                self.wait_for_settled(0).await?;
                Ok(None)
            }
        }
    }

    async fn wait_for_settled(&mut self, left_count: usize) -> Result<()> {
        while self.settling.len() > left_count {
            let Some(oldest) = self.settling.pop_front() else { break };
            oldest.await.map_err(GatewayError::broker("a message that was handed over could not be settled, and will come again"))?;
        }
        Ok(())
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

/// The next delivery; `None` when none came in time or Weir stops.
pub(crate) async fn receive(gateway: &Gateway, consumer: &dyn Consumer, wait: Option<Duration>) -> Option<Result<Delivery, PubsubError>> {
    let deadline = wait.map(|wait| Instant::now() + wait);
    let idle = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = gateway.stopping.cancelled() => None,
        next = consumer.receive() => Some(next),
        () = idle => None,
    }
}
