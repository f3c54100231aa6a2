//! A consumer of one subscription on one connection, as the broker has it.

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

/// How long the end of a consumer is waited for.
const CLOSE_TIME: Duration = Duration::from_secs(10);
/// How many messages the broker may have on its way to one consumer.
pub(super) const PERMITTED_COUNT: u32 = 4096;

/// How a subscription is read.
pub(super) struct Reading<'a> {
    pub(super) topic: &'a str,
    pub(super) subscription: &'a str,
    /// Whether others may read it too.
    pub(super) is_shared: bool,
    /// Whether it stays when its reader goes; one that does not is made by reading it.
    pub(super) is_durable: bool,
    /// Whether a topic that is missing is made, where the namespace permits that.
    pub(super) makes_topic: bool,
    pub(super) start: Start,
}

/// Where one that is made begins.
pub(super) enum Start {
    Newest,
    Oldest,
    /// Behind this place.
    Behind(MessageIdData),
}

/// A consumer that the broker has. Dropping it ends it in the background; see [`Subscribed::close`].
pub(super) struct Subscribed {
    pub(super) wire: Arc<Wire>,
    id: u64,
    pub(super) arrivals: mpsc::Receiver<ConsumerEvent>,
    is_ended: bool,
}

impl Subscribed {
    /// Begins to read. Nothing comes before it is permitted.
    pub(super) async fn open(link: &Link, reading: Reading<'_>) -> Result<Self, Failure> {
        let wire = link.to(reading.topic).await?;
        let id = wire.next_id();
        let arrivals = wire.consumer(id, PERMITTED_COUNT as usize);
        // From here on it is ended, also when nobody waits for it any more.
        let mut subscribed = Subscribed { wire: wire.clone(), id, arrivals, is_ended: false };
        let (initial_position, start_message_id) = match reading.start {
            Start::Newest => (LATEST, None),
            Start::Oldest => (EARLIEST, None),
            Start::Behind(position) => (EARLIEST, Some(position)),
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

    /// Permits the broker to send so many messages more.
    pub(super) async fn permit(&self, permits: u32) -> Result<()> {
        let flow = Flow { consumer_id: self.id, permits };
        self.wire.send_command(&BaseCommand { flow: Some(flow), ..BaseCommand::of(kind::FLOW) }).await
    }

    /// The same, and waits until the broker has taken it: what is published from then on comes, also on a topic that is not kept. Commands of one
    /// connection are taken in their order, so an answer to a later one says so.
    pub(super) async fn permit_confirmed(&self, permits: u32, topic: &str) -> Result<(), Failure> {
        self.permit(permits).await?;
        let asked = self.wire.request("the first permission of a subscription", |request_id| {
            let lookup = Lookup { topic: topic.to_owned(), request_id, authoritative: Some(false) };
            BaseCommand { lookup: Some(lookup), ..BaseCommand::of(kind::LOOKUP) }
        });
        asked.await.map(|_| ())
    }

    /// What acknowledges for it.
    pub(super) fn acknowledger(&self) -> Acknowledger {
        Acknowledger::of(self.wire.clone(), self.id)
    }

    /// The broker has ended it.
    pub(super) fn forget(&mut self) {
        self.is_ended = true;
        self.wire.forget_consumer(self.id);
    }

    /// Ends it, and waits for that: what it has and did not acknowledge goes to others.
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

/// Acknowledges messages of a consumer, and gives them back.
#[derive(Clone)]
pub(super) struct Acknowledger {
    wire: Arc<Wire>,
    id: u64,
}

impl Acknowledger {
    /// Of the consumer with this number.
    pub(super) fn of(wire: Arc<Wire>, id: u64) -> Self {
        Acknowledger { wire, id }
    }

    /// Whether its connection is there, as far as is known.
    pub(super) fn is_up(&self) -> bool {
        self.wire.is_up()
    }

    /// Acknowledges messages, and waits until the broker has done it.
    pub(super) async fn acknowledge(&self, message_ids: Vec<MessageIdData>) -> Result<(), Failure> {
        let acknowledged = self.wire.request("an acknowledgement", |request_id| {
            let ack = Ack { consumer_id: self.id, ack_type: INDIVIDUAL, message_ids, request_id: Some(request_id) };
            BaseCommand { ack: Some(ack), ..BaseCommand::of(kind::ACK) }
        });
        acknowledged.await.map(|_| ())
    }

    /// Acknowledges what nobody waits for.
    pub(super) async fn discard(&self, message_ids: Vec<MessageIdData>) -> Result<()> {
        let ack = Ack { consumer_id: self.id, ack_type: INDIVIDUAL, message_ids, request_id: None };
        self.wire.send_command(&BaseCommand { ack: Some(ack), ..BaseCommand::of(kind::ACK) }).await
    }

    /// Gives messages back: the broker sends them to any consumer that it may send to.
    pub(super) async fn requeue(&self, message_ids: Vec<MessageIdData>) -> Result<()> {
        let redeliver = Redeliver { consumer_id: self.id, message_ids };
        self.wire.send_command(&BaseCommand { redeliver: Some(redeliver), ..BaseCommand::of(kind::REDELIVER) }).await
    }
}

/// What this process is called in the broker's own tools: its number, and the machine.
pub(super) fn process() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine: String = machine.trim().chars().filter(char::is_ascii_graphic).take(100).collect();
    let machine = if machine.is_empty() { "unknown machine" } else { &machine };
    format!("process {} on {machine}", std::process::id())
}
