//! Confirmed cancellations: the broker confirms one a second time if a quorum queue is deleted while its consumer is being cancelled. Pure.

use std::collections::VecDeque;

/// The beginning of the payload of basic.cancel-ok; the consumer tag follows, which the broker assigns only once.
const CANCEL_OK: [u8; 4] = [0, 60, 0, 31];
/// How many cancellations are remembered: a second confirmation follows the first immediately.
const MAX_COUNT: usize = 256;

/// The latest cancellations that were confirmed on a connection.
#[derive(Debug, Default)]
pub(super) struct Cancelled(VecDeque<Box<[u8]>>);

impl Cancelled {
    /// Whether the payload of a method confirms a cancellation again.
    pub(super) fn is_repeated(&mut self, payload: &[u8]) -> bool {
        if !payload.starts_with(&CANCEL_OK) {
            return false;
        }
        if self.0.iter().any(|before| **before == *payload) {
            return true;
        }
        if self.0.len() == MAX_COUNT {
            self.0.pop_front();
        }
        self.0.push_back(payload.into());
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_cancellations_are_remembered() {
        let mut cancelled = Cancelled::default();
        let payload = |number: usize| [&CANCEL_OK[..], &number.to_be_bytes()].concat();
        assert!((0..=MAX_COUNT).all(|number| !cancelled.is_repeated(&payload(number))));
        assert!(cancelled.is_repeated(&payload(MAX_COUNT)) && !cancelled.is_repeated(&payload(0)));
        assert!(!cancelled.is_repeated(&[0, 60, 0, 60, 1]) && !cancelled.is_repeated(&[0, 60, 0, 60, 1]));
    }
}
