//! Resubscribing after the connection to the broker was lost, and waiting while the broker cannot deliver.
//!
//! Not a [`Recovery`](weir_pubsub::Recovery): a reader here belongs to one connection of a client, of which there may be hundreds, and each would log
//! the same outage. It ends at its deadline, or with an error that is sent to the client.

use std::time::Duration;

use tokio::time::Instant;
use weir_pubsub::Backoff;

use crate::error::Result;

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The backoff of one reader for its whole life: if it is lost again immediately, it waits longer each time.
pub(crate) struct ReaderBackoff {
    backoff: Backoff,
    next_try: Option<Instant>,
    /// Whether anything was read since the last wait.
    is_well: bool,
}

impl ReaderBackoff {
    pub(crate) fn new() -> Self {
        ReaderBackoff { backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT), next_try: None, is_well: true }
    }

    /// Something was read: the next wait is short again.
    pub(crate) fn reset(&mut self) {
        self.is_well = true;
    }

    /// Waits before the next attempt.
    ///
    /// # Cancel safety
    /// The wait is continued by the next call.
    pub(crate) async fn wait(&mut self) {
        if std::mem::take(&mut self.is_well) {
            self.backoff.reset();
            self.next_try = None;
        }
        let next_try = *self.next_try.get_or_insert_with(|| Instant::now() + self.backoff.next_wait(&mut rand::rng()));
        tokio::time::sleep_until(next_try).await;
        self.next_try = None;
    }

    /// Recreates a reader as soon as the broker can be reached, with a wait before each attempt.
    ///
    /// # Errors
    /// The first error that is not about the broker being unavailable.
    ///
    /// # Cancel safety
    /// That of `make`; the waits are continued by the next call.
    pub(crate) async fn get<T, F: Future<Output = Result<T>>>(&mut self, make: impl Fn() -> F) -> Result<T> {
        loop {
            self.wait().await;
            match make().await {
                Err(error) if error.is_unavailable() => {}
                made => return made,
            }
        }
    }
}

/// Runs `work` until the deadline; `None` if it expires. Without a deadline there is no time limit.
///
/// # Cancel safety
/// That of the work.
pub(crate) async fn until_deadline<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_repeatedly_lost_reader_waits_longer_until_it_reads() {
        let mut reader_backoff = ReaderBackoff::new();
        let began = Instant::now();
        for _ in 0..12 {
            reader_backoff.wait().await;
        }
        assert!(began.elapsed() > LONGEST_WAIT, "{:?}", began.elapsed());
        reader_backoff.reset();
        let began = Instant::now();
        reader_backoff.wait().await;
        assert!(began.elapsed() <= FIRST_WAIT, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_wait_can_be_resumed() {
        let mut reader_backoff = ReaderBackoff::new();
        let began = Instant::now();
        while tokio::time::timeout(FIRST_WAIT / 10, reader_backoff.wait()).await.is_err() {}
        assert!(began.elapsed() <= FIRST_WAIT * 2, "{:?}", began.elapsed());
    }
}
