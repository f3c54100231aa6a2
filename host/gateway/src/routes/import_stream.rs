//! `/api/v1/flow/{flow}/import/{interface}?answers=`: messages into a flow over a WebSocket, one JSON document each.
//!
//! It is read no faster than the broker stores. The peer's close is acknowledged once everything before it is stored, so the acknowledgement confirms
//! that.

use std::pin::pin;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio_tungstenite::tungstenite::Message;
use utoipa::IntoParams;

use super::import::ended;
use crate::dispatch::Interface;
use crate::error::{GatewayError, Result};
use crate::gateway::Shared;
use crate::import::{Ended, Import};
use crate::message_json;
use crate::metrics::open::What;
use crate::query::Fields;
use crate::socket::{Connection, End, PeerMessage, Upgrade};

/// How to answer.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// Answer `{"message": NUMBER, "id": ID}` for each message as soon as it is stored; NUMBER is its number in the stream, from 1.
    #[serde(default)]
    answers: bool,
    /// Read by the access control.
    #[serde(default, rename = "token")]
    #[param(ignore)]
    _token: Option<IgnoredAny>,
}

/// Streams messages into a flow over a WebSocket, one JSON document per message.
///
/// It is read no faster than the messages are stored. The close frame is answered once all messages before it are stored. An error (not
/// JSON, above 4 MiB, the queue stays full, the flow is stopped) ends the stream: a last text message `{"count", "unconfirmed", "error"}`
/// reports how many messages are stored, how many after them may be stored too (absent if none), and why it ended; the close frame has the
/// reason too.
#[utoipa::path(
    get,
    path = "/api/v1/flow/{flow}/import/{interface}",
    operation_id = "import-stream",
    tag = "flows",
    params(
        ("flow" = String, Path, description = "The flow's id"),
        ("interface" = String, Path, description = "The interface's name"),
        StreamQuery,
    ),
    responses((status = 101, description = "The connection is now a WebSocket"))
)]
pub(crate) async fn get(
    State(gateway): State<Shared>,
    Path((flow, name)): Path<(String, String)>,
    Fields(wanted): Fields<StreamQuery>,
    upgrade: Upgrade,
) -> Result<Response> {
    let interface = gateway.dispatch.find(&flow, &name).await?;
    let import = Import::new(gateway.dispatch.producer(&interface).await?, gateway.budget.share(), gateway.settings.full_queue_timeout);
    let import = if wanted.answers { import.answering() } else { import };
    let limit_bytes = gateway.backend.limits().max_message_bytes;
    upgrade.accept(gateway, What::Import, limit_bytes, |gateway, connection| async move {
        Stream { gateway, interface, import, number: 0 }.serve(connection).await;
    })
}

struct Stream {
    gateway: Shared,
    interface: Arc<Interface>,
    import: Import,
    /// The number of the last message read, from 1.
    number: u64,
}

/// How an import ends.
enum StreamEnd {
    /// The peer closed the WebSocket.
    Closed,
    /// The peer disconnected, or does not read its answers.
    Gone,
    /// It failed.
    Failed(Ended),
}

impl From<Ended> for StreamEnd {
    fn from(ended: Ended) -> Self {
        StreamEnd::Failed(ended)
    }
}

impl Stream {
    async fn serve(mut self, mut connection: Connection) {
        let last = self.pump(&mut connection).await;
        let stored = self.import.finish(self.gateway.dispatch.over(&self.interface)).await;
        let outcome = match (stored, last) {
            (Ok(()), StreamEnd::Closed) => return connection.acknowledge().await,
            (Ok(()), StreamEnd::Gone) => return,
            (Ok(()), StreamEnd::Failed(first)) | (Err(first), _) => Err(first),
        };
        if let Some(error) = ended(&self.gateway, &self.interface, outcome).await {
            self.tell(error, connection).await;
        }
    }

    /// Reads and sends until the end.
    async fn pump(&mut self, connection: &mut Connection) -> StreamEnd {
        let (gateway, interface) = (self.gateway.clone(), self.interface.clone());
        let mut over = pin!(gateway.dispatch.over(&interface));
        loop {
            let step = tokio::select! {
                biased;
                error = &mut over => Err(StreamEnd::Failed(error.into())),
                step = self.forward(&interface, connection) => step,
            };
            let step = match step {
                Ok(()) => self.answer(connection).await,
                failed => failed,
            };
            if let Err(last) = step {
                return last;
            }
        }
    }

    async fn forward(&mut self, interface: &Interface, connection: &mut Connection) -> Result<(), StreamEnd> {
        tokio::select! {
            biased;
            // Reports messages stored meanwhile, so that they do not wait for a sender that pauses.
            Some(outcome) = self.import.next() => self.import.take_known(outcome).await.map_err(StreamEnd::from),
            // Accepts nothing while the flow's stop may still be refused.
            received = async { interface.decided().await; connection.receive().await } => self.take(received).await,
        }
    }

    async fn take(&mut self, received: PeerMessage) -> Result<(), StreamEnd> {
        self.number += u64::from(!matches!(received, PeerMessage::Pong(_)));
        let what = || format!("message {}", self.number);
        let error = match received {
            PeerMessage::Pong(_) => return Ok(()),
            PeerMessage::Text(text) => match message_json::check_json(&text) {
                Ok(()) => return self.import.send(self.number, text).await.map_err(StreamEnd::from),
                Err(source) => GatewayError::NotJson { what: what(), source },
            },
            PeerMessage::Binary => GatewayError::BinaryMessage { what: what() },
            PeerMessage::TooLarge { actual_bytes } => {
                let limit_bytes = self.gateway.backend.limits().max_message_bytes;
                GatewayError::MessageTooLarge { what: what(), actual_bytes, limit_bytes }
            }
            PeerMessage::Refused(error) => error,
            PeerMessage::Unreadable(problem) => GatewayError::BodyBroken { problem: format!("{}: {problem}", what()) },
            PeerMessage::Closed => return Err(StreamEnd::Closed),
            PeerMessage::Cut(why) => {
                tracing::debug!(flow = self.interface.flow, why, "import aborted");
                return Err(StreamEnd::Gone);
            }
        };
        Err(StreamEnd::Failed(error.into()))
    }

    /// Reports what was stored since the last call.
    async fn answer(&mut self, connection: &mut Connection) -> Result<(), StreamEnd> {
        let answers = self.import.take_answers();
        if answers.is_empty() {
            return Ok(());
        }
        for answer in &answers {
            let text = format!("{{\"message\":{},\"id\":\"{}\"}}", answer.number, answer.id);
            connection.feed(Message::text(text)).await.map_err(|_| StreamEnd::Gone)?;
        }
        connection.flush().await.map_err(|_| StreamEnd::Gone)
    }

    /// Reports why it ends, after the last answers.
    async fn tell(&mut self, error: GatewayError, mut connection: Connection) {
        let last = self.import.imported(Some(error.to_body()));
        let last = serde_json::to_string(&last).unwrap_or_default();
        if self.answer(&mut connection).await.is_ok() && connection.send(last).await.is_ok() {
            connection.end(&End::of(&error)).await;
        }
    }
}
