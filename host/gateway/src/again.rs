//! Reading again after the connection to the broker was lost.

use std::time::Duration;

use tokio::time::Instant;
use weir_pubsub::Backoff;

use crate::error::Result;

const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Makes a reader again, with a wait before each try, as soon as the broker can be reached.
///
/// # Errors
/// The first error that is not about the broker being unavailable.
///
/// # Cancel safety
/// That of `make`.
pub(crate) async fn again<T, F: Future<Output = Result<T>>>(make: impl Fn() -> F) -> Result<T> {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        let wait = backoff.next_wait(&mut rand::rng());
        tokio::time::sleep(wait).await;
        match make().await {
            Err(error) if error.is_unavailable() => {}
            made => return made,
        }
    }
}

/// Does something for as long as there is time; `None` when it is up. Without a deadline there is time for ever.
///
/// # Cancel safety
/// That of the work.
pub(crate) async fn by<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
}
