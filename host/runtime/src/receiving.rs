//! How workers get messages. One without an instance takes no message before it has a slot for one: a message that waits for a slot in a
//! worker could be handled by another worker or host meanwhile. No message is taken while its input holds too much of what was sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Semaphore;
use weir_pubsub::{Backoff, Consumer, Delivery, PubsubError, chain};

use crate::outputs::Account;
use crate::slots::{Purpose, Slot, Slots};
use crate::status::{Key, VariantStatus, WaitingForSlot};

/// Waits while the broker cannot deliver.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What the workers of one input share to get messages.
#[derive(Clone)]
pub(crate) struct Receiving {
    /// The input's name.
    input: Arc<str>,
    consumer: Arc<dyn Consumer>,
    /// Whether the broker could not deliver when it was last asked.
    is_stalled: Arc<AtomicBool>,
    slots: Slots,
    status: Arc<VariantStatus>,
    account: Arc<Account>,
    /// One worker at a time waits for a slot: the others would take slots for the same message.
    turn: Arc<Semaphore>,
}

impl Receiving {
    pub(crate) fn new(
        input: Arc<str>,
        consumer: Arc<dyn Consumer>,
        slots: Slots,
        status: Arc<VariantStatus>,
        account: Arc<Account>,
    ) -> Self {
        Receiving { input, consumer, is_stalled: Arc::default(), slots, status, account, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Waits for the next message of a worker that has an instance.
    ///
    /// # Errors
    /// As [`Consumer::receive`], except `Stalled`, which is waited out.
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn next(&self) -> Result<Delivery, PubsubError> {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            self.account.may_begin().await;
            match self.consumer.receive().await {
                Err(error @ PubsubError::Stalled { .. }) => self.stalled(&error, &mut backoff).await,
                received => {
                    self.goes_on();
                    return received;
                }
            }
        }
    }

    /// Waits for the next message of a worker that has none: for a message, then for a slot, and takes the message with it.
    ///
    /// # Errors
    /// As [`Receiving::next`].
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn next_with_slot(&self, purpose: Purpose, count: u32) -> Result<(Delivery, Slot), PubsubError> {
        let _turn = self.turn.acquire().await.expect("the semaphore is never closed");
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            self.account.may_begin().await;
            let error = match self.next_now(purpose, count).await {
                None => continue,
                Some(Err(error @ PubsubError::Stalled { .. })) => error,
                Some(received) => {
                    self.goes_on();
                    return received;
                }
            };
            self.stalled(&error, &mut backoff).await;
        }
    }

    /// Waits for a message, then for a slot; `None` if another worker has taken the message meanwhile.
    async fn next_now(&self, purpose: Purpose, count: u32) -> Option<Result<(Delivery, Slot), PubsubError>> {
        if let Err(error) = self.consumer.readable().await {
            return Some(Err(error));
        }
        let slot = self.slot(purpose, count).await;
        self.consumer.receive().now_or_never().map(|received| received.map(|delivery| (delivery, slot)))
    }

    /// Shows that the broker cannot deliver, and waits. What the consumer holds stays with it.
    async fn stalled(&self, error: &PubsubError, backoff: &mut Backoff) {
        let (Key { processor, variant }, input) = (&self.status.key, &*self.input);
        let (error, is_known) = (chain(error), self.is_stalled.swap(true, Ordering::Relaxed));
        if is_known {
            tracing::debug!(processor, variant, input, error, "input still stalled");
        } else {
            tracing::warn!(processor, variant, input, error, "input stalled, retrying");
        }
        self.status.set_input(input, Some(Some(format!("input `{input}`: {error}"))));
        let wait = backoff.next_wait(&mut rand::rng());
        tokio::time::sleep(wait).await;
    }

    fn goes_on(&self) {
        // Not written to where it need not be: this is passed with every message.
        if self.is_stalled.load(Ordering::Relaxed) && self.is_stalled.swap(false, Ordering::Relaxed) {
            let (Key { processor, variant }, input) = (&self.status.key, &*self.input);
            tracing::info!(processor, variant, input, "input resumed");
            self.status.set_input(input, None);
        }
    }

    /// Waits for a slot, which the status shows.
    ///
    /// # Cancel safety
    /// Dropping the future loses only the turn.
    pub(crate) async fn slot(&self, purpose: Purpose, count: u32) -> Slot {
        if let Some(slot) = self.slots.try_take(purpose, count) {
            return slot;
        }
        let _waiting = WaitingForSlot::begin(&self.status);
        self.slots.take(purpose, count).await
    }
}
