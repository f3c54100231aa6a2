//! Recovering after a lost connection: the waits between attempts, and the log lines of an outage.

use std::error::Error;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::PubsubError;
use crate::error_text::chain;
use crate::retry::Backoff;

/// Waits between attempts while the broker is unreachable.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Waits while the broker refuses: an operator must change something, which is noticed soon after.
const FIRST_WAIT_REFUSED: Duration = Duration::from_secs(1);
const LONGEST_WAIT_REFUSED: Duration = Duration::from_secs(30);

/// The kind of an outage.
#[derive(Clone, Debug, PartialEq, Eq)]
enum OutageKind {
    /// The broker is unreachable.
    Away,
    /// An operator must change something at the broker or in the settings.
    Refused(String),
    /// Any other temporary problem.
    Other(String),
}

impl OutageKind {
    fn of(error: &(dyn Error + 'static)) -> Self {
        match broker_error(error) {
            Some(PubsubError::Unavailable { .. } | PubsubError::OutcomeUnknown { .. } | PubsubError::TimedOut { .. }) => OutageKind::Away,
            Some(refused) if !refused.is_transient() => OutageKind::Refused(chain(error)),
            _ => OutageKind::Other(chain(error)),
        }
    }
}

/// The broker's error, found in an error and its sources.
fn broker_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a PubsubError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// The waits between attempts at a broker: short while it is unreachable, long while it refuses.
#[derive(Debug)]
pub struct Waits {
    away: Backoff,
    refused: Backoff,
}

impl Default for Waits {
    fn default() -> Self {
        Waits { away: Backoff::new(FIRST_WAIT, LONGEST_WAIT), refused: Backoff::new(FIRST_WAIT_REFUSED, LONGEST_WAIT_REFUSED) }
    }
}

impl Waits {
    /// The wait after an attempt that failed with this error.
    pub fn after(&mut self, error: &(dyn Error + 'static)) -> Duration {
        let backoff = if matches!(OutageKind::of(error), OutageKind::Refused(_)) { &mut self.refused } else { &mut self.away };
        backoff.next_wait(&mut rand::rng())
    }

    /// Starts again with short waits, after a success.
    pub fn reset(&mut self) {
        self.away.reset();
        self.refused.reset();
    }
}

/// One resource at a broker, such as a subscription, across any number of losses.
///
/// An outage is logged once when it begins and once when it ends. During the outage, only an error of another kind is logged: a refusal as an error,
/// with the fix.
#[derive(Debug)]
pub struct Recovery {
    subject: String,
    waits: Waits,
    /// The problem that was logged last, while it lasts.
    logged: Option<OutageKind>,
    /// When the next attempt is due.
    next_try: Option<Instant>,
    last_wait: Duration,
    there_since: Option<Instant>,
}

impl Recovery {
    /// `subject` is the resource's name in the log, for example `config service`.
    pub fn of(subject: impl Into<String>) -> Self {
        Recovery {
            subject: subject.into(),
            waits: Waits::default(),
            logged: None,
            next_try: None,
            last_wait: Duration::ZERO,
            there_since: None,
        }
    }

    /// Records that the resource was lost. The next attempt follows after a short wait, or after a longer one if the resource was lost again at once.
    pub fn lost(&mut self, error: &(dyn Error + 'static)) {
        if self.there_since.take().is_none_or(|since| since.elapsed() >= self.last_wait) {
            self.waits.reset();
        }
        self.note(error);
    }

    /// Repeats [`Recovery::attempt`] until it succeeds.
    ///
    /// # Cancel safety
    /// As [`Recovery::attempt`].
    pub async fn get<T, E, F>(&mut self, mut attempt: impl FnMut() -> F) -> T
    where
        E: Error + 'static,
        F: Future<Output = Result<T, E>>,
    {
        loop {
            if let Ok(there) = self.attempt(&mut attempt).await {
                return there;
            }
        }
    }

    /// Makes one attempt: immediately if it is the first, otherwise after a wait. Waits are longer while the broker refuses.
    ///
    /// # Errors
    /// Those of the attempt, which are already logged.
    ///
    /// # Cancel safety
    /// That of the attempt; the next call continues the wait.
    pub async fn attempt<T, E, F>(&mut self, attempt: impl FnOnce() -> F) -> Result<T, E>
    where
        E: Error + 'static,
        F: Future<Output = Result<T, E>>,
    {
        self.due().await;
        let outcome = attempt().await;
        match &outcome {
            Ok(_) => self.found(),
            Err(error) => self.note(error),
        }
        outcome
    }

    /// Waits until the next attempt is due.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn due(&self) {
        if let Some(due) = self.next_try {
            tokio::time::sleep_until(due).await;
        }
    }

    /// Makes the next attempt immediate, because something else has shown that it may succeed.
    pub fn retry_now(&mut self) {
        self.next_try = None;
    }

    fn found(&mut self) {
        if self.logged.take().is_some() {
            tracing::info!(subject = self.subject, "available again");
        }
        self.there_since = Some(Instant::now());
    }

    /// Logs an error once for each kind, and decides when the next attempt is due.
    fn note(&mut self, error: &(dyn Error + 'static)) {
        let (subject, outage) = (&self.subject, OutageKind::of(error));
        self.last_wait = self.waits.after(error);
        self.next_try = Some(Instant::now() + self.last_wait);
        let error = chain(error);
        let is_known = self.logged.as_ref().is_some_and(|logged| *logged == outage || outage == OutageKind::Away);
        match &outage {
            _ if is_known => return tracing::debug!(subject, error, "still unavailable"),
            OutageKind::Refused(_) => {
                let next = "fix this on the broker or in the settings; Weir retries until then";
                tracing::error!(subject, error, next, "refused by the broker");
            }
            OutageKind::Away | OutageKind::Other(_) => tracing::warn!(subject, error, "unavailable, retrying"),
        }
        self.logged = Some(outage);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn immediately_repeated_losses_are_retried_less_and_less_often() {
        let (mut recovery, began, mut count) = (Recovery::of("a connection"), Instant::now(), 0);
        while began.elapsed() < Duration::from_secs(60) {
            let _ = recovery.attempt(|| async { Ok::<_, PubsubError>(()) }).await;
            recovery.lost(&PubsubError::unavailable("closed"));
            count += 1;
        }
        assert!(count < 60, "{count} tries in a minute");
    }

    #[test]
    fn the_wait_after_a_refusal_is_longer_than_after_a_loss() {
        let mut waits = Waits::default();
        let away = waits.after(&PubsubError::unavailable("away"));
        let refused = waits.after(&PubsubError::Refused { reason: "no right".to_owned(), source: None });
        assert!(away <= FIRST_WAIT && refused >= FIRST_WAIT_REFUSED / 2, "{away:?}, {refused:?}");
    }
}
