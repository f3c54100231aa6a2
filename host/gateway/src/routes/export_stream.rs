//! `/api/v1/flow/{flow}/export/{interface}`: messages out of a flow over a WebSocket, one JSON text each.
//!
//! Where the interface has an exit they are taken from it: each goes to one reader, and is settled after it was handed to the connection.
//! Else what passes from now on is copied, and a reader that is too slow is ended, not shown a gap.

use std::pin::pin;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use futures_util::FutureExt;
use tokio_tungstenite::tungstenite::Message;
use weir_pubsub::{Consumer, Delivery, PubsubError, Receipt};

use super::{exits, taps};
use crate::dispatch::{Interface, over};
use crate::error::{GatewayError, Result};
use crate::gateway::{Gateway, Shared};
use crate::line;
use crate::metrics::open::What;
use crate::settling::Settling;
use crate::socket::{Connection, End, Gone, Received, Upgrade};

/// Messages that go out in one piece, at most.
const BATCH_BYTES: usize = 64 << 10;
/// What a reader may say: nothing is expected of it.
const MAX_HEARD_BYTES: usize = 64 << 10;

/// Messages out of a flow over a WebSocket, one JSON text each.
///
/// Where the interface has an exit, messages are taken from it: each goes to one reader, and is settled after it was handed to the
/// connection. Elsewhere each reader gets a copy of what passes from now on; one that is too slow is ended with the number of messages that
/// it missed. A body that is no JSON comes as it is, in a binary message. What the reader sends is ignored.
#[utoipa::path(
    get,
    path = "/api/v1/flow/{flow}/export/{interface}",
    operation_id = "export-stream",
    tag = "flows",
    params(
        ("flow" = String, Path, description = "The flow's id"),
        ("interface" = String, Path, description = "The interface's name"),
    ),
    responses((status = 101, description = "The connection is a WebSocket from here on"))
)]
pub(crate) async fn get(State(gateway): State<Shared>, Path((flow, name)): Path<(String, String)>, upgrade: Upgrade) -> Result<Response> {
    let interface = gateway.dispatch.find(&flow, &name).await?;
    let source = match exits::consumer(&gateway, &interface).await? {
        Some(exit) => exit,
        None => taps::tap(&gateway, &interface).await?,
    };
    upgrade.accept(gateway, What::Export, MAX_HEARD_BYTES, |gateway, connection| async move {
        let settling = Settling::new(gateway.backend.clone());
        Export { gateway, interface, source, settling }.serve(connection).await;
    })
}

struct Export {
    gateway: Shared,
    interface: Arc<Interface>,
    source: Box<dyn Consumer>,
    settling: Settling,
}

/// How an export ends.
enum Last {
    /// The reader wants to end.
    Closed,
    /// The reader went, or does not read.
    Gone,
    /// Something is wrong.
    Failed(GatewayError),
}

impl From<Gone> for Last {
    fn from(_: Gone) -> Self {
        Last::Gone
    }
}

impl Export {
    async fn serve(mut self, mut connection: Connection) {
        let last = self.pump(&mut connection).await;
        if let Err(error) = self.settling.finish().await {
            tracing::warn!(error = %weir_pubsub::chain(&error), "an export ended");
        }
        // What was not handed over goes back now, and not when the other side has closed.
        drop(self.source);
        match last {
            Last::Closed => connection.acknowledge().await,
            Last::Gone => {}
            Last::Failed(error) => connection.end(&End::of(&error)).await,
        }
    }

    async fn pump(&mut self, connection: &mut Connection) -> Last {
        let (gateway, interface) = (self.gateway.clone(), self.interface.clone());
        let mut over = pin!(over(&gateway, &interface));
        loop {
            let step = tokio::select! {
                biased;
                error = &mut over => Err(Last::Failed(error)),
                received = connection.receive() => heard(received),
                next = self.source.receive() => match next {
                    Ok(delivery) => self.hand_over(delivery, connection).await,
                    Err(error) => Err(Last::Failed(cut_off(&self.gateway, &self.interface, error).await)),
                },
            };
            if let Err(last) = step {
                return last;
            }
        }
    }

    /// Hands over a message and those that are there already, then settles them.
    async fn hand_over(&mut self, first: Delivery, connection: &mut Connection) -> Result<(), Last> {
        let mut receipts: Vec<Receipt> = Vec::new();
        let mut bytes = 0;
        let mut next = Some(Ok(first));
        while let Some(Ok(delivery)) = next {
            bytes += delivery.message.body.len();
            receipts.push(delivery.receipt);
            connection.feed(frame(delivery)).await?;
            next = if bytes < BATCH_BYTES { self.source.receive().now_or_never() } else { None };
        }
        connection.flush().await?;
        self.settling.settle(receipts.into_iter()).await.map_err(Last::Failed)?;
        match next {
            Some(Err(error)) => Err(Last::Failed(cut_off(&self.gateway, &self.interface, error).await)),
            _ => Ok(()),
        }
    }
}

/// Why there is no next message.
async fn cut_off(gateway: &Gateway, interface: &Interface, error: PubsubError) -> GatewayError {
    match error {
        PubsubError::Lagged { missed_count } => GatewayError::Missed { missed_count },
        error => exits::cut_off(gateway, interface, error).await,
    }
}

/// What is JSON goes out as a text, anything else as it is, as a message of bytes.
fn frame(delivery: Delivery) -> Message {
    let body = delivery.message.body;
    match body.clone().try_into() {
        Ok(text) if line::check_json(&body).is_ok() => Message::Text(text),
        _ => Message::Binary(body),
    }
}

/// What a reader says is of no matter, but how it ends.
fn heard(received: Received) -> Result<(), Last> {
    match received {
        Received::Text(_) | Received::Binary => Ok(()),
        Received::Closed => Err(Last::Closed),
        Received::Cut(_) => Err(Last::Gone),
        Received::TooLarge { actual_bytes } => {
            let what = "the message".to_owned();
            Err(Last::Failed(GatewayError::MessageTooLarge { what, actual_bytes, limit_bytes: MAX_HEARD_BYTES }))
        }
        Received::Unreadable(problem) => Err(Last::Failed(GatewayError::BodyBroken { problem })),
    }
}
