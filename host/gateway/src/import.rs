//! Messages on their way into one topic: as many at once as the broker writes in one group, in the order in which they were sent. Only where
//! the queue is full and somebody reads it, what was on the way behind a refused message may pass it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::Instant;
use weir_pubsub::{Backoff, Confirm, Message, MessageId, Producer, PubsubError};

use crate::budget::Share;
use crate::dispatch::SharedProducer;
use crate::error::GatewayError;

/// Messages handed to the broker whose outcome is not known yet: enough to fill its groups of writes.
const IN_FLIGHT_COUNT: usize = 256;
/// Their bodies together.
const IN_FLIGHT_BYTES: usize = 8 << 20;

/// What ends an import early.
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

/// A message with its number among those of the request, and what became of it.
type Outcome = (u64, Message, Result<(), PubsubError>);

/// A message that is published and not confirmed.
struct InFlight {
    number: u64,
    message: Message,
    confirm: Confirm,
}

/// An import that is under way.
pub(crate) struct Import {
    producer: SharedProducer,
    /// The oldest first; they are confirmed in this order.
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: usize,
    /// Of what is in flight.
    share: Share,
    stored_count: u64,
    /// Where each stored message is told; none where nobody asked.
    answers: Option<Vec<Stored>>,
    full_time: Duration,
}

impl Import {
    /// Begins one; a full queue is waited for as long as is said.
    pub(crate) fn new(producer: SharedProducer, share: Share, full_time: Duration) -> Self {
        Import { producer, in_flight: VecDeque::new(), in_flight_bytes: 0, share, stored_count: 0, answers: None, full_time }
    }

    /// Notes each message that is stored from now on.
    pub(crate) fn answering(mut self) -> Self {
        self.answers = Some(Vec::new());
        self
    }

    /// Messages that are stored.
    pub(crate) fn stored_count(&self) -> u64 {
        self.stored_count
    }

    /// What was stored since this was called last.
    pub(crate) fn take_answers(&mut self) -> Vec<Stored> {
        self.answers.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Hands one message to the broker, as soon as there is room among those that are under way.
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
        // What is refused at once waits for its turn like the others.
        let confirm = self.producer.publish(message.clone()).await.unwrap_or_else(|error| Confirm::known(Err(error)));
        self.in_flight_bytes += message.body.len();
        self.in_flight.push_back(InFlight { number, message, confirm });
        Ok(())
    }

    /// The outcome of the oldest message that is under way, to be [taken](Import::take); `None` if none is.
    ///
    /// # Cancel safety
    /// No outcome is lost.
    pub(crate) async fn next(&mut self) -> Option<Outcome> {
        let oldest = self.in_flight.front_mut()?;
        let outcome = (&mut oldest.confirm).await;
        let InFlight { number, message, .. } = self.in_flight.pop_front()?;
        Some((number, message, outcome))
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

    /// Waits until everything is stored.
    pub(crate) async fn finish(&mut self) -> Result<(), Ended> {
        let mut first_error = Ok(());
        while let Some(outcome) = self.next().await {
            let taken = self.take(outcome).await;
            first_error = first_error.and(taken);
        }
        first_error
    }

    async fn take(&mut self, (number, message, outcome): Outcome) -> Result<(), Ended> {
        self.in_flight_bytes -= message.body.len();
        match outcome {
            Ok(()) => self.note(number, &message),
            Err(PubsubError::QueueFull { .. }) => self.send_again(number, message).await?,
            Err(error) => return Err(Ended::Broker(error)),
        }
        self.share.try_resize(self.in_flight_bytes);
        Ok(())
    }

    /// The queue is full: nothing more is sent until what was refused is stored, in its order.
    async fn send_again(&mut self, number: u64, first: Message) -> Result<(), Ended> {
        let mut refused = VecDeque::from([(number, first)]);
        while let Some((number, message, outcome)) = self.next().await {
            self.in_flight_bytes -= message.body.len();
            match outcome {
                Ok(()) => self.note(number, &message),
                Err(PubsubError::QueueFull { .. }) => refused.push_back((number, message)),
                Err(error) => return Err(Ended::Broker(error)),
            }
        }
        for (number, message) in refused {
            wait_for_room(&***self.producer, &message, self.full_time).await?;
            self.note(number, &message);
        }
        Ok(())
    }

    fn note(&mut self, number: u64, message: &Message) {
        self.stored_count += 1;
        if let (Some(answers), Some(id)) = (&mut self.answers, message.id) {
            answers.push(Stored { number, id });
        }
    }
}

async fn wait_for_room(producer: &dyn Producer, message: &Message, time: Duration) -> Result<(), Ended> {
    let deadline = Instant::now() + time;
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(500));
    loop {
        match producer.publish_confirmed(message.clone()).await {
            Ok(()) => return Ok(()),
            Err(PubsubError::QueueFull { .. }) if Instant::now() < deadline => {}
            Err(error) => return Err(Ended::Broker(error)),
        }
        let wait = backoff.next_wait(&mut rand::rng());
        tokio::time::sleep(wait).await;
    }
}
