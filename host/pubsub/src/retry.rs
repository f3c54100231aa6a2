//! Backoff between attempts.

use std::time::Duration;

use rand::{Rng, RngExt};

/// Exponential backoff with a ceiling and jitter. Randomness is passed in, so that tests can control it.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
    first: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// Waits that double from `first` up to `ceiling`.
    pub fn new(first: Duration, ceiling: Duration) -> Self {
        Backoff { next: first, first, ceiling }
    }

    /// How long to wait before the next attempt: between half of the current step and all of it.
    pub fn next_wait(&mut self, rng: &mut impl Rng) -> Duration {
        let step = self.next.min(self.ceiling);
        self.next = (step * 2).min(self.ceiling);
        step.mul_f64(rng.random_range(0.5..=1.0))
    }

    /// Starts again with the first wait, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn waits_double_up_to_the_ceiling_and_restart_after_a_reset() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for step_ms in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.next_wait(&mut rng).as_millis();
            assert!((step_ms / 2..=step_ms).contains(&wait), "{wait} for a step of {step_ms}");
        }
        backoff.reset();
        assert!(backoff.next_wait(&mut rng).as_millis() <= 100);
    }
}
