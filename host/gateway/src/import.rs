//! An import: sends messages to one topic in order, with as many in flight as the broker writes in one group. Only if the queue is full and being
//! read, messages in flight after a refused one may overtake it.

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
/// Total size of their bodies.
const IN_FLIGHT_BYTES: usize = 8 << 20;

/// How long messages in flight may take to be confirmed after the flow or Weir has stopped.
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
    /// Its number within the request.
    pub(crate) number: u64,
    /// Its id.
    pub(crate) id: MessageId,
}

/// A message that was handed to the broker.
pub(crate) struct Sent {
    /// Its number within the request, as counted by the sender.
    number: u64,
    /// Its number within the import, from 0.
    order: u64,
    message: Message,
}

/// A message and its outcome.
type PublishOutcome = (Sent, Result<(), PubsubError>);

/// A message that is published and not confirmed.
struct InFlight {
    sent: Sent,
    confirm: Confirm,
}

/// Counts the outcomes of messages.
#[derive(Default)]
struct Tally {
    sent_count: u64,
    /// The number of stored messages from the first one on, up to one with an unknown outcome.
    stored_count: u64,
    /// Stored ones after that.
    stored_behind: BTreeSet<u64>,
    /// The number of messages that the broker refused and did not store.
    refused_count: u64,
}

impl Tally {
    /// Counts one more message, and returns its number.
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

    /// A refused one is resent.
    fn repeat(&mut self) {
        self.refused_count -= 1;
    }

    /// The number of messages after the counted ones that may be stored, too.
    fn unconfirmed_count(&self) -> u64 {
        self.sent_count - self.stored_count - self.refused_count
    }
}

/// An import in progress.
pub(crate) struct Import {
    producer: SharedProducer,
    /// Oldest first; they are confirmed in this order.
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: usize,
    /// Messages refused by a full queue, to be resent in this order.
    refused: VecDeque<Sent>,
    /// The share of messages in flight.
    share: Share,
    tally: Tally,
    /// Collects the stored messages; `None` if not requested.
    answers: Option<Vec<Stored>>,
    full_queue_timeout: Duration,
}

impl Import {
    /// Starts an import, which waits at most `full_queue_timeout` for a full queue.
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

    /// Records each message that is stored from now on.
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

    /// Passes one message to the broker, as soon as the limits of messages in flight permit.
    ///
    /// # Cancel safety
    /// The message may have been passed on, and is counted if it was.
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
        // The outcome of a message that is refused immediately is taken in order like the others.
        let confirm = self.producer.publish(sent.message.clone()).await.unwrap_or_else(|error| Confirm::resolved(Err(error)));
        self.in_flight_bytes += sent.message.body.len();
        self.in_flight.push_back(InFlight { sent, confirm });
        Ok(())
    }

    /// The outcome of the oldest message in flight, to be [recorded](Import::take); `None` if there is none.
    ///
    /// # Cancel safety
    /// No outcome is lost.
    pub(crate) async fn next(&mut self) -> Option<PublishOutcome> {
        let oldest = self.in_flight.front_mut()?;
        let outcome = (&mut oldest.confirm).await;
        let InFlight { sent, .. } = self.in_flight.pop_front()?;
        self.in_flight_bytes -= sent.message.body.len();
        Some((sent, outcome))
    }

    /// Records an outcome and all others known by now: a group of writes completes for all its messages at once.
    pub(crate) async fn take_known(&mut self, first: PublishOutcome) -> Result<(), Ended> {
        let mut next = Some(first);
        while let Some(outcome) = next {
            self.take(outcome).await?;
            next = self.next().now_or_never().flatten();
        }
        Ok(())
    }

    /// Waits until everything is stored. If `over` completes first, messages in flight get a short time to be confirmed, and nothing is resent.
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

    /// Records an outcome. A message refused by a full queue is kept; it and those after it are resent before any others.
    async fn take(&mut self, outcome: PublishOutcome) -> Result<(), Ended> {
        if let Some(error) = self.note(outcome) {
            return Err(Ended::Broker(error));
        }
        if !self.refused.is_empty() {
            self.send_again().await?;
        }
        self.share.try_resize(self.in_flight_bytes);
        Ok(())
    }

    /// The error, unless the message was stored or its queue is full.
    fn note(&mut self, (sent, outcome): PublishOutcome) -> Option<PubsubError> {
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
        // Unconfirmed: 1 (unknown), 2 (stored) and 5 (not answered).
        assert_eq!((tally.stored_count, tally.unconfirmed_count()), (1, 3));
        tally.repeat();
        assert_eq!((tally.stored_count, tally.unconfirmed_count()), (1, 4));
        tally.store(1);
        assert_eq!((tally.stored_count, tally.unconfirmed_count()), (3, 2));
    }
}
