//! `POST /api/v1/weir/flows/{flow}/interfaces/{interface}/messages`: many messages into a flow, each stored durably.
//!
//! The body is read no faster than the broker stores, so a sender of any number of messages needs no memory here and is held up by a
//! full queue as by a slow line.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use serde_json::Value;
use tokio::time::Instant;
use weir_pubsub::{Backoff, Message, MessageId, Producer, PubsubError};

use super::interface::not_sent;
use crate::body::{self, Lines, NDJSON};
use crate::error::{GatewayError, Result};
use crate::gateway::{Gateway, Shared};
use crate::interfaces::Found;
use crate::line;
use crate::protocol::Imported;

/// Messages handed to the broker whose outcome is not known yet: enough to fill its groups of writes.
const IN_FLIGHT_COUNT: usize = 256;
/// Their bodies together.
const IN_FLIGHT_BYTES: usize = 8 << 20;

/// Takes NDJSON (any number of messages) or a JSON array, and answers how many are stored.
pub(crate) async fn post(State(gateway): State<Shared>, Path((flow, name)): Path<(String, String)>, request: Request) -> Result<Response> {
    let found = Found::find(&gateway.config, &flow, &name).await?;
    let producer = gateway.backend.producer(found.flow_topic()?).await.map_err(GatewayError::broker("the broker cannot be reached"))?;
    let mut import = Import::new(Arc::from(producer), gateway.settings.full_time);
    let outcome = match body::media_type(request.headers()).as_str() {
        NDJSON => import_lines(&gateway, &mut import, request.into_body()).await,
        "application/json" => import_array(&gateway, &mut import, request).await,
        _ => Err(body::wrong_type(request.headers(), "application/json (a list of messages) or application/x-ndjson (one a line)").into()),
    };
    Ok(answer(&found, import.stored, outcome))
}

/// What ends an import early.
enum Ended {
    Gateway(GatewayError),
    Broker(PubsubError),
}

impl From<GatewayError> for Ended {
    fn from(error: GatewayError) -> Self {
        Ended::Gateway(error)
    }
}

fn answer(found: &Found, count: u64, outcome: Result<(), Ended>) -> Response {
    let error = match outcome {
        Ok(()) => return Json(Imported { count, error: None }).into_response(),
        Err(Ended::Gateway(error)) => error,
        Err(Ended::Broker(error)) => not_sent(found, error),
    };
    let status = error.kind().0;
    (status, Json(Imported { count, error: Some(error.to_body()) })).into_response()
}

async fn import_lines(gateway: &Gateway, import: &mut Import, body: Body) -> Result<(), Ended> {
    let mut lines = Lines::new(body, gateway.backend.limits().max_message_bytes);
    let outcome = pump(gateway, import, &mut lines).await;
    let settled = import.finish().await;
    if outcome.is_err() || settled.is_err() {
        lines.drain().await;
    }
    settled.and(outcome)
}

async fn pump(gateway: &Gateway, import: &mut Import, lines: &mut Lines) -> Result<(), Ended> {
    loop {
        tokio::select! {
            biased;
            () = gateway.stopping.cancelled() => return Err(GatewayError::ShuttingDown.into()),
            // What is stored meanwhile is counted, so that nothing waits for a sender that pauses.
            Some(outcome) = import.in_flight.next() => import.take(outcome).await?,
            next = lines.next() => {
                let Some((number, text)) = next? else { return Ok(()) };
                check(&text, || format!("line {number}"))?;
                import.send(text).await?;
            }
        }
    }
}

async fn import_array(gateway: &Gateway, import: &mut Import, request: Request) -> Result<(), Ended> {
    let body = body::read(request, gateway.settings.max_body_bytes, gateway.settings.body_time).await?;
    let messages: Vec<Value> = serde_json::from_slice(&body).map_err(not_a_list)?;
    for message in messages {
        import.send(Bytes::from(message.to_string())).await?;
    }
    import.finish().await
}

fn not_a_list(source: serde_json::Error) -> GatewayError {
    if source.is_data() {
        return GatewayError::BadField { field: "the body".to_owned(), problem: format!("must be a JSON list of messages: {source}") };
    }
    GatewayError::NotJson { what: "the body".to_owned(), source }
}

fn check(text: &[u8], what: impl FnOnce() -> String) -> Result<()> {
    line::check_json(text).map_err(|source| GatewayError::NotJson { what: what(), source })
}

type Outcome = (Message, Result<(), PubsubError>);

/// Messages on their way into one topic.
struct Import {
    producer: Arc<dyn Producer>,
    in_flight: FuturesOrdered<BoxFuture<'static, Outcome>>,
    in_flight_bytes: usize,
    stored: u64,
    full_time: Duration,
}

impl Import {
    fn new(producer: Arc<dyn Producer>, full_time: Duration) -> Self {
        Import { producer, in_flight: FuturesOrdered::new(), in_flight_bytes: 0, stored: 0, full_time }
    }

    /// Hands one message to the broker, as soon as there is room among those that are under way.
    async fn send(&mut self, body: Bytes) -> Result<(), Ended> {
        while self.in_flight.len() >= IN_FLIGHT_COUNT || self.in_flight_bytes + body.len() > IN_FLIGHT_BYTES {
            let Some(outcome) = self.in_flight.next().await else { break };
            self.take(outcome).await?;
        }
        let message = Message { id: Some(MessageId::random(&mut rand::rng())), ..Message::new(body) };
        self.in_flight_bytes += message.body.len();
        let producer = self.producer.clone();
        // Begun here and now, and whatever the task has done before: tokio would put off some publishes of a busy task and let later ones
        // pass them.
        let mut publish: BoxFuture<'static, Outcome> = Box::pin(tokio::task::unconstrained(async move {
            let outcome = producer.publish(message.clone()).await;
            (message, outcome)
        }));
        let begun = (&mut publish).now_or_never();
        self.in_flight.push_back(begun.map_or(publish, |outcome| Box::pin(std::future::ready(outcome))));
        Ok(())
    }

    /// Waits until everything is stored.
    async fn finish(&mut self) -> Result<(), Ended> {
        let mut first_error = Ok(());
        while let Some(outcome) = self.in_flight.next().await {
            let taken = self.take(outcome).await;
            first_error = first_error.and(taken);
        }
        first_error
    }

    async fn take(&mut self, (message, outcome): Outcome) -> Result<(), Ended> {
        self.in_flight_bytes -= message.body.len();
        match outcome {
            Ok(()) => self.stored += 1,
            Err(PubsubError::QueueFull { .. }) => self.send_again(message).await?,
            Err(error) => return Err(Ended::Broker(error)),
        }
        Ok(())
    }

    /// The queue is full: nothing more is sent until what was refused is stored, in its order.
    async fn send_again(&mut self, first: Message) -> Result<(), Ended> {
        let mut refused = VecDeque::from([first]);
        while let Some((message, outcome)) = self.in_flight.next().await {
            self.in_flight_bytes -= message.body.len();
            match outcome {
                Ok(()) => self.stored += 1,
                Err(PubsubError::QueueFull { .. }) => refused.push_back(message),
                Err(error) => return Err(Ended::Broker(error)),
            }
        }
        for message in refused {
            wait_for_room(&*self.producer, &message, self.full_time).await?;
            self.stored += 1;
        }
        Ok(())
    }
}

async fn wait_for_room(producer: &dyn Producer, message: &Message, time: Duration) -> Result<(), Ended> {
    let deadline = Instant::now() + time;
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(500));
    loop {
        match producer.publish(message.clone()).await {
            Ok(()) => return Ok(()),
            Err(PubsubError::QueueFull { .. }) if Instant::now() < deadline => {}
            Err(error) => return Err(Ended::Broker(error)),
        }
        let wait = backoff.next_wait(&mut rand::rng());
        tokio::time::sleep(wait).await;
    }
}
