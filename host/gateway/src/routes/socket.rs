//! `/api/v1/socket`: many requests on one WebSocket, answered in the order of completion.
//!
//! A bounded number of requests per caller is in flight; more are not read. Each reserves a slot for its answer before it is sent, and keeps it until
//! the answer is written to the connection, so that a caller that does not read is soon no longer read from, and disconnected after a time-out. The
//! answers count against the gateway's budget: one that does not fit is dropped and becomes an error.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use weir_pubsub::{Message, WEIR_PART};

use crate::budget::Share;
use crate::caller::Caller;
use crate::dispatch::{self, Endpoint, PendingAnswer};
use crate::error::{GatewayError, Result};
use crate::gateway::{Gateway, Shared};
use crate::metrics::open::What;
use crate::scope::Scope;
use crate::socket::{self, Connection, End, Gone, PeerMessage, Place, Refused, RequestedService, SocketRequest, Upgrade};

/// Sends many requests over one WebSocket.
///
/// Each message is a JSON object `{"id", "service", "request"}` for the service `config` or `flow`, or with `"flow": FLOW` for an interface
/// of that flow. Answers are `{"id", "response", "complete"}`, several if an answer has parts, or `{"id", "error", "complete": true}`,
/// in the order of completion. An invalid request is answered with an error; only a message above 16 MiB or a text message that is not
/// UTF-8 closes the WebSocket.
///
/// Each request requires the same scope as over HTTP; without it the answer is an error of type `insufficient-scope`.
#[utoipa::path(
    get,
    path = "/api/v1/socket",
    operation_id = "socket",
    tag = "services",
    responses((status = 101, description = "The connection is now a WebSocket"))
)]
pub(crate) async fn get(State(gateway): State<Shared>, Extension(caller): Extension<Caller>, upgrade: Upgrade) -> Result<Response> {
    let limit_bytes = gateway.settings.max_body_bytes;
    upgrade.accept(gateway, What::Socket, limit_bytes, move |gateway, connection| async move {
        // A slot for each request, and one for parts of answers.
        let (answers, answered) = mpsc::channel(gateway.settings.socket_requests_count + 1);
        let mut requests = Requests { gateway, caller, answers, answered, in_flight: JoinSet::new() };
        requests.serve(connection).await;
    })
}

/// The requests of one socket.
struct Requests {
    gateway: Shared,
    caller: Caller,
    answers: mpsc::Sender<Answered>,
    answered: mpsc::Receiver<Answered>,
    in_flight: JoinSet<()>,
}

/// An answer, or a part of one, with the resources that it holds.
struct Answered {
    text: String,
    share: Share,
}

/// The next step of a socket.
enum SocketStep {
    Next,
    /// The peer disconnected, or does not read.
    Gone,
    /// The peer closed the WebSocket.
    Closed,
    /// It ends with this error.
    Failed(GatewayError),
}

impl From<Result<(), Gone>> for SocketStep {
    fn from(sent: Result<(), Gone>) -> Self {
        sent.map_or(SocketStep::Gone, |()| SocketStep::Next)
    }
}

impl Requests {
    async fn serve(&mut self, mut connection: Connection) {
        loop {
            match self.step(&mut connection).await {
                SocketStep::Next => {}
                SocketStep::Gone => return,
                SocketStep::Closed => return connection.acknowledge().await,
                SocketStep::Failed(error) => return connection.end(&End::of(&error)).await,
            }
        }
    }

    async fn step(&mut self, connection: &mut Connection) -> SocketStep {
        let has_room = self.answers.capacity() > 1;
        tokio::select! {
            biased;
            Some(answer) = self.answered.recv() => connection.send_held(answer.text, answer.share).await.into(),
            Some(done) = self.in_flight.join_next() => match done {
                Ok(()) => SocketStep::Next,
                Err(_) => SocketStep::Failed(GatewayError::Broken { what: "a request" }),
            },
            () = self.gateway.stopping.cancelled() => self.last(GatewayError::ShuttingDown, connection).await,
            received = connection.receive(), if has_room => self.take(received, connection).await,
        }
    }

    async fn take(&mut self, received: PeerMessage, connection: &mut Connection) -> SocketStep {
        match received {
            PeerMessage::Text(text) => match socket::read(&text) {
                Ok(asked) => match self.begin(asked) {
                    Ok(()) => SocketStep::Next,
                    Err((id, error)) => connection.send(socket::error(Some(&id), &error.to_body())).await.into(),
                },
                Err(Refused { id, error }) => connection.send(socket::error(id.as_deref(), &error.to_body())).await.into(),
            },
            PeerMessage::Binary => {
                let error = GatewayError::BinaryMessage { what: "the message".to_owned() };
                connection.send(socket::error(None, &error.to_body())).await.into()
            }
            PeerMessage::TooLarge { actual_bytes } => {
                let limit_bytes = self.gateway.settings.max_body_bytes;
                self.last(GatewayError::MessageTooLarge { what: "the message".to_owned(), actual_bytes, limit_bytes }, connection).await
            }
            PeerMessage::Refused(error) => self.last(error, connection).await,
            PeerMessage::Unreadable(problem) => self.last(GatewayError::BodyBroken { problem }, connection).await,
            PeerMessage::Pong(_) => SocketStep::Next,
            PeerMessage::Closed => SocketStep::Closed,
            PeerMessage::Cut(why) => {
                tracing::debug!(why, "socket aborted");
                SocketStep::Gone
            }
        }
    }

    /// Starts a request, unless the budget is exhausted.
    fn begin(&mut self, asked: SocketRequest) -> Result<(), (String, GatewayError)> {
        let held = match self.gateway.budget.hold(asked.request.len()) {
            Ok(held) => held,
            Err(error) => return Err((asked.id, error)),
        };
        let Ok(slot) = self.answers.clone().try_reserve_owned() else {
            return Err((asked.id, GatewayError::Broken { what: "a slot for the answer" }));
        };
        let (gateway, caller, answers) = (self.gateway.clone(), self.caller, self.answers.clone());
        self.in_flight.spawn(async move {
            let last = work(&gateway, caller, asked, &answers).await;
            drop(held);
            slot.send(last);
        });
        Ok(())
    }

    /// Nothing more is read: requests in flight are answered, then this error is sent.
    async fn last(&mut self, error: GatewayError, connection: &mut Connection) -> SocketStep {
        let told = async {
            while !self.in_flight.is_empty() {
                tokio::select! {
                    Some(answer) = self.answered.recv() => connection.send_held(answer.text, answer.share).await?,
                    _ = self.in_flight.join_next() => {}
                }
            }
            while let Ok(answer) = self.answered.try_recv() {
                connection.send_held(answer.text, answer.share).await?;
            }
            connection.send(socket::error(None, &error.to_body())).await
        };
        if told.await.is_err() { SocketStep::Gone } else { SocketStep::Failed(error) }
    }
}

/// Executes one request and returns its last answer.
async fn work(gateway: &Gateway, caller: Caller, asked: SocketRequest, answers: &mpsc::Sender<Answered>) -> Answered {
    let SocketRequest { id, target, request } = asked;
    let worked = match target {
        RequestedService::Config => service_answer(gateway, &id, gateway.services.ask_config(&request, caller).await),
        RequestedService::Flow => service_answer(gateway, &id, gateway.services.ask_flow(&request, caller).await),
        RequestedService::Interface { flow, name } => {
            match caller.require(Scope::Operate, || "a request to an interface of a flow".to_owned()) {
                Ok(()) => ask(gateway, (&flow, &name), request, &id, answers).await,
                Err(error) => Err(error),
            }
        }
    };
    worked.unwrap_or_else(|error| Answered { text: socket::error(Some(&id), &error.to_body()), share: gateway.budget.share() })
}

fn service_answer(gateway: &Gateway, id: &str, answer: Result<Bytes>) -> Result<Answered> {
    let answer = answer?;
    let share = gateway.budget.hold(answer.len())?;
    Ok(Answered { text: socket::service_answer(id, &answer), share })
}

/// Sends a message or a request to an interface; sends all parts but the last, and returns that.
async fn ask(gateway: &Gateway, (flow, name): (&str, &str), body: Bytes, id: &str, answers: &mpsc::Sender<Answered>) -> Result<Answered> {
    let answered = |body: &[u8], place| -> Result<Answered> {
        let share = gateway.budget.hold(body.len())?;
        Ok(Answered { text: socket::answer(id, body, place), share })
    };
    let interface = gateway.dispatch.find(flow, name).await?;
    if let Endpoint::Flow { .. } = interface.endpoint {
        dispatch::send(&gateway.dispatch, &interface, body).await?;
        return answered(b"{}", Place::Last);
    }
    let mut answer = PendingAnswer::begin(&gateway.dispatch, &interface, body, gateway.settings.interface_timeout).await?;
    loop {
        let Some(part) = answer.next().await? else { return Err(GatewayError::Broken { what: "an answer" }) };
        match place_of(&part) {
            Place::Last => return answered(&part.body, Place::Last),
            Place::Before => {
                if answers.send(answered(&part.body, Place::Before)?).await.is_err() {
                    return Err(GatewayError::ShuttingDown);
                }
            }
        }
    }
}

fn place_of(part: &Message) -> Place {
    if part.properties.get(WEIR_PART) == Some("more") { Place::Before } else { Place::Last }
}
