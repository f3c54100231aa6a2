//! How workers receive messages. A worker without an instance takes no message before it has a slot: while the message waited for a slot in
//! that worker, another worker or host could handle it. No message is taken while its input holds too many outputs.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Semaphore;
use weir_pubsub::{Backoff, Consumer, Delivery, PubsubError, chain};

use crate::output_budget::Account;
use crate::slots::{Purpose, SlotPermit, Slots};
use crate::status::{InputPart, VariantKey, VariantStatus, WaitingForSlot};

/// Waits while the broker cannot deliver.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A broker that could not deliver has recovered once it reported no further error for this time, whether a message arrived or not.
const RECOVERED_AFTER: Duration = Duration::from_secs(1);

/// The state that workers of one input share to receive messages.
#[derive(Clone)]
pub(crate) struct InputReceiver {
    /// The input's name.
    input: Arc<str>,
    consumer: Arc<dyn Consumer>,
    /// Whether the broker could not deliver at the last attempt.
    is_stalled: Arc<AtomicBool>,
    slots: Slots,
    status: Arc<VariantStatus>,
    account: Arc<Account>,
    /// One worker at a time waits for a slot: the others would take slots for the same message.
    turn: Arc<Semaphore>,
}

impl InputReceiver {
    pub(crate) fn new(
        input: Arc<str>,
        consumer: Arc<dyn Consumer>,
        slots: Slots,
        status: Arc<VariantStatus>,
        account: Arc<Account>,
    ) -> Self {
        InputReceiver { input, consumer, is_stalled: Arc::default(), slots, status, account, turn: Arc::new(Semaphore::new(1)) }
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
            self.account.admit_next().await;
            match self.noticing_recovery(self.consumer.receive()).await {
                Err(error @ PubsubError::Stalled { .. }) => self.stalled(&error, &mut backoff).await,
                received => {
                    self.note_recovered();
                    return received;
                }
            }
        }
    }

    /// Waits for the next message of a worker that has none: for a message, then for a slot, and takes the message with it.
    ///
    /// # Errors
    /// As [`InputReceiver::next`].
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn next_with_slot(&self, purpose: Purpose, count: u32) -> Result<(Delivery, SlotPermit), PubsubError> {
        let _turn = self.turn.acquire().await.expect("the semaphore is never closed");
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            self.account.admit_next().await;
            let error = match self.next_now(purpose, count).await {
                None => continue,
                Some(Err(error @ PubsubError::Stalled { .. })) => error,
                Some(received) => {
                    self.note_recovered();
                    return received;
                }
            };
            self.stalled(&error, &mut backoff).await;
        }
    }

    /// Waits for a message, then for a slot; `None` if another worker has taken the message meanwhile.
    async fn next_now(&self, purpose: Purpose, count: u32) -> Option<Result<(Delivery, SlotPermit), PubsubError>> {
        if let Err(error) = self.noticing_recovery(self.consumer.readable()).await {
            return Some(Err(error));
        }
        let slot = self.slot(purpose, count).await;
        self.consumer.receive().now_or_never().map(|received| received.map(|delivery| (delivery, slot)))
    }

    /// Reports that the broker cannot deliver, and waits. The consumer keeps its messages.
    async fn stalled(&self, error: &PubsubError, backoff: &mut Backoff) {
        let (VariantKey { processor, variant }, input) = (&self.status.key, &*self.input);
        let (error, is_known) = (chain(error), self.is_stalled.swap(true, Ordering::Relaxed));
        if is_known {
            tracing::debug!(processor, variant, input, error, "input still stalled");
        } else {
            tracing::warn!(processor, variant, input, error, "input stalled, retrying");
        }
        self.status.input_fails(input, InputPart::Consumer, &format!("input `{input}`: {error}"));
        let wait = backoff.next_wait(&mut rand::rng());
        tokio::time::sleep(wait).await;
    }

    /// Waits for the consumer, and meanwhile reports that the broker can deliver again once it is no longer stalled.
    async fn noticing_recovery<T>(&self, event: impl Future<Output = T>) -> T {
        let mut event = pin!(event);
        tokio::select! {
            biased;
            happened = &mut event => return happened,
            () = tokio::time::sleep(RECOVERED_AFTER), if self.is_stalled.load(Ordering::Relaxed) => self.note_recovered(),
        }
        event.await
    }

    fn note_recovered(&self) {
        // Written only if necessary: this runs for every message.
        if self.is_stalled.load(Ordering::Relaxed) && self.is_stalled.swap(false, Ordering::Relaxed) {
            let (VariantKey { processor, variant }, input) = (&self.status.key, &*self.input);
            tracing::info!(processor, variant, input, "input resumed");
            self.status.input_goes_on(input, InputPart::Consumer);
        }
    }

    /// Waits for a slot; the status shows the wait.
    ///
    /// # Cancel safety
    /// Dropping the future loses only the turn.
    pub(crate) async fn slot(&self, purpose: Purpose, count: u32) -> SlotPermit {
        if let Some(slot) = self.slots.try_acquire(purpose, count) {
            return slot;
        }
        let _waiting = WaitingForSlot::begin(&self.status);
        self.slots.acquire(purpose, count).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::num::NonZeroU32;

    use async_trait::async_trait;
    use tokio_util::sync::CancellationToken;
    use weir_config::records::ProcessorState;

    use super::*;
    use crate::output_budget::OutputBudget;

    /// Stalls once, then has no message.
    #[derive(Default)]
    struct Recovering(AtomicBool);

    #[async_trait]
    impl Consumer for Recovering {
        async fn receive(&self) -> Result<Delivery, PubsubError> {
            if self.0.swap(true, Ordering::SeqCst) {
                return std::future::pending().await;
            }
            Err(PubsubError::Stalled { reason: "full".to_owned(), source: None })
        }

        async fn readable(&self) -> Result<(), PubsubError> {
            self.receive().await.map(drop)
        }

        fn set_window(&self, _: NonZeroU32) {}
    }

    fn receiver() -> InputReceiver {
        let (slots, status) =
            (Slots::new(4), Arc::new(VariantStatus::new(VariantKey { processor: "p".into(), variant: "v".into() }, Arc::default())));
        status.set_state(ProcessorState::Running);
        let account = OutputBudget::new(1 << 20).account(Purpose::Flow, slots.clone(), CancellationToken::new(), status.clone());
        InputReceiver::new("a".into(), Arc::new(Recovering::default()), slots, status, account)
    }

    /// Makes a worker wait until the broker has stalled, and then until it delivers again.
    async fn check(receiver: &InputReceiver, next: impl Future<Output = ()>) {
        let status = receiver.status.clone();
        let watch = async {
            for state in [ProcessorState::Failing, ProcessorState::Running] {
                while status.report().state != state {
                    tokio::task::yield_now().await;
                    tokio::time::advance(Duration::from_millis(1)).await;
                }
            }
        };
        tokio::select! {
            () = next => panic!("there is no message"),
            seen = tokio::time::timeout(Duration::from_secs(60), watch) => seen.unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_input_recovers_with_its_broker() {
        let warm = receiver();
        check(&warm, async { drop(warm.next().await) }).await;
        let cold = receiver();
        check(&cold, async { drop(cold.next_with_slot(Purpose::Flow, 1).await) }).await;
    }
}
