//! `GET /api/v1/weir/flows/{flow}/taps/{interface}`: shows what passes from now on, and takes nothing.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use weir_pubsub::{Consumer, PubsubError};

use super::exits::{Extent, error_line, ndjson, receive};
use crate::body::NDJSON;
use crate::error::{GatewayError, Result};
use crate::gateway::Shared;
use crate::interfaces::{Found, Interface};
use crate::line;
use crate::protocol::MessageLine;
use crate::query::Fields;

/// Messages that wait for a slow reader; then the oldest are dropped, and the gap is shown as `{"missed": COUNT}`.
const BUFFERED_COUNT: NonZeroU32 = NonZeroU32::MIN.saturating_add(1023);

/// Shows what passes an interface of a flow, and takes nothing.
///
/// Streams lines until the count or the waiting time is reached, the caller goes, or Weir stops. A reader that is too slow gets a line
/// `{"missed": COUNT}` for what it did not see.
#[utoipa::path(
    get,
    path = "/api/v1/weir/flows/{flow}/taps/{interface}",
    operation_id = "tap",
    tag = "flows",
    params(
        ("flow" = String, Path, description = "The flow's id"),
        ("interface" = String, Path, description = "The interface's name"),
        Extent,
    ),
    responses((status = 200, description = "A line for each message", body = MessageLine, content_type = NDJSON))
)]
pub(crate) async fn get(
    State(gateway): State<Shared>,
    Path((flow, name)): Path<(String, String)>,
    Fields(extent): Fields<Extent>,
) -> Result<Response> {
    let found = Found::find(&gateway.config, &flow, &name).await?;
    let (Interface::Flow(topic) | Interface::Request { request: topic, .. }) = &found.interface;
    let reader = gateway.backend.tap(topic, BUFFERED_COUNT).await.map_err(GatewayError::broker("the topic cannot be tapped"))?;
    let tap = Tap { gateway, reader, left: extent.count, wait: extent.wait_ms.map(Duration::from_millis) };
    let lines = stream::unfold(tap, |mut tap| async move { tap.next().await.map(|line| (Ok::<_, GatewayError>(line), tap)) });
    Ok(ndjson(Body::from_stream(lines)))
}

struct Tap {
    gateway: Shared,
    reader: Box<dyn Consumer>,
    left: Option<u64>,
    wait: Option<Duration>,
}

impl Tap {
    async fn next(&mut self) -> Option<Bytes> {
        if self.left == Some(0) {
            return None;
        }
        match receive(&self.gateway, &*self.reader, self.wait).await? {
            Ok(delivery) => {
                self.left = self.left.map(|left| left - 1);
                let mut line = Vec::new();
                line::write(&delivery.message, &mut line);
                Some(Bytes::from(line))
            }
            Err(PubsubError::Lagged { missed_count }) => Some(Bytes::from(format!("{{\"missed\":{missed_count}}}\n"))),
            Err(error) => {
                self.left = Some(0);
                Some(error_line(&GatewayError::broker("the tap ended")(error)))
            }
        }
    }
}
