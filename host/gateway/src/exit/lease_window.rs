//! The messages held under a lease, and its remaining window. Pure: independent of broker and connection.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use weir_pubsub::Receipt;

/// Maximum number of unacknowledged messages.
pub(super) const MAX_COUNT: usize = 1024;
/// Maximum size of their lines, if there is more than one.
const MAX_BYTES: usize = 1 << 20;

/// The messages that were delivered under a lease and are not acknowledged yet.
///
/// Receipts are numbered from 1 in the order of delivery. The lease expires when nothing was acknowledged for the lease time although messages were
/// unacknowledged.
#[derive(Debug)]
pub(super) struct LeaseWindow {
    lease_time: Duration,
    /// How many messages may still be delivered; `None`: unlimited.
    left_count: Option<u64>,
    /// The number of the oldest unacknowledged message, or of the next one if there is none.
    first: u64,
    /// In the order of their numbers, each with the size of its line.
    unacknowledged: VecDeque<(Receipt, usize)>,
    size_bytes: usize,
    /// `None` while nothing is unacknowledged.
    deadline: Option<Instant>,
    has_ended: bool,
}

/// Why an acknowledgement changes nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The lease has expired or ended.
    Ended,
    /// No message of this number was delivered.
    NeverHandedOut {
        /// The number of the last one; 0 if there is none.
        last: u64,
    },
}

impl LeaseWindow {
    /// Holds nothing yet; at most `count` messages will be delivered.
    pub(super) fn new(count: Option<u64>, lease_time: Duration) -> Self {
        let unacknowledged = VecDeque::new();
        LeaseWindow { lease_time, left_count: count, first: 1, unacknowledged, size_bytes: 0, deadline: None, has_ended: false }
    }

    /// The number that the next message gets.
    pub(super) fn next_number(&self) -> u64 {
        self.first + self.unacknowledged.len() as u64
    }

    /// Whether the count allows one more message.
    pub(super) fn may_take(&self) -> bool {
        self.left_count != Some(0)
    }

    /// How many messages may be unacknowledged, if the count is limited: further ones are left to other consumers.
    pub(super) fn window(&self) -> Option<usize> {
        let left = usize::try_from(self.left_count?).unwrap_or(MAX_COUNT);
        Some(left.saturating_add(self.unacknowledged.len()).clamp(1, MAX_COUNT))
    }

    /// Whether one more message of this size may be delivered before others are acknowledged. A single message always may.
    pub(super) fn has_room(&self, size_bytes: usize) -> bool {
        let fits = self.unacknowledged.len() < MAX_COUNT && self.size_bytes + size_bytes <= MAX_BYTES;
        fits || self.unacknowledged.is_empty()
    }

    /// Whether everything delivered is acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    /// The number of unacknowledged messages.
    pub(super) fn count(&self) -> usize {
        self.unacknowledged.len()
    }

    /// Records the delivery of a message under [`LeaseWindow::next_number`].
    pub(super) fn hand_out(&mut self, receipt: Receipt, size_bytes: usize, now: Instant) {
        if self.unacknowledged.is_empty() {
            self.deadline = Some(now + self.lease_time);
        }
        self.unacknowledged.push_back((receipt, size_bytes));
        self.size_bytes += size_bytes;
        self.left_count = self.left_count.map(|left| left.saturating_sub(1));
    }

    /// Acknowledges all messages up to a number, and renews the lease. Returns the receipts to settle.
    pub(super) fn acknowledge(&mut self, through: u64, now: Instant) -> Result<Vec<Receipt>, Refused> {
        if self.expire(now) {
            return Err(Refused::Ended);
        }
        let last = self.next_number() - 1;
        if through > last {
            return Err(Refused::NeverHandedOut { last });
        }
        let count = (through + 1).saturating_sub(self.first) as usize;
        let acknowledged: Vec<(Receipt, usize)> = self.unacknowledged.drain(..count).collect();
        self.first += count as u64;
        self.size_bytes -= acknowledged.iter().map(|(_, size_bytes)| size_bytes).sum::<usize>();
        self.deadline = (!self.unacknowledged.is_empty()).then(|| now + self.lease_time);
        Ok(acknowledged.into_iter().map(|(receipt, _)| receipt).collect())
    }

    /// Whether the lease has ended, including by expiry.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        self.has_ended |= self.deadline.is_some_and(|deadline| deadline <= now);
        self.has_ended
    }

    /// Whether the lease had ended at the last check.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Ends the lease: nothing can be acknowledged any more.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }

    /// When the lease expires unless it is renewed.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(60);

    fn receipt(sequence: u64) -> Receipt {
        Receipt::for_test(sequence)
    }

    fn handed_out(count: u64, now: Instant) -> LeaseWindow {
        let mut held = LeaseWindow::new(None, LEASE);
        (1..=count).for_each(|sequence| held.hand_out(receipt(sequence), 100, now));
        held
    }

    #[test]
    fn receipts_are_acknowledged_once_up_to_a_number() {
        let now = Instant::now();
        let mut held = handed_out(5, now);
        assert_eq!(held.acknowledge(0, now), Ok(vec![]));
        assert_eq!(held.acknowledge(2, now), Ok(vec![receipt(1), receipt(2)]));
        assert_eq!(held.acknowledge(2, now), Ok(vec![]));
        assert_eq!(held.acknowledge(1, now), Ok(vec![]));
        assert_eq!(held.acknowledge(6, now), Err(Refused::NeverHandedOut { last: 5 }));
        assert_eq!(held.acknowledge(u64::MAX, now), Err(Refused::NeverHandedOut { last: 5 }));
        assert_eq!(held.acknowledge(5, now), Ok(vec![receipt(3), receipt(4), receipt(5)]));
        assert_eq!((held.is_empty(), held.size_bytes, held.next_number()), (true, 0, 6));
    }

    #[test]
    fn a_lease_expires_only_while_something_is_unacknowledged() {
        let begin = Instant::now();
        let mut held = handed_out(2, begin);
        assert!(!held.expire(begin + LEASE / 2));
        held.acknowledge(1, begin + LEASE / 2).unwrap();
        assert_eq!(held.deadline(), Some(begin + LEASE / 2 + LEASE));
        assert!(!held.expire(begin + LEASE));
        held.acknowledge(2, begin + LEASE).unwrap();
        assert!(!held.expire(begin + LEASE * 100));
        held.hand_out(receipt(3), 1, begin + LEASE * 100);
        assert_eq!(held.acknowledge(3, begin + LEASE * 101), Err(Refused::Ended));
        assert_eq!(held.acknowledge(3, begin + LEASE * 100), Err(Refused::Ended), "what has ended stays so");
    }

    #[test]
    fn the_window_has_1024_messages_or_1_mib_and_at_least_one_message() {
        let now = Instant::now();
        let mut held = LeaseWindow::new(None, LEASE);
        assert!(held.has_room(5 << 20));
        held.hand_out(receipt(1), 5 << 20, now);
        assert!(!held.has_room(1));
        let mut held = handed_out(1023, now);
        assert!(held.has_room(100) && !held.has_room(1 << 20));
        held.hand_out(receipt(1024), 100, now);
        assert!(!held.has_room(1));
        held.acknowledge(1, now).unwrap();
        assert!(held.has_room(1));
    }

    #[test]
    fn no_more_than_the_requested_count_is_delivered() {
        let now = Instant::now();
        let mut held = LeaseWindow::new(Some(2), LEASE);
        held.hand_out(receipt(1), 1, now);
        assert_eq!((held.may_take(), held.window()), (true, Some(2)));
        held.acknowledge(1, now).unwrap();
        assert_eq!(held.window(), Some(1));
        held.hand_out(receipt(2), 1, now);
        held.acknowledge(2, now).unwrap();
        assert!(!held.may_take());
        assert_eq!((LeaseWindow::new(Some(u64::MAX), LEASE).window(), LeaseWindow::new(None, LEASE).window()), (Some(MAX_COUNT), None));
    }
}
