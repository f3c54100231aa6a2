//! An import: messages on their way into one topic, as many at once as the broker writes in one group, in the order in which they were sent. Only if
//! the queue is full and read at the same time, messages in flight behind a refused one may overtake it.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::Instant;
use weir_pubsub::{Backoff, Confirm, Message, MessageId, Producer, PubsubError};

use crate::budget::Share;
use crate::dispatch::SharedProducer;
use crate::error::GatewayError;
use crate::protocol::{ErrorBody, Imported};

/// Messages sent to the broker whose outcome is pending: enough to fill its groups of writes.
const IN_FLIGHT_COUNT: usize = 256;
/// Their bodies together.
const IN_FLIGHT_BYTES: usize = 8 << 20;

/// How long what is under way may take to be confirmed after the flow or Weir has stopped.
const CONFIRM_TIME: Duration = Duration::from_secs(2);

/// Why an import ends early.
pub(crate) enum Ended {
    /// The request, or the gateway.
    Gateway(GatewayError),
    /// The broker.
    Broker(PubsubError),
}

impl From<GatewayError> for Ended {
    fn from(error: GatewayError) -> Self {
        Ended::Gateway(error)
    }
}

/// A message that is stored.
pub(crate) struct Stored {
    /// Its number among those of the request.
    pub(crate) number: u64,
    /// Its id.
    pub(crate) id: MessageId,
}

/// A message that was handed to the broker.
pub(crate) struct Sent {
    /// Among those of the request, as its sender counts them.
    number: u64,
    /// Among those of the import, from 0.
    order: u64,
    message: Message,
}

/// A message, and what became of it.
type Outcome = (Sent, Result<(), PubsubError>);

/// A message that is published and not confirmed.
struct InFlight {
    sent: Sent,
    confirm: Confirm,
}

/// Counts what became of the messages.
#[derive(Default)]
struct Tally {
    sent_count: u64,
    /// Those from the first on that are stored, up to one of which that is not known.
    stored_count: u64,
    /// Stored ones behind them.
    stored_behind: BTreeSet<u64>,
    /// Those that the broker refused: it has not stored them.
    refused_count: u64,
}

impl Tally {
    /// The place of one message more.
    fn send(&mut self) -> u64 {
        self.sent_count += 1;
        self.sent_count - 1
    }

    fn store(&mut self, order: u64) {
        self.stored_behind.insert(order);
        while self.stored_behind.remove(&self.stored_count) {
            self.stored_count += 1;
        }
    }

    /// Counts one that failed.
    fn fail(&mut self, error: &PubsubError) {
        self.refused_count += u64::from(!matches!(error, PubsubError::OutcomeUnknown { .. }));
    }

    /// A refused one is sent again.
    fn repeat(&mut self) {
        self.refused_count -= 1;
    }

    /// Those behind the counted ones that may be stored too.
    fn unconfirmed_count(&self) -> u64 {
        self.sent_count - self.stored_count - self.refused_count
    }
}

/// An import that is under way.
pub(crate) struct Import {
    producer: SharedProducer,
    /// The oldest first; they are confirmed in this order.
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: usize,
    /// Those that a full queue refused, to be sent again in this order.
    refused: VecDeque<Sent>,
    /// Of what is in flight.
    share: Share,
    tally: Tally,
    /// Where each stored message is reported; none if not requested.
    answers: Option<Vec<Stored>>,
    full_queue_timeout: Duration,
}

impl Import {
    /// Begins one; a full queue is waited for as long as is said.
    pub(crate) fn new(producer: SharedProducer, share: Share, full_queue_timeout: Duration) -> Self {
        Import {
            producer,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            refused: VecDeque::new(),
            share,
            tally: Tally::default(),
            answers: None,
            full_queue_timeout,
        }
    }

    /// Notes each message that is stored from now on.
    pub(crate) fn answering(mut self) -> Self {
        self.answers = Some(Vec::new());
        self
    }

    /// The report at its end.
    pub(crate) fn imported(&self, error: Option<ErrorBody>) -> Imported {
        Imported { count: self.tally.stored_count, unconfirmed_count: self.tally.unconfirmed_count(), error }
    }

    /// The messages stored since the last call.
    pub(crate) fn take_answers(&mut self) -> Vec<Stored> {
        self.answers.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Hands one message to the broker, as soon as there is room among those that are under way.
    ///
    /// # Cancel safety
    /// The message may have been handed over, and counts as such if it was.
    pub(crate) async fn send(&mut self, number: u64, body: Bytes) -> Result<(), Ended> {
        while self.in_flight.len() >= IN_FLIGHT_COUNT || self.in_flight_bytes + body.len() > IN_FLIGHT_BYTES {
            let Some(outcome) = self.next().await else { break };
            self.take(outcome).await?;
        }
        while !self.share.try_resize(self.in_flight_bytes + body.len()) {
            match self.next().await {
                Some(outcome) => self.take(outcome).await?,
                None => self.share.resize_soon(body.len()).await?,
            }
        }
        let message = Message { id: Some(MessageId::random(&mut rand::rng())), ..Message::new(body) };
        let sent = Sent { number, order: self.tally.send(), message };
        // A message that is refused immediately waits for its turn like the others.
        let confirm = self.producer.publish(sent.message.clone()).await.unwrap_or_else(|error| Confirm::resolved(Err(error)));
        self.in_flight_bytes += sent.message.body.len();
        self.in_flight.push_back(InFlight { sent, confirm });
        Ok(())
    }

    /// The outcome of the oldest message that is under way, to be [taken](Import::take); `None` if none is.
    ///
    /// # Cancel safety
    /// No outcome is lost.
    pub(crate) async fn next(&mut self) -> Option<Outcome> {
        let oldest = self.in_flight.front_mut()?;
        let outcome = (&mut oldest.confirm).await;
        let InFlight { sent, .. } = self.in_flight.pop_front()?;
        self.in_flight_bytes -= sent.message.body.len();
        Some((sent, outcome))
    }

    /// Takes an outcome, and all others that are known by now: a group of writes ends for all its messages at once.
    pub(crate) async fn take_known(&mut self, first: Outcome) -> Result<(), Ended> {
        let mut next = Some(first);
        while let Some(outcome) = next {
            self.take(outcome).await?;
            next = self.next().now_or_never().flatten();
        }
        Ok(())
    }

    /// Waits until everything is stored. When `over` ends before that, what is under way has a short time to be confirmed, and nothing is sent
    /// again.
    pub(crate) async fn finish(&mut self, over: impl Future<Output = GatewayError>) -> Result<(), Ended> {
        let error = tokio::select! {
            biased;
            error = over => error,
            finished = self.finish_all() => return finished,
        };
        let noted = async {
            while let Some(outcome) = self.next().await {
                self.note(outcome);
            }
        };
        let is_noted = tokio::time::timeout(CONFIRM_TIME, noted).await.is_ok();
        let is_stored = is_noted && self.tally.stored_count == self.tally.sent_count;
        if is_stored { Ok(()) } else { Err(error.into()) }
    }

    async fn finish_all(&mut self) -> Result<(), Ended> {
        let mut first_error = Ok(());
        while let Some(outcome) = self.next().await {
            let taken = self.take(outcome).await;
            first_error = first_error.and(taken);
        }
        first_error
    }

    /// Records an outcome. A message refused by a full queue is kept, and it and those after it are sent again, before any others.
    async fn take(&mut self, outcome: Outcome) -> Result<(), Ended> {
        if let Some(error) = self.note(outcome) {
            return Err(Ended::Broker(error));
        }
        if !self.refused.is_empty() {
            self.send_again().await?;
        }
        self.share.try_resize(self.in_flight_bytes);
        Ok(())
    }

    /// The error, unless it was stored or its queue is full.
    fn note(&mut self, (sent, outcome): Outcome) -> Option<PubsubError> {
        let Err(error) = outcome else {
            self.store(&sent);
            return None;
        };
        self.tally.fail(&error);
        match error {
            PubsubError::QueueFull { .. } => self.refused.push_back(sent),
            error => return Some(error),
        }
        None
    }

    async fn send_again(&mut self) -> Result<(), Ended> {
        while let Some(outcome) = self.next().await {
            if let Some(error) = self.note(outcome) {
                return Err(Ended::Broker(error));
            }
        }
        while let Some(first) = self.refused.front() {
            let sent = wait_for_room(&***self.producer, &first.message, self.full_queue_timeout, &mut self.tally).await;
            let first = self.refused.pop_front();
            if let Err(error) = sent {
                self.refused.clear();
                return Err(error);
            }
            if let Some(first) = first {
                self.store(&first);
            }
        }
        Ok(())
    }

    fn store(&mut self, sent: &Sent) {
        self.tally.store(sent.order);
        if let (Some(answers), Some(id)) = (&mut self.answers, sent.message.id) {
            answers.push(Stored { number: sent.number, id });
        }
    }
}

/// Sends a refused message until it is stored.
async fn wait_for_room(producer: &dyn Producer, message: &Message, time: Duration, tally: &mut Tally) -> Result<(), Ended> {
    let deadline = Instant::now() + time;
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(500));
    loop {
        tally.repeat();
        let published = producer.publish_confirmed(message.clone()).await;
        match published.inspect_err(|error| tally.fail(error)) {
            Ok(()) => return Ok(()),
            Err(PubsubError::QueueFull { .. }) if Instant::now() < deadline => {}
            Err(error) => return Err(Ended::Broker(error)),
        }
        let wait = backoff.next_wait(&mut rand::rng());
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_stored_without_a_gap_are_counted() {
        let mut tally = Tally::default();
        for order in 0..6 {
            assert_eq!(tally.send(), order);
        }
        let full = PubsubError::full("q", 1, 1);
        tally.store(0);
        tally.fail(&PubsubError::outcome_unknown("lost"));
        tally.store(2);
        tally.fail(&PubsubError::unavailable("away"));
        tally.fail(&full);
        // In doubt: 1, which is unknown, 2, which is stored, and 5, which is not answered.
        assert_eq!((tally.stored_count, tally.unconfirmed_count()), (1, 3));
        tally.repeat();
        assert_eq!((tally.stored_count, tally.unconfirmed_count()), (1, 4));
        tally.store(1);
        assert_eq!((tally.stored_count, tally.unconfirmed_count()), (3, 2));
    }
}
