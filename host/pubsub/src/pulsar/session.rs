//! A producer at the broker, for one topic on one connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::link::Link;
use super::proto::{BaseCommand, Close, EXCLUSIVE_ACCESS, Producer, SHARED_ACCESS, kind};
use super::wire::{Failure, ProducerEvent, Wire};

/// The time-out for ending a producer.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// A producer at the broker. Dropping it ends it in the background; see [`Session::close`].
pub(super) struct Session {
    pub(super) wire: Arc<Wire>,
    pub(super) id: u64,
    /// Its name at the broker.
    pub(super) name: String,
    pub(super) events: mpsc::Receiver<ProducerEvent>,
    is_ended: bool,
}

impl Session {
    /// Starts publishing on an existing topic, with at most `in_flight_count` messages in flight.
    pub(super) async fn open(link: &Link, topic: &str, in_flight_count: usize) -> Result<Self, Failure> {
        Session::begin(link, topic, SHARED_ACCESS, None, in_flight_count).await
    }

    /// Starts an exclusive producer, which prevents others from publishing on a topic; `Fenced` if others do. `name` is its name in the broker's
    /// tools, which must be unique.
    pub(super) async fn exclusive(link: &Link, topic: &str, name: Option<String>) -> Result<Self, Failure> {
        Session::begin(link, topic, EXCLUSIVE_ACCESS, name, 0).await
    }

    async fn begin(link: &Link, topic: &str, access_mode: i32, name: Option<String>, in_flight_count: usize) -> Result<Self, Failure> {
        let wire = link.to(topic).await?;
        let id = wire.next_id();
        let events = wire.producer(id, in_flight_count);
        // From here on it is ended when dropped, also if the caller gives up.
        let mut session = Session { wire: wire.clone(), id, name: String::new(), events, is_ended: false };
        let opened = wire.request("the start of publishing", |request_id| {
            let producer = Producer {
                topic: topic.to_owned(),
                producer_id: id,
                request_id,
                user_provided_producer_name: Some(name.is_some()),
                producer_name: name,
                access_mode: Some(access_mode),
            };
            BaseCommand { producer: Some(producer), ..BaseCommand::of(kind::PRODUCER) }
        });
        match opened.await {
            Ok(answer) => {
                session.name = answer.producer_success.map(|success| success.producer_name).unwrap_or_default();
                Ok(session)
            }
            Err(refused @ Failure::Refused(_)) => {
                session.forget();
                Err(refused)
            }
            Err(lost) => Err(lost),
        }
    }

    /// Records that the broker has ended it.
    pub(super) fn forget(&mut self) {
        self.is_ended = true;
        self.wire.forget_producer(self.id);
    }

    /// Ends it, and waits for that.
    pub(super) async fn close(mut self) {
        self.forget();
        let _ = timeout(CLOSE_TIME, end(self.wire.clone(), self.id)).await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.is_ended {
            self.wire.forget_producer(self.id);
            tokio::spawn(timeout(CLOSE_TIME, end(self.wire.clone(), self.id)));
        }
    }
}

async fn end(wire: Arc<Wire>, id: u64) {
    let closed = wire.request("the end of publishing", |request_id| BaseCommand {
        close_producer: Some(Close { id, request_id }),
        ..BaseCommand::of(kind::CLOSE_PRODUCER)
    });
    let _ = closed.await;
}
