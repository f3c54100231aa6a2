//! Waiting for events with a deadline; never a bare sleep.

use std::fmt::Display;
use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

/// Longer than any working operation takes, even on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// How often to check what cannot be awaited.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Waits for a future that must end.
///
/// # Panics
/// If it has not ended by the deadline; `what` names what was waited for.
pub async fn within<T>(what: impl Display, future: impl Future<Output = T>) -> T {
    before(DEADLINE, what, future).await
}

/// As [`within`], with a deadline for what inherently takes long.
///
/// # Panics
/// As [`within`].
pub async fn before<T>(deadline: Duration, what: impl Display, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(deadline, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {} s in vain for {what}", deadline.as_secs()),
    }
}

/// Calls `look` repeatedly until it returns a value.
///
/// # Panics
/// If it has returned none by the deadline; `what` names what was waited for.
pub async fn eventually<T, F>(deadline: Duration, what: impl Display, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + deadline;
    let mut ticks = tokio::time::interval(POLL_INTERVAL);
    loop {
        ticks.tick().await;
        if let Some(value) = look().await {
            return value;
        }
        assert!(Instant::now() < end, "waited {} s in vain for {what}", deadline.as_secs());
    }
}

/// Lets time pass, for a fault that is to strike at a random moment; never to wait for something.
pub async fn pass(time: Duration) {
    let mut ticks = tokio::time::interval(time.max(Duration::from_nanos(1)));
    ticks.tick().await;
    ticks.tick().await;
}

/// A seed for the random choices of a test: `WEIR_SEED` if set, to repeat a run, otherwise a new one. It is printed.
///
/// # Panics
/// If `WEIR_SEED` is not a number.
#[must_use]
pub fn seed() -> u64 {
    let seed = std::env::var("WEIR_SEED").map_or_else(|_| rand::random(), |text| text.parse().unwrap());
    println!("WEIR_SEED={seed} repeats this run");
    seed
}

/// Polls a future at most this many times, each time it is woken, and drops it at the next wake-up; returns its value if it completed.
pub async fn given_up<T>(polls_count: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut left_count = polls_count;
    std::future::poll_fn(move |context| {
        let Some(left) = left_count.checked_sub(1) else { return Poll::Ready(None) };
        left_count = left;
        future.as_mut().poll(context).map(Some)
    })
    .await
}
