//! Publishing in two stages: a message is assigned its position in the order, then it is confirmed.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::{PubsubError, Result};
use crate::error_text::chain;
use crate::message::{Message, MessageId};
use crate::retry::Backoff;
use crate::topic::Topic;

/// Waits before a message is resent.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Publishes on one topic. It survives a lost connection.
#[async_trait]
pub trait Producer: Send + Sync {
    /// Assigns a message its position in the order and returns its [confirmation](Confirm). It first waits while too much is in flight or the broker
    /// accepts nothing. Messages of one producer are stored in the order in which their `publish` calls returned. If a message is stored twice, after
    /// a lost connection, this applies to its first copy.
    ///
    /// A message without an id gets a random one, except on `response` and `notify` topics, where an absent id stays absent.
    /// `response` and `notify` without a subscriber: the message is dropped without an error. `flow` and `request` without a queue: `QueueNotFound`,
    /// here or as the confirmation, and nothing was stored. A full queue of a `flow` topic refuses the message; where the broker supports it, for all
    /// queues of the topic, otherwise the other queues may store it. Queues of a `request` topic are independent: a full queue does not get the
    /// message and counts it as dropped; the message is refused only if no queue has room, or, if some have an [exclusive](super::Sharing) consumer,
    /// none of these.
    ///
    /// # Errors
    /// `TooLarge`, `Unavailable`, `Refused`, `QueueNotFound`, `QueueFull`, if known before anything is sent.
    ///
    /// # Cancel safety
    /// The message may or may not have been sent.
    async fn publish(&self, message: Message) -> Result<Confirm>;
}

impl dyn Producer + '_ {
    /// Publishes a message and waits for its confirmation.
    ///
    /// # Errors
    /// As [`Producer::publish`] and [`Confirm`].
    ///
    /// # Cancel safety
    /// As [`Producer::publish`].
    pub async fn publish_confirmed(&self, message: Message) -> Result<()> {
        self.publish(message).await?.await
    }

    /// Publishes a message, and repeats that while the broker is unreachable or has not confirmed it, for up to `longest`. The message may be stored
    /// more than once: use it for replies and notices whose duplicates readers recognize or tolerate, and which nothing else would repeat.
    ///
    /// # Errors
    /// As [`Producer::publish`] and [`Confirm`]; the last one when `longest` has passed.
    ///
    /// # Cancel safety
    /// As [`Producer::publish`].
    pub async fn publish_repeated(&self, message: Message, longest: Duration) -> Result<()> {
        let deadline = Instant::now() + longest;
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let error = match self.publish_confirmed(message.clone()).await {
                Err(error @ (PubsubError::Unavailable { .. } | PubsubError::OutcomeUnknown { .. })) => error,
                published => return published,
            };
            let wait = backoff.next_wait(&mut rand::rng());
            if Instant::now() + wait >= deadline {
                return Err(error);
            }
            tracing::debug!(error = %chain(&error), "message resent");
            tokio::time::sleep(wait).await;
        }
    }
}

/// Waits until the broker has stored a published message: for `flow` topics, until it is durable in every queue of the topic.
///
/// # Errors
/// `QueueNotFound`, `Refused`, `Unavailable`, `TooLarge`: the message was not stored. `QueueFull`: not in every queue of the topic; others may have
/// it, and publishing it again stores it there again, with the same id. `OutcomeUnknown`: it may have been stored; this is the outcome of messages
/// that were unconfirmed when the connection was lost, unless the backend resends them, which may store duplicates of as many messages as may be in
/// flight. Polled again after it has completed, it returns `OutcomeUnknown`.
///
/// # Cancel safety
/// Dropping it changes nothing: the message is stored or refused regardless.
#[derive(Debug)]
#[must_use = "unconfirmed messages may not be stored"]
pub struct Confirm {
    state: ConfirmState,
    /// The identity of the message, if its events are recorded.
    recorded: Option<(Topic, MessageId)>,
}

#[derive(Debug)]
enum ConfirmState {
    Known(Option<Result<()>>),
    Waiting(oneshot::Receiver<Result<()>>),
}

impl Confirm {
    /// A confirmation whose outcome is already known.
    pub fn resolved(outcome: Result<()>) -> Self {
        Confirm { state: ConfirmState::Known(Some(outcome)), recorded: None }
    }

    /// A confirmation that arrives over a channel. A sender that is dropped without sending means `OutcomeUnknown`.
    pub fn waiting(outcome: oneshot::Receiver<Result<()>>) -> Self {
        Confirm { state: ConfirmState::Waiting(outcome), recorded: None }
    }

    /// Records an event of the message when it is confirmed (target `weir::message`).
    pub fn recorded(mut self, topic: &Topic, id: Option<MessageId>) -> Self {
        if tracing::enabled!(target: "weir::message", tracing::Level::DEBUG) {
            self.recorded = id.map(|id| (topic.clone(), id));
        }
        self
    }
}

impl Future for Confirm {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match &mut self.state {
            ConfirmState::Known(outcome) => outcome.take().unwrap_or_else(|| Err(PubsubError::outcome_unknown("it was requested twice"))),
            ConfirmState::Waiting(outcome) => match Pin::new(outcome).poll(context) {
                Poll::Ready(outcome) => {
                    self.state = ConfirmState::Known(None);
                    outcome.unwrap_or_else(|_| Err(PubsubError::outcome_unknown("the broker ended before confirming")))
                }
                Poll::Pending => return Poll::Pending,
            },
        };
        if let (Ok(()), Some((topic, id))) = (&outcome, self.recorded.take()) {
            tracing::debug!(target: "weir::message", %topic, message_id = %id, "message published");
        }
        Poll::Ready(outcome)
    }
}
