//! `/api/v1/flow/{flow}/export/{interface}`: messages out of a flow over a WebSocket, one JSON document each.
//!
//! If the interface has an exit, messages are taken from it: each goes to one reader, and is settled after the pong to a ping that was sent after it.
//! Otherwise messages that pass from now on are copied, and a reader that is too slow is disconnected instead of getting a gap.

use std::pin::pin;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use futures_util::FutureExt;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use weir_pubsub::{Consumer, Delivery, PubsubError, Receipt};

use super::taps;
use crate::dispatch::Interface;
use crate::error::{GatewayError, Result};
use crate::exit::{self, BATCH_BYTES, Batches};
use crate::gateway::{Gateway, Shared};
use crate::message_json;
use crate::metrics::open::What;
use crate::reader_backoff::ReaderBackoff;
use crate::settling::Settling;
use crate::socket::{Connection, End, Gone, PeerMessage, Upgrade};

/// Size limit for messages from the reader: none are expected.
const MAX_HEARD_BYTES: usize = 64 << 10;

/// Streams messages out of a flow over a WebSocket, one JSON document per message.
///
/// If the interface has an exit, messages are taken from it: each goes to one reader, and is settled after the reader's pong to a ping
/// sent after it. The pong shows that the reader's WebSocket library has received the message, not that the program has handled it.
/// Messages not settled when the connection ends are redelivered. Without an exit, each reader gets a copy of the messages that pass from
/// now on; a reader that is too slow is disconnected with the number of messages that it missed. A body that is not JSON is sent unchanged
/// in a binary message. Messages from the reader are ignored.
#[utoipa::path(
    get,
    path = "/api/v1/flow/{flow}/export/{interface}",
    operation_id = "export-stream",
    tag = "flows",
    params(
        ("flow" = String, Path, description = "The flow's id"),
        ("interface" = String, Path, description = "The interface's name"),
    ),
    responses((status = 101, description = "The connection is now a WebSocket"))
)]
pub(crate) async fn get(State(gateway): State<Shared>, Path((flow, name)): Path<(String, String)>, upgrade: Upgrade) -> Result<Response> {
    let interface = gateway.dispatch.find(&flow, &name).await?;
    let source = match exit::consumer(&gateway.dispatch, &interface, exit::WINDOW).await? {
        Some(exit) => {
            Source::Exit { consumer: exit, batches: Batches::new(gateway.settings.ping_interval), reader_backoff: ReaderBackoff::new() }
        }
        None => Source::Tap(taps::tap(&gateway, &interface).await?),
    };
    upgrade.accept(gateway, What::Export, MAX_HEARD_BYTES, |gateway, connection| async move {
        let settling = Settling::new(gateway.backend.clone());
        Export { gateway, interface, source, settling }.serve(connection).await;
    })
}

/// Where messages come from.
enum Source {
    /// Messages are taken, and settled once the reader has received them.
    Exit { consumer: Box<dyn Consumer>, batches: Batches, reader_backoff: ReaderBackoff },
    /// Messages are copied.
    Tap(Box<dyn Consumer>),
}

impl Source {
    /// The next message, once it may be sent. A lost consumer of an exit is recreated, and unsettled messages are redelivered; a lost tap has missed
    /// messages and ends.
    ///
    /// # Cancel safety
    /// No message is lost.
    async fn next(&mut self, gateway: &Gateway, interface: &Interface) -> Result<Delivery> {
        loop {
            let consumer = match self {
                // Only one batch is in flight at a time.
                Source::Exit { batches, .. } if batches.is_on_its_way() => std::future::pending().await,
                Source::Exit { consumer, .. } | Source::Tap(consumer) => consumer,
            };
            match (consumer.receive().await, &mut *self) {
                (Ok(delivery), source) => {
                    if let Source::Exit { reader_backoff, .. } = source {
                        reader_backoff.reset();
                    }
                    return Ok(delivery);
                }
                (Err(PubsubError::Unavailable { .. }), Source::Exit { consumer, reader_backoff, .. }) => {
                    *consumer = exit::consumer_again(&gateway.dispatch, interface, exit::WINDOW, reader_backoff).await?;
                }
                // The consumer continues automatically, with its messages.
                (Err(PubsubError::Stalled { .. }), Source::Exit { reader_backoff, .. }) => reader_backoff.wait().await,
                (Err(error), _) => return Err(cut_off(gateway, interface, error).await),
            }
        }
    }

    /// A message that is already available, if the batch has room for it.
    fn next_of_batch(&self, count: usize, bytes: usize) -> Option<Result<Delivery, PubsubError>> {
        match self {
            Source::Exit { consumer, batches, .. } if batches.has_room(count, bytes) => consumer.receive().now_or_never(),
            Source::Tap(consumer) if bytes < BATCH_BYTES => consumer.receive().now_or_never(),
            _ => None,
        }
    }

    /// When a reader that has not answered is disconnected.
    fn deadline(&self) -> Option<Instant> {
        match self {
            Source::Exit { batches, .. } => batches.deadline(),
            Source::Tap(_) => None,
        }
    }
}

struct Export {
    gateway: Shared,
    interface: Arc<Interface>,
    source: Source,
    settling: Settling,
}

/// How an export ends.
enum StreamEnd {
    /// The reader closed the WebSocket.
    Closed,
    /// The reader disconnected, or does not read.
    Gone,
    /// It failed.
    Failed(GatewayError),
}

impl From<Gone> for StreamEnd {
    fn from(_: Gone) -> Self {
        StreamEnd::Gone
    }
}

impl Export {
    async fn serve(mut self, mut connection: Connection) {
        let last = self.pump(&mut connection).await;
        if let Err(error) = self.settling.finish().await {
            tracing::warn!(error = %weir_pubsub::chain(&error), "export ended");
        }
        // Unsettled messages are requeued now, not after the peer has closed.
        drop(self.source);
        match last {
            StreamEnd::Closed => connection.acknowledge().await,
            StreamEnd::Gone => {}
            StreamEnd::Failed(error) => connection.end(&End::of(&error)).await,
        }
    }

    async fn pump(&mut self, connection: &mut Connection) -> StreamEnd {
        let (gateway, interface) = (self.gateway.clone(), self.interface.clone());
        let mut over = pin!(gateway.dispatch.over(&interface));
        loop {
            let deadline = self.source.deadline();
            let step = tokio::select! {
                biased;
                error = &mut over => Err(StreamEnd::Failed(error)),
                received = connection.receive() => self.heard(received).await,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Err(StreamEnd::Gone),
                next = self.source.next(&gateway, &interface) => match next {
                    Ok(delivery) => self.hand_over(delivery, connection).await,
                    Err(error) => Err(StreamEnd::Failed(error)),
                },
            };
            if let Err(last) = step {
                return last;
            }
        }
    }

    /// Sends a message and those already available, followed by a ping if they are from an exit.
    async fn hand_over(&mut self, first: Delivery, connection: &mut Connection) -> Result<(), StreamEnd> {
        let mut receipts: Vec<Receipt> = Vec::new();
        let mut bytes = 0;
        let mut next = Some(Ok(first));
        while let Some(Ok(delivery)) = next {
            bytes += delivery.message.body.len();
            receipts.push(delivery.receipt);
            connection.feed(frame(delivery)).await?;
            next = self.source.next_of_batch(receipts.len(), bytes);
        }
        match &mut self.source {
            Source::Exit { batches, .. } => connection.ping(batches.sent(receipts, Instant::now())).await?,
            Source::Tap(_) => connection.flush().await?,
        }
        match next {
            Some(Err(error)) if !matches!(error, PubsubError::Unavailable { .. } | PubsubError::Stalled { .. }) => {
                Err(StreamEnd::Failed(cut_off(&self.gateway, &self.interface, error).await))
            }
            // A lost consumer reports this again.
            _ => Ok(()),
        }
    }

    /// A pong settles everything before its ping. Otherwise only the end of the reader matters.
    async fn heard(&mut self, received: PeerMessage) -> Result<(), StreamEnd> {
        match (received, &mut self.source) {
            (PeerMessage::Pong(carried), Source::Exit { batches, .. }) => match batches.answered(&carried, Instant::now()) {
                Some(receipts) => self.settling.settle(receipts.into_iter()).await.map_err(StreamEnd::Failed),
                None => Ok(()),
            },
            (PeerMessage::Text(_) | PeerMessage::Binary | PeerMessage::Pong(_), _) => Ok(()),
            (PeerMessage::Closed, _) => Err(StreamEnd::Closed),
            (PeerMessage::Cut(_), _) => Err(StreamEnd::Gone),
            (PeerMessage::TooLarge { actual_bytes }, _) => {
                let what = "the message".to_owned();
                Err(StreamEnd::Failed(GatewayError::MessageTooLarge { what, actual_bytes, limit_bytes: MAX_HEARD_BYTES }))
            }
            (PeerMessage::Refused(error), _) => Err(StreamEnd::Failed(error)),
            (PeerMessage::Unreadable(problem), _) => Err(StreamEnd::Failed(GatewayError::BodyBroken { problem })),
        }
    }
}

/// Why there is no next message.
async fn cut_off(gateway: &Gateway, interface: &Interface, error: PubsubError) -> GatewayError {
    match error {
        PubsubError::Lagged { missed_count } => GatewayError::Missed { missed_count },
        error => exit::cut_off(&gateway.dispatch, interface, error).await,
    }
}

/// JSON is sent as text, anything else unchanged as a binary message.
fn frame(delivery: Delivery) -> Message {
    let body = delivery.message.body;
    match body.clone().try_into() {
        Ok(text) if message_json::check_json(&body).is_ok() => Message::Text(text),
        _ => Message::Binary(body),
    }
}
