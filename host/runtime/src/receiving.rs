//! How workers get messages. One without an instance takes no message before it has a slot for one: a message that waits for a slot in a
//! worker could be handled by another worker or host meanwhile. No message is taken while its input holds too much of what was sent.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::Semaphore;
use weir_pubsub::{Consumer, Delivery, PubsubError};

use crate::outputs::Account;
use crate::slots::{Purpose, Slot, Slots};
use crate::status::{VariantStatus, WaitingForSlot};

/// What the workers of one input share to get messages.
#[derive(Clone)]
pub(crate) struct Receiving {
    consumer: Arc<dyn Consumer>,
    slots: Slots,
    status: Arc<VariantStatus>,
    account: Arc<Account>,
    /// One worker at a time waits for a slot: the others would take slots for the same message.
    turn: Arc<Semaphore>,
}

impl Receiving {
    pub(crate) fn new(consumer: Arc<dyn Consumer>, slots: Slots, status: Arc<VariantStatus>, account: Arc<Account>) -> Self {
        Receiving { consumer, slots, status, account, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Waits for the next message of a worker that has an instance.
    ///
    /// # Errors
    /// As [`Consumer::receive`].
    pub(crate) async fn next(&self) -> Result<Delivery, PubsubError> {
        self.account.may_begin().await;
        self.consumer.receive().await
    }

    /// Waits for the next message of a worker that has none: for a message, then for a slot, and takes the message with it.
    ///
    /// # Errors
    /// As [`Consumer::receive`].
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn next_with_slot(&self, purpose: Purpose, count: u32) -> Result<(Delivery, Slot), PubsubError> {
        let _turn = self.turn.acquire().await.expect("the semaphore is never closed");
        loop {
            self.account.may_begin().await;
            self.consumer.readable().await?;
            let slot = self.slot(purpose, count).await;
            // Another worker may have taken it meanwhile.
            if let Some(received) = self.consumer.receive().now_or_never() {
                return received.map(|delivery| (delivery, slot));
            }
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
