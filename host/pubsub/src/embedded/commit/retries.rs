//! Retries of the broker's own operations that could not be written, with growing waits, so that a full disk does not keep the thread busy.

use std::time::Duration;

use tokio::time::Instant;

use crate::embedded::state::Operation;
use crate::retry::Backoff;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Operations that no caller repeats. They are bounded by the messages that are held or about to be delivered.
#[derive(Debug)]
pub(super) struct Retries {
    operations: Vec<Operation>,
    due: Instant,
    backoff: Backoff,
}

impl Retries {
    pub(super) fn new() -> Self {
        Retries { operations: Vec::new(), due: Instant::now(), backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT) }
    }

    /// Stores operations that could not be written.
    pub(super) fn park(&mut self, operations: impl IntoIterator<Item = Operation>) {
        let was_empty = self.operations.is_empty();
        self.operations.extend(operations);
        if was_empty && !self.operations.is_empty() {
            self.due = Instant::now() + self.backoff.next_wait(&mut rand::rng());
        }
    }

    /// Makes the next attempt immediate, after a successful write.
    pub(super) fn retry_now(&mut self) {
        self.backoff.reset();
        self.due = Instant::now();
    }

    /// Time until the next attempt; `None` if there is nothing to retry.
    pub(super) fn time_to_next(&self) -> Option<Duration> {
        (!self.operations.is_empty()).then(|| self.due.saturating_duration_since(Instant::now()))
    }

    /// The operations to retry now.
    pub(super) fn take_due(&mut self) -> Vec<Operation> {
        if self.operations.is_empty() || self.due > Instant::now() { Vec::new() } else { std::mem::take(&mut self.operations) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn retry_intervals_grow_to_five_seconds_and_reset_after_a_success() {
        let mut retries = Retries::new();
        assert_eq!((retries.time_to_next(), retries.take_due().len()), (None, 0));
        let mut waited = Vec::new();
        for _ in 0..10 {
            retries.park([Operation::Leave { consumer: 1 }]);
            assert!(retries.take_due().is_empty(), "not at once");
            let wait = retries.time_to_next().unwrap();
            tokio::time::advance(wait).await;
            waited.push(wait);
            assert_eq!(retries.take_due().len(), 1);
        }
        assert!(waited[0] <= FIRST_WAIT && waited[9] >= LONGEST_WAIT / 2 && waited[9] <= LONGEST_WAIT, "{waited:?}");
        retries.park([Operation::Leave { consumer: 1 }]);
        retries.retry_now();
        assert_eq!(retries.take_due().len(), 1);
    }
}
