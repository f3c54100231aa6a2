//! Reading one subscription across any number of losses.

use std::convert::Infallible;

use crate::backend::{Backend, Consumer, ConsumerOptions, Delivery};
use crate::error::PubsubError;
use crate::recovery::Recovery;
use crate::topic::{Subscription, Topic};

/// An event of a subscription.
#[derive(Debug)]
pub enum SubscriptionEvent {
    /// A message.
    Message(Delivery),
    /// Messages were missed, and the next ones follow.
    Missed,
    /// The subscription was lost, or cannot be restored, for this reason: what is published meanwhile is missed.
    Lost(PubsubError),
    /// The subscription is bound, for the first time or again: what is published from now on is received.
    Subscribed,
}

/// Reads a subscription forever, and subscribes again when it is lost. Starts with `first`, an existing subscription, if given. `subject` is its name
/// in the log.
///
/// # Cancel safety
/// The consumer is dropped.
pub async fn listen(
    backend: &dyn Backend,
    (topic, name): (&Topic, &Subscription),
    first: Option<Box<dyn Consumer>>,
    subject: &str,
    mut event: impl FnMut(SubscriptionEvent),
) -> Infallible {
    let mut recovery = Recovery::of(subject);
    let mut next = first;
    loop {
        let consumer = loop {
            if let Some(consumer) = next.take() {
                break consumer;
            }
            match recovery.attempt(|| backend.consumer(topic, name, ConsumerOptions::default())).await {
                Ok(consumer) => break consumer,
                Err(error) => event(SubscriptionEvent::Lost(error)),
            }
        };
        event(SubscriptionEvent::Subscribed);
        let lost = loop {
            match consumer.receive().await {
                Ok(delivery) => event(SubscriptionEvent::Message(delivery)),
                Err(PubsubError::Lagged { missed_count }) => {
                    tracing::warn!(subject, missed_count, "messages missed");
                    event(SubscriptionEvent::Missed);
                }
                Err(error) => break error,
            }
        };
        recovery.lost(&lost);
        event(SubscriptionEvent::Lost(lost));
    }
}
