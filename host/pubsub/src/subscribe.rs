//! Subscribing again after a loss.

use std::time::Duration;

use crate::backend::{Backend, Consumer, ConsumerOptions};
use crate::retry::Backoff;
use crate::telling::chain;
use crate::topic::{Subscription, Topic};

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Subscribes again after a loss: first a short wait, so that a connection that is lost again and again costs little, then tries with backoff
/// until it succeeds. The first failure is logged as a warning, with what the subscription is to.
///
/// # Cancel safety
/// Yes.
pub async fn subscribe(backend: &dyn Backend, topic: &Topic, name: &Subscription, options: ConsumerOptions) -> Box<dyn Consumer> {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let mut is_first = true;
    loop {
        let wait = backoff.next_wait(&mut rand::rng());
        tokio::time::sleep(wait).await;
        match backend.consumer(topic, name, options).await {
            Ok(consumer) => return consumer,
            Err(error) if is_first => tracing::warn!(%topic, error = %chain(&error), "cannot subscribe, trying again"),
            Err(error) => tracing::debug!(%topic, error = %chain(&error), "cannot subscribe, trying again"),
        }
        is_first = false;
    }
}
