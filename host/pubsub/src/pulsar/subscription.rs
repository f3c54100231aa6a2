//! A consumer at the broker, for one subscription on one connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::link::Link;
use super::proto::{
    Ack, BaseCommand, Close, EARLIEST, EXCLUSIVE, Flow, INDIVIDUAL, LATEST, Lookup, MessageIdData, Redeliver, SHARED, Subscribe, kind,
};
use super::wire::{ConsumerEvent, Failure, Wire};
use crate::error::Result;

/// The time-out for ending a consumer.
const CLOSE_TIME: Duration = Duration::from_secs(10);
/// The maximum number of messages that the broker may send ahead to one consumer.
pub(super) const PERMITTED_COUNT: u32 = 4096;

/// How a subscription is read.
pub(super) struct Reading<'a> {
    pub(super) topic: &'a str,
    pub(super) subscription: &'a str,
    /// Whether others may consume it too.
    pub(super) is_shared: bool,
    /// Whether it outlives its reader; one that does not is created by reading it.
    pub(super) is_durable: bool,
    /// Whether a missing topic is created, if the namespace allows that.
    pub(super) makes_topic: bool,
    pub(super) start: InitialPosition,
}

/// Where a new subscription begins.
pub(super) enum InitialPosition {
    Newest,
    Oldest,
    /// After this position.
    Behind(MessageIdData),
}

/// A consumer at the broker. Dropping it ends it in the background; see [`Subscribed::close`].
pub(super) struct Subscribed {
    pub(super) wire: Arc<Wire>,
    id: u64,
    pub(super) arrivals: mpsc::Receiver<ConsumerEvent>,
    is_ended: bool,
}

impl Subscribed {
    /// Subscribes. No messages arrive before they are permitted.
    pub(super) async fn open(link: &Link, reading: Reading<'_>) -> Result<Self, Failure> {
        let wire = link.to(reading.topic).await?;
        let id = wire.next_id();
        let arrivals = wire.consumer(id, PERMITTED_COUNT as usize);
        // From here on it is ended when dropped, also if the caller gives up.
        let mut subscribed = Subscribed { wire: wire.clone(), id, arrivals, is_ended: false };
        let (initial_position, start_message_id) = match reading.start {
            InitialPosition::Newest => (LATEST, None),
            InitialPosition::Oldest => (EARLIEST, None),
            InitialPosition::Behind(position) => (EARLIEST, Some(position)),
        };
        let opened = wire.request("a subscription", |request_id| {
            let subscribe = Subscribe {
                topic: reading.topic.to_owned(),
                subscription: reading.subscription.to_owned(),
                sub_type: if reading.is_shared { SHARED } else { EXCLUSIVE },
                consumer_id: id,
                request_id,
                consumer_name: Some(process()),
                durable: Some(reading.is_durable),
                start_message_id,
                initial_position: Some(initial_position),
                force_topic_creation: Some(reading.makes_topic),
            };
            BaseCommand { subscribe: Some(subscribe), ..BaseCommand::of(kind::SUBSCRIBE) }
        });
        match opened.await {
            Ok(_) => Ok(subscribed),
            Err(refused @ Failure::Refused(_)) => {
                subscribed.forget();
                Err(refused)
            }
            Err(lost) => Err(lost),
        }
    }

    /// Permits the broker to send this many more messages.
    pub(super) async fn permit(&self, permits: u32) -> Result<()> {
        let flow = Flow { consumer_id: self.id, permits };
        self.wire.send_command(&BaseCommand { flow: Some(flow), ..BaseCommand::of(kind::FLOW) }).await
    }

    /// Permits messages, and waits until the broker has processed that: what is published from then on is received, even on a topic that is not
    /// stored. The broker processes the commands of a connection in order, so the response to a later one proves it.
    pub(super) async fn permit_confirmed(&self, permits: u32, topic: &str) -> Result<(), Failure> {
        self.permit(permits).await?;
        let asked = self.wire.request("the first permission of a subscription", |request_id| {
            let lookup = Lookup { topic: topic.to_owned(), request_id, authoritative: Some(false) };
            BaseCommand { lookup: Some(lookup), ..BaseCommand::of(kind::LOOKUP) }
        });
        asked.await.map(|_| ())
    }

    /// The handle for acknowledging its messages.
    pub(super) fn acknowledger(&self) -> Acknowledger {
        Acknowledger::of(self.wire.clone(), self.id)
    }

    /// Records that the broker has ended it.
    pub(super) fn forget(&mut self) {
        self.is_ended = true;
        self.wire.forget_consumer(self.id);
    }

    /// Ends it, and waits for that: its unacknowledged messages are redelivered to others.
    pub(super) async fn close(mut self) {
        self.forget();
        let _ = timeout(CLOSE_TIME, end(self.wire.clone(), self.id)).await;
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        if !self.is_ended {
            self.wire.forget_consumer(self.id);
            tokio::spawn(timeout(CLOSE_TIME, end(self.wire.clone(), self.id)));
        }
    }
}

async fn end(wire: Arc<Wire>, id: u64) {
    let closed = wire.request("the end of a subscription", |request_id| BaseCommand {
        close_consumer: Some(Close { id, request_id }),
        ..BaseCommand::of(kind::CLOSE_CONSUMER)
    });
    let _ = closed.await;
}

/// Acknowledges and requeues messages of a consumer.
#[derive(Clone)]
pub(super) struct Acknowledger {
    wire: Arc<Wire>,
    id: u64,
}

impl Acknowledger {
    /// The handle of the consumer with this number.
    pub(super) fn of(wire: Arc<Wire>, id: u64) -> Self {
        Acknowledger { wire, id }
    }

    /// Whether its connection is up, as far as known.
    pub(super) fn is_up(&self) -> bool {
        self.wire.is_up()
    }

    /// Acknowledges messages, and waits for the broker's confirmation.
    pub(super) async fn acknowledge(&self, message_ids: Vec<MessageIdData>) -> Result<(), Failure> {
        let acknowledged = self.wire.request("an acknowledgement", |request_id| {
            let ack = Ack { consumer_id: self.id, ack_type: INDIVIDUAL, message_ids, request_id: Some(request_id) };
            BaseCommand { ack: Some(ack), ..BaseCommand::of(kind::ACK) }
        });
        acknowledged.await.map(|_| ())
    }

    /// Acknowledges messages without waiting for a confirmation.
    pub(super) async fn discard(&self, message_ids: Vec<MessageIdData>) -> Result<()> {
        let ack = Ack { consumer_id: self.id, ack_type: INDIVIDUAL, message_ids, request_id: None };
        self.wire.send_command(&BaseCommand { ack: Some(ack), ..BaseCommand::of(kind::ACK) }).await
    }

    /// Requeues messages: the broker redelivers them to any consumer with permits.
    pub(super) async fn requeue(&self, message_ids: Vec<MessageIdData>) -> Result<()> {
        let redeliver = Redeliver { consumer_id: self.id, message_ids };
        self.wire.send_command(&BaseCommand { redeliver: Some(redeliver), ..BaseCommand::of(kind::REDELIVER) }).await
    }
}

/// The name of this process in the broker's tools: its process id and the machine.
pub(super) fn process() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine: String = machine.trim().chars().filter(char::is_ascii_graphic).take(100).collect();
    let machine = if machine.is_empty() { "unknown machine" } else { &machine };
    format!("process {} on {machine}", std::process::id())
}
