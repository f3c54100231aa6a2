//! Decides how to continue after a failed attempt at a message: pure.

use std::time::Duration;

use rand::{Rng, RngExt};
use weir_config::records::RetryPolicy;
use weir_pubsub::DeliveryCount;

/// The longest wait that a component may request.
pub(crate) const MAX_REQUESTED_WAIT: Duration = Duration::from_secs(60);
/// The shortest wait for a busy component: no attempts are counted, so only time ends it.
const SHORTEST_BUSY_WAIT: Duration = Duration::from_millis(100);
/// Deliveries beyond the policy's attempts before a message is suspected of crashing its hosts. Stops and restarts of hosts count as
/// deliveries too, so there is some margin, and a suspicion alone never gives up a message.
pub(crate) const SPARE_DELIVERIES_COUNT: u32 = 10;

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The component requests another attempt, after this time at the earliest.
    Retry(Option<Duration>),
    /// The component is busy and requests a later attempt, after this time at the earliest.
    Busy(Option<Duration>),
    /// The component will never accept the message.
    Reject,
    /// A trap, a call of an undeclared function, or an exit.
    Trap,
    /// The time-out expired.
    TimeOut,
    /// It waited for budget for its outputs and released its instance. The attempt is repeated and not counted.
    Yielded,
}

impl FaultKind {
    /// Its name on dead letters.
    pub fn word(self) -> &'static str {
        match self {
            FaultKind::Retry(_) => "retry",
            FaultKind::Busy(_) => "busy",
            FaultKind::Reject => "reject",
            FaultKind::Trap => "trap",
            FaultKind::TimeOut => "timeout",
            FaultKind::Yielded => "no-room",
        }
    }

    /// Whether it counts as an error of the component.
    pub(crate) fn counts(self) -> bool {
        !matches!(self, FaultKind::Busy(_) | FaultKind::Yielded)
    }

    /// Whether the component itself requested a delay.
    pub(crate) fn requests_delay(self) -> bool {
        matches!(self, FaultKind::Retry(Some(_)) | FaultKind::Busy(_))
    }

    /// Whether the instance is unusable afterwards.
    pub fn breaks_instance(self) -> bool {
        matches!(self, FaultKind::Trap | FaultKind::TimeOut | FaultKind::Yielded)
    }
}

/// The attempts at one message so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Attempts that failed.
    pub(crate) attempts_count: u32,
    waited: Duration,
    busy_count: u32,
    busy_waited: Duration,
}

/// The next step for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    /// Try it again after a wait.
    Again {
        /// How long to wait.
        wait: Duration,
    },
    /// Give it up.
    DeadLetter,
    /// Requeue it.
    Requeue,
}

impl History {
    /// Records a failure and decides the next step.
    pub(crate) fn next(&mut self, kind: FaultKind, policy: &RetryPolicy, rng: &mut impl Rng) -> AfterFailure {
        match kind {
            FaultKind::Reject => {
                self.attempts_count += 1;
                AfterFailure::DeadLetter
            }
            FaultKind::Busy(requested) => self.next_when_busy(requested, policy, rng),
            FaultKind::Retry(requested) => self.next_attempt(requested, policy, rng),
            FaultKind::Trap | FaultKind::TimeOut => self.next_attempt(None, policy, rng),
            FaultKind::Yielded => AfterFailure::Again { wait: Duration::ZERO },
        }
    }

    fn next_attempt(&mut self, requested: Option<Duration>, policy: &RetryPolicy, rng: &mut impl Rng) -> AfterFailure {
        self.attempts_count += 1;
        let wait = wait(requested, self.attempts_count, policy, rng);
        if self.attempts_count >= policy.attempts_count || self.waited + wait > Duration::from_millis(policy.waiting_ms) {
            return AfterFailure::DeadLetter;
        }
        self.waited += wait;
        AfterFailure::Again { wait }
    }

    fn next_when_busy(&mut self, requested: Option<Duration>, policy: &RetryPolicy, rng: &mut impl Rng) -> AfterFailure {
        self.busy_count += 1;
        let wait = wait(requested, self.busy_count, policy, rng).max(SHORTEST_BUSY_WAIT);
        if self.busy_waited + wait > Duration::from_millis(policy.busy_ms) {
            return AfterFailure::Requeue;
        }
        self.busy_waited += wait;
        AfterFailure::Again { wait }
    }
}

/// The wait after the `count`th failure: the requested one, within bounds; otherwise doubling, with jitter.
fn wait(requested: Option<Duration>, count: u32, policy: &RetryPolicy, rng: &mut impl Rng) -> Duration {
    if let Some(requested) = requested {
        return requested.min(MAX_REQUESTED_WAIT);
    }
    let doublings = count.saturating_sub(1).min(32);
    let step_ms = policy.first_wait_ms.saturating_mul(1 << doublings).min(policy.longest_wait_ms);
    Duration::from_millis(step_ms).mul_f64(rng.random_range(0.5..=1.0))
}

/// Whether a message was delivered so often without being settled that it may be crashing its hosts.
pub(crate) fn is_suspected_poison(delivery_count: DeliveryCount, policy: &RetryPolicy) -> bool {
    match delivery_count {
        DeliveryCount::Exact(count) => count > policy.attempts_count.saturating_add(SPARE_DELIVERIES_COUNT),
        // The broker does not count: attempts are recorded from the second delivery on.
        DeliveryCount::AtLeast(count) => count > 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn run(kind: FaultKind, policy: &RetryPolicy) -> (Vec<u128>, AfterFailure, History) {
        let mut rng = StdRng::seed_from_u64(1);
        let mut history = History::default();
        let mut waits_ms = Vec::new();
        loop {
            match history.next(kind, policy, &mut rng) {
                AfterFailure::Again { wait } => waits_ms.push(wait.as_millis()),
                end => return (waits_ms, end, history),
            }
            assert!(waits_ms.len() < 10_000, "it must end");
        }
    }

    #[test]
    fn a_retry_doubles_its_wait_and_ends_in_the_dead_letter_queue() {
        let (waits_ms, end, history) = run(FaultKind::Retry(None), &RetryPolicy::default());
        assert_eq!((end, history.attempts_count), (AfterFailure::DeadLetter, 5));
        assert_eq!(waits_ms.len(), 4);
        for (wait_ms, step_ms) in waits_ms.iter().zip([1000, 2000, 4000, 8000]) {
            assert!((step_ms / 2..=step_ms).contains(wait_ms), "{wait_ms} for a step of {step_ms}");
        }
    }

    #[test]
    fn each_wait_and_their_sum_have_a_ceiling() {
        let policy = RetryPolicy { attempts_count: 1000, ..RetryPolicy::default() };
        let (waits_ms, end, _) = run(FaultKind::Trap, &policy);
        assert_eq!(end, AfterFailure::DeadLetter);
        assert!(waits_ms.iter().all(|ms| *ms <= 30_000));
        assert!(waits_ms.iter().sum::<u128>() <= 300_000);
    }

    #[test]
    fn a_requested_delay_is_honoured_within_bounds() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut next = |ms| History::default().next(FaultKind::Retry(Some(Duration::from_millis(ms))), &RetryPolicy::default(), &mut rng);
        assert_eq!(next(0), AfterFailure::Again { wait: Duration::ZERO });
        assert_eq!(next(7), AfterFailure::Again { wait: Duration::from_millis(7) });
        assert_eq!(next(u64::from(u32::MAX)), AfterFailure::Again { wait: MAX_REQUESTED_WAIT });
    }

    #[test]
    fn busy_is_not_an_attempt_and_ends_in_a_requeue() {
        let (_, end, history) = run(FaultKind::Busy(None), &RetryPolicy::default());
        assert_eq!((end, history.attempts_count), (AfterFailure::Requeue, 0));
        let (waits_ms, end, _) = run(FaultKind::Busy(Some(Duration::ZERO)), &RetryPolicy { busy_ms: 1_000, ..RetryPolicy::default() });
        assert_eq!((waits_ms.len(), end), (10, AfterFailure::Requeue));
    }

    #[test]
    fn a_rejected_message_is_given_up_at_once() {
        let (waits_ms, end, history) = run(FaultKind::Reject, &RetryPolicy::default());
        assert_eq!((waits_ms.len(), end, history.attempts_count), (0, AfterFailure::DeadLetter, 1));
    }

    #[test]
    fn a_limit_of_one_attempt_allows_no_retry() {
        let policy = RetryPolicy { attempts_count: 1, ..RetryPolicy::default() };
        assert_eq!(run(FaultKind::Retry(None), &policy).1, AfterFailure::DeadLetter);
        let policy = RetryPolicy { attempts_count: 0, ..RetryPolicy::default() };
        assert_eq!(run(FaultKind::Retry(None), &policy).1, AfterFailure::DeadLetter);
    }

    #[test]
    fn poison_messages_are_distinguished_from_restarts() {
        let policy = RetryPolicy::default();
        assert!(!is_suspected_poison(DeliveryCount::Exact(1), &policy));
        assert!(!is_suspected_poison(DeliveryCount::Exact(15), &policy));
        assert!(is_suspected_poison(DeliveryCount::Exact(16), &policy));
        assert!(!is_suspected_poison(DeliveryCount::AtLeast(1), &policy));
        assert!(is_suspected_poison(DeliveryCount::AtLeast(2), &policy), "the broker does not count: its attempts are noted");
    }
}
