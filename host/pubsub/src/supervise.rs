//! Supervision of tasks: restart after a panic, with backoff, and the panic's message.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::retry::Backoff;

/// Waits before a task that panicked is restarted.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Also how long the task must have run for its next panic to count as the first one.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Runs `work`, and restarts it whenever it panics. Before the wait, `panicked` receives the panic's message; everything that the work owned is
/// dropped by then. Returns `None` if the token was cancelled during a wait; the work itself must observe the token.
///
/// # Cancel safety
/// That of the work.
pub async fn restart_on_panic<F, W>(stop: &CancellationToken, mut work: W, mut panicked: impl FnMut(&str)) -> Option<F::Output>
where
    F: Future,
    W: FnMut() -> F,
{
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        let began = Instant::now();
        let ended = AssertUnwindSafe(async { work().await }).catch_unwind().await;
        let payload = match ended {
            Ok(output) => return Some(output),
            Err(payload) => payload,
        };
        if began.elapsed() >= LONGEST_WAIT {
            backoff.reset();
        }
        panicked(&panic_text(&*payload));
        let wait = backoff.next_wait(&mut rand::rng());
        stop.run_until_cancelled(tokio::time::sleep(wait)).await?;
    }
}

/// The message of a panic.
pub fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("no message"))
}

/// Why a task ended early.
pub fn task_failure(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => panic_text(&*payload),
        Err(_) => "it was cancelled".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_is_restarted_until_it_stops_panicking() {
        let (mut begun_count, mut heard) = (0, Vec::new());
        let work = || {
            begun_count += 1;
            let number = begun_count;
            async move {
                tokio::task::yield_now().await;
                assert!(number == 4, "number {number}");
                number
            }
        };
        let done = restart_on_panic(&CancellationToken::new(), work, |panic| heard.push(panic.to_owned())).await;
        assert_eq!(done, Some(4));
        assert_eq!(heard, ["panic: number 1", "panic: number 2", "panic: number 3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_task_is_not_restarted() {
        let stop = CancellationToken::new();
        let work = || async { std::panic::panic_any(7) };
        let ended: Option<()> = restart_on_panic(&stop, work, |panic| {
            assert_eq!(panic, "panic: no message");
            stop.cancel();
        })
        .await;
        assert_eq!(ended, None);
    }
}
