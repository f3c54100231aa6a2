//! One connection to one node: its handshake, its reading and writing tasks, and the requests, producers and consumers on it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::address::Node;
use super::broker_error::BrokerError;
use super::connection_settings::{ConnectionSettings, Stream};
pub(super) use super::failure::Failure;
use super::frame::{self, Frame, NotAFrame, PADDING_BYTES, Written};
use super::proto::{AuthData, AuthResponse, BaseCommand, Connect, FeatureFlags, MessageIdData, Nothing, PROTOCOL_VERSION, SendError, kind};
use super::tls;
use crate::error::{PubsubError, Result};
use crate::lock::lock;
use crate::network::closed;

/// The time-out of a command. Opening a topic that was not used lately takes the broker several steps.
pub(super) const CALL_TIME: Duration = Duration::from_secs(15);
/// How long a connection may be idle before a ping is sent, and the number of unanswered pings after which it is closed.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const MAX_MISSED_PINGS_COUNT: u32 = 3;
/// The maximum number of frames waiting to be written; up to `BURST_COUNT` are written at a time.
const WAITING_COUNT: usize = 1024;
/// Room for events other than messages and confirmations.
const SPARE_COUNT: usize = 64;
const BURST_COUNT: usize = 128;
/// The maximum message size if the broker does not report one.
const DEFAULT_MESSAGE_BYTES: usize = 5 << 20;
const CLIENT: &str = concat!("weir-", env!("CARGO_PKG_VERSION"));

/// An event of a producer.
#[derive(Debug)]
pub(super) enum ProducerEvent {
    /// The message with this number is stored.
    Stored(u64),
    /// The message with this number is refused.
    Refused(u64, BrokerError),
    /// The broker has ended the producer: its topic is gone, or moves.
    Closed,
}

/// An event of a consumer.
#[derive(Debug)]
pub(super) enum ConsumerEvent {
    Message(ReceivedEntry),
    /// The broker has ended the consumer: its queue is gone, or its topic moves.
    Closed,
}

/// An entry of a topic.
#[derive(Debug)]
pub(super) struct ReceivedEntry {
    pub(super) id: MessageIdData,
    pub(super) redelivery_count: u32,
    /// For a batch: a bit for each message that was not acknowledged yet; empty if none was.
    pub(super) ack_set: Vec<i64>,
    /// Metadata and payload.
    pub(super) bytes: Bytes,
}

/// A connection.
pub(super) struct Wire {
    writing: mpsc::Sender<Written>,
    pending: Arc<PendingReplies>,
    /// The node that was dialled.
    pub(super) node: Node,
    /// The largest message that the broker accepts, including its properties.
    pub(super) max_message_bytes: usize,
}

/// The waiting requests, producers and consumers.
#[derive(Default)]
struct PendingReplies {
    waiting: Mutex<Waiting>,
    ended: CancellationToken,
    reason: OnceLock<PubsubError>,
    last_id: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    requests: HashMap<u64, oneshot::Sender<Result<BaseCommand, BrokerError>>>,
    producers: HashMap<u64, mpsc::Sender<ProducerEvent>>,
    consumers: HashMap<u64, mpsc::Sender<ConsumerEvent>>,
    is_over: bool,
}

impl PendingReplies {
    fn end(&self, reason: PubsubError) {
        let _ = self.reason.set(reason);
        let mut waiting = lock(&self.waiting);
        // Their receivers see that the sender is gone.
        *waiting = Waiting { is_over: true, ..Waiting::default() };
        drop(waiting);
        self.ended.cancel();
    }

    fn reason(&self) -> PubsubError {
        self.reason.get().cloned().unwrap_or_else(closed)
    }
}

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Ended(pub(super) String);

fn lost(reason: impl Into<String>) -> PubsubError {
    PubsubError::unavailable_because("the connection to the broker was lost", Ended(reason.into()))
}

impl Wire {
    /// Connects to a node; `behind` is the target broker if the node is a proxy. The broker displays `purpose` with the client's version.
    pub(super) async fn open(settings: &Arc<ConnectionSettings>, node: &Node, behind: Option<&str>, purpose: &str) -> Result<Arc<Self>> {
        let mut stream = settings.reach(node).await?;
        let (auth_method_name, auth_data) = settings.identification()?;
        let connect = Connect {
            client_version: format!("{CLIENT} ({purpose})"),
            auth_method_name,
            auth_data,
            protocol_version: Some(PROTOCOL_VERSION),
            proxy_to_broker_url: behind.map(|url| url.split_once("://").map_or(url, |(_, rest)| rest).to_owned()),
            feature_flags: Some(FeatureFlags { supports_auth_refresh: Some(true) }),
        };
        let mut read = BytesMut::with_capacity(64 << 10);
        let greeting = async {
            let hello = frame::command(&BaseCommand { connect: Some(connect), ..BaseCommand::of(kind::CONNECT) });
            // A node that has already closed the connection may have sent the reason.
            if stream.write_all(&hello.head).await.is_ok() {
                let _ = stream.flush().await;
            }
            answer(&mut stream, &mut read).await.map_err(|error| at(node, error))
        };
        let late =
            |_| Err(PubsubError::unavailable(format!("{node} does not answer as a Pulsar broker; check that this is its port (6650)")));
        let greeted = timeout(CALL_TIME, greeting).await.unwrap_or_else(late)?;
        let max_message_bytes = match greeted {
            BaseCommand { connected: Some(connected), .. } => {
                let told = connected.max_message_size.and_then(|bytes| usize::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
                told.unwrap_or(DEFAULT_MESSAGE_BYTES)
            }
            BaseCommand { error: Some(error), .. } => return Err(at(node, BrokerError::of(error.error, &error.message).plain())),
            _ => return Err(PubsubError::refused(format!("{node} does not answer as a Pulsar broker: check broker.url"))),
        };
        let (writing, written) = mpsc::channel(WAITING_COUNT);
        let pending = Arc::new(PendingReplies::default());
        let (from, to) = tokio::io::split(stream);
        tokio::spawn(write(to, written, pending.clone()));
        let reader = Reader {
            settings: settings.clone(),
            from,
            read,
            writing: writing.downgrade(),
            pending: pending.clone(),
            limit_bytes: max_message_bytes + PADDING_BYTES,
        };
        tokio::spawn(reader.run());
        Ok(Arc::new(Wire { writing, pending, node: node.clone(), max_message_bytes }))
    }

    /// A number for a producer, a consumer or a request.
    pub(super) fn next_id(&self) -> u64 {
        self.pending.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether it is up, as far as known.
    pub(super) fn is_up(&self) -> bool {
        !self.pending.ended.is_cancelled()
    }

    /// Waits until it has ended, and returns why.
    pub(super) async fn ended(&self) -> PubsubError {
        self.pending.ended.cancelled().await;
        self.pending.reason()
    }

    /// Why it has ended.
    pub(super) fn reason(&self) -> PubsubError {
        self.pending.reason()
    }

    /// Ends it. Frames that are already queued may still be written.
    pub(super) fn close(&self) {
        self.pending.end(closed());
    }

    /// Queues a frame to be written.
    pub(super) async fn send(&self, frame: Written) -> Result<()> {
        self.writing.send(frame).await.map_err(|_| self.reason())
    }

    /// Sends a command that has no response.
    pub(super) async fn send_command(&self, command: &BaseCommand) -> Result<()> {
        self.send(frame::command(command)).await
    }

    /// Sends a command, and waits for its response. `what` describes the command in errors, `make` creates it from the request's number.
    pub(super) async fn request(&self, what: &str, make: impl FnOnce(u64) -> BaseCommand) -> Result<BaseCommand, Failure> {
        let number = self.next_id();
        let (done, answer) = oneshot::channel();
        {
            let mut waiting = lock(&self.pending.waiting);
            if waiting.is_over {
                return Err(self.reason().into());
            }
            waiting.requests.insert(number, done);
        }
        let _forgotten = ForgetOnDrop { pending: &self.pending, number };
        let command = make(number);
        let asking = async {
            self.send_command(&command).await?;
            match answer.await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(refusal)) => Err(Failure::Refused(refusal)),
                Err(_) => Err(Failure::Lost(self.reason())),
            }
        };
        let late = |_| Err(Failure::Lost(PubsubError::unavailable(format!("no answer to {what} within {} s", CALL_TIME.as_secs()))));
        timeout(CALL_TIME, asking).await.unwrap_or_else(late)
    }

    /// Registers a producer for its events; at most `in_flight_count` of its messages may be in flight.
    pub(super) fn producer(&self, id: u64, in_flight_count: usize) -> mpsc::Receiver<ProducerEvent> {
        let (sender, receiver) = mpsc::channel(in_flight_count + SPARE_COUNT);
        let mut waiting = lock(&self.pending.waiting);
        if !waiting.is_over {
            waiting.producers.insert(id, sender);
        }
        receiver
    }

    /// Registers a consumer for its events; it may permit the broker to send at most `permitted_count` messages.
    pub(super) fn consumer(&self, id: u64, permitted_count: usize) -> mpsc::Receiver<ConsumerEvent> {
        let (sender, receiver) = mpsc::channel(permitted_count + SPARE_COUNT);
        let mut waiting = lock(&self.pending.waiting);
        if !waiting.is_over {
            waiting.consumers.insert(id, sender);
        }
        receiver
    }

    /// Removes a producer's registration.
    pub(super) fn forget_producer(&self, id: u64) {
        lock(&self.pending.waiting).producers.remove(&id);
    }

    /// Removes a consumer's registration.
    pub(super) fn forget_consumer(&self, id: u64) {
        lock(&self.pending.waiting).consumers.remove(&id);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.close();
    }
}

/// A request, removed if its caller gives up.
struct ForgetOnDrop<'a> {
    pending: &'a PendingReplies,
    number: u64,
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        lock(&self.pending.waiting).requests.remove(&self.number);
    }
}

fn at(node: &Node, error: PubsubError) -> PubsubError {
    match error {
        PubsubError::Refused { reason, source } => PubsubError::Refused { reason: format!("{node}: {reason}"), source },
        other => other,
    }
}

/// Reads one command on a connection that is being opened.
async fn answer(stream: &mut Box<dyn Stream>, read: &mut BytesMut) -> Result<BaseCommand> {
    loop {
        if let Some(frame) = frame::take(read, DEFAULT_MESSAGE_BYTES).map_err(|_| another(read))? {
            return Ok(frame.command);
        }
        match stream.read_buf(read).await {
            Ok(0) => return Err(lost("it was closed; check that this is a port for Pulsar (6650, with TLS 6651)")),
            Ok(_) => {}
            Err(error) => {
                return Err(match tls::problem(&error, "broker.url", "6651") {
                    Some(problem) => PubsubError::refused(problem),
                    None => lost(error.to_string()),
                });
            }
        }
    }
}

/// The peer is not a Pulsar broker, or uses another protocol, as its first bytes show.
fn another(read: &[u8]) -> PubsubError {
    PubsubError::refused(match read {
        [b'H', b'T', b'T', b'P', ..] => {
            "it answers with HTTP: set broker.url to the port of the broker (6650, with TLS 6651), not of its admin API"
        }
        // A TLS alert.
        [0x15, 0x03, ..] => "it requires TLS: use pulsar+ssl://HOST:PORT as broker.url, or its port without TLS (6650)",
        _ => "it does not answer as a Pulsar broker: check the host and the port in broker.url",
    })
}

fn foreign(error: NotAFrame) -> PubsubError {
    PubsubError::unavailable_because("the connection to the broker was lost", error)
}

/// The writing task, which ends with the connection or when all senders are dropped.
async fn write(mut to: WriteHalf<Box<dyn Stream>>, mut written: mpsc::Receiver<Written>, pending: Arc<PendingReplies>) {
    let mut burst = Vec::with_capacity(BURST_COUNT);
    let ended = pending.ended.clone();
    let writing = async {
        while written.recv_many(&mut burst, BURST_COUNT).await > 0 {
            let mut joined = BytesMut::new();
            for Written { head, body } in burst.drain(..) {
                joined.extend_from_slice(&head);
                if body.len() < (16 << 10) {
                    joined.extend_from_slice(&body);
                } else {
                    to.write_all(&joined).await?;
                    joined.clear();
                    to.write_all(&body).await?;
                }
            }
            to.write_all(&joined).await?;
            to.flush().await?;
        }
        std::io::Result::Ok(())
    };
    let outcome = ended.run_until_cancelled(writing).await;
    if let Some(Err(error)) = outcome {
        pending.end(lost(error.to_string()));
    }
    let _ = timeout(PING_INTERVAL, to.shutdown()).await;
}

/// The reading task.
struct Reader {
    settings: Arc<ConnectionSettings>,
    from: ReadHalf<Box<dyn Stream>>,
    read: BytesMut,
    writing: mpsc::WeakSender<Written>,
    pending: Arc<PendingReplies>,
    limit_bytes: usize,
}

impl Reader {
    async fn run(mut self) {
        let ended = self.pending.ended.clone();
        if let Some(reason) = ended.run_until_cancelled(self.read()).await {
            self.pending.end(reason);
        }
    }

    /// Reads until the connection is lost, and returns the reason.
    async fn read(&mut self) -> PubsubError {
        let mut silent_count = 0;
        loop {
            loop {
                match frame::take(&mut self.read, self.limit_bytes) {
                    Ok(Some(frame)) => {
                        if let Err(error) = self.dispatch(frame) {
                            return error;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return foreign(error),
                }
            }
            match timeout(PING_INTERVAL, self.from.read_buf(&mut self.read)).await {
                Ok(Ok(0)) => return lost("the broker closed it"),
                Ok(Ok(_)) => silent_count = 0,
                Ok(Err(error)) => return lost(error.to_string()),
                Err(_) if silent_count >= MAX_MISSED_PINGS_COUNT => return lost("the broker no longer answers"),
                Err(_) => {
                    silent_count += 1;
                    self.write(&BaseCommand { ping: Some(Nothing {}), ..BaseCommand::of(kind::PING) });
                }
            }
        }
    }

    /// Queues a small command if there is room. A dropped ping, pong or token is followed by another.
    fn write(&self, command: &BaseCommand) {
        if let Some(writing) = self.writing.upgrade() {
            let _ = writing.try_send(frame::command(command));
        }
    }

    fn dispatch(&self, Frame { command, message }: Frame) -> Result<()> {
        match command.kind {
            kind::MESSAGE => {
                if let Some(delivered) = command.message {
                    let arrived = ReceivedEntry {
                        id: delivered.message_id,
                        redelivery_count: delivered.redelivery_count.unwrap_or(0),
                        ack_set: delivered.ack_set,
                        bytes: message,
                    };
                    self.to_consumer(delivered.consumer_id, ConsumerEvent::Message(arrived))?;
                }
            }
            kind::SEND_RECEIPT => {
                if let Some(receipt) = command.send_receipt {
                    self.to_producer(receipt.producer_id, ProducerEvent::Stored(receipt.sequence_id))?;
                }
            }
            kind::SEND_ERROR => {
                if let Some(SendError { producer_id, sequence_id, error, message }) = command.send_error {
                    self.to_producer(producer_id, ProducerEvent::Refused(sequence_id, BrokerError::of(error, &message)))?;
                }
            }
            kind::CLOSE_PRODUCER => {
                if let Some(close) = command.close_producer {
                    self.to_producer(close.id, ProducerEvent::Closed)?;
                }
            }
            kind::CLOSE_CONSUMER => {
                if let Some(close) = command.close_consumer {
                    self.to_consumer(close.id, ConsumerEvent::Closed)?;
                }
            }
            kind::PING => self.write(&BaseCommand { pong: Some(Nothing {}), ..BaseCommand::of(kind::PONG) }),
            kind::AUTH_CHALLENGE => self.authenticate()?,
            _ => match command.error {
                // Not about a request: the reason why the broker ends the connection.
                Some(error) if error.request_id == u64::MAX => return Err(lost(BrokerError::of(error.error, &error.message).to_string())),
                error => self.answered(BaseCommand { error, ..command }),
            },
        }
        Ok(())
    }

    /// Events for a consumer that is gone are dropped. More messages than permitted are a fault of the broker.
    fn to_consumer(&self, id: u64, arrival: ConsumerEvent) -> Result<()> {
        let waiting = lock(&self.pending.waiting);
        match waiting.consumers.get(&id).map(|consumer| consumer.try_send(arrival)) {
            Some(Err(TrySendError::Full(_))) => Err(lost("the broker sent more messages than it was permitted to")),
            _ => Ok(()),
        }
    }

    fn to_producer(&self, id: u64, receipt: ProducerEvent) -> Result<()> {
        let waiting = lock(&self.pending.waiting);
        match waiting.producers.get(&id).map(|producer| producer.try_send(receipt)) {
            Some(Err(TrySendError::Full(_))) => Err(lost("the broker confirmed more messages than it was sent")),
            _ => Ok(()),
        }
    }

    /// A token expires: the broker requests the next one.
    fn authenticate(&self) -> Result<()> {
        let (auth_method_name, auth_data) = self.settings.identification()?;
        let data = AuthData { auth_method_name, auth_data };
        let response =
            AuthResponse { client_version: Some(CLIENT.to_owned()), response: Some(data), protocol_version: Some(PROTOCOL_VERSION) };
        self.write(&BaseCommand { auth_response: Some(response), ..BaseCommand::of(kind::AUTH_RESPONSE) });
        Ok(())
    }

    /// The response to a request; other commands, and responses that no caller waits for, are ignored.
    fn answered(&self, command: BaseCommand) {
        let answer = match &command {
            BaseCommand { success: Some(success), .. } => (success.request_id, None),
            BaseCommand { producer_success: Some(success), .. } => (success.request_id, None),
            BaseCommand { lookup_response: Some(response), .. } => {
                let refusal = response.error.map(|error| BrokerError::of(error, response.message.as_deref().unwrap_or_default()));
                (response.request_id, refusal)
            }
            BaseCommand { ack_response: Some(response), .. } => {
                let refusal = response.error.map(|error| BrokerError::of(error, response.message.as_deref().unwrap_or_default()));
                let Some(number) = response.request_id else { return };
                (number, refusal)
            }
            BaseCommand { error: Some(error), .. } => (error.request_id, Some(BrokerError::of(error.error, &error.message))),
            _ => return,
        };
        let (number, refusal) = answer;
        if let Some(done) = lock(&self.pending.waiting).requests.remove(&number) {
            let _ = done.send(match refusal {
                Some(refusal) => Err(refusal),
                None => Ok(command),
            });
        }
    }
}
