//! Batches of messages for a reader that does not acknowledge: each is followed by a ping, whose pong settles it. Pure.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use weir_pubsub::Receipt;

use super::lease_window::MAX_COUNT;

/// Maximum size of a batch of more than one message.
pub(crate) const BATCH_BYTES: usize = 64 << 10;
/// A pong within this time makes batches larger, one after [`SLOW`] smaller: a reader that handles each message before it reads the next answers the
/// ping after the whole batch.
const FAST: Duration = Duration::from_millis(250);
const SLOW: Duration = Duration::from_secs(2);

/// The batch in flight, and the size limit of the next one.
pub(crate) struct Batches {
    /// How long a reader may take to answer.
    answer_timeout: Duration,
    /// Maximum number of messages in the next batch.
    limit_count: usize,
    /// The number of the batch that was sent last.
    number: u64,
    on_its_way: Option<Batch>,
}

struct Batch {
    receipts: Vec<Receipt>,
    sent: Instant,
}

impl Batches {
    /// The first batch has one message. A reader has two ping intervals to answer, the same as an idle one.
    pub(crate) fn new(ping_interval: Duration) -> Self {
        Batches { answer_timeout: ping_interval * 2, limit_count: 1, number: 0, on_its_way: None }
    }

    /// Whether a batch is in flight.
    pub(crate) fn is_on_its_way(&self) -> bool {
        self.on_its_way.is_some()
    }

    /// Whether a batch of this size takes one more message.
    pub(crate) fn has_room(&self, count: usize, bytes: usize) -> bool {
        count < self.limit_count && bytes < BATCH_BYTES
    }

    /// Records that a batch is sent, and returns the payload of the ping that follows it.
    pub(crate) fn sent(&mut self, receipts: Vec<Receipt>, now: Instant) -> Bytes {
        self.number += 1;
        self.on_its_way = Some(Batch { receipts, sent: now });
        Bytes::copy_from_slice(&self.number.to_be_bytes())
    }

    /// When a reader that has not answered is disconnected; `None` while no batch is in flight.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.on_its_way.as_ref().map(|batch| batch.sent + self.answer_timeout)
    }

    /// The receipts that a pong settles; `None` if it does not answer a ping of the current batch.
    pub(crate) fn answered(&mut self, carried: &[u8], now: Instant) -> Option<Vec<Receipt>> {
        if carried != self.number.to_be_bytes() {
            return None;
        }
        let batch = self.on_its_way.take()?;
        let took = now - batch.sent;
        if took < FAST {
            self.limit_count = (self.limit_count * 2).min(MAX_COUNT);
        } else if took > SLOW {
            self.limit_count = (self.limit_count / 2).max(1);
        }
        Some(batch.receipts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(sequence: u64) -> Receipt {
        Receipt::for_test(sequence)
    }

    #[test]
    fn only_the_pong_to_its_own_ping_settles_a_batch_once() {
        let now = Instant::now();
        let mut batches = Batches::new(Duration::from_secs(30));
        assert_eq!(batches.answered(&0_u64.to_be_bytes(), now), None);
        let ping = batches.sent(vec![receipt(1)], now);
        assert_eq!(batches.deadline(), Some(now + Duration::from_secs(60)));
        assert_eq!(batches.answered(b"", now), None);
        assert_eq!(batches.answered(b"another", now), None);
        assert!(batches.is_on_its_way());
        assert_eq!(batches.answered(&ping, now), Some(vec![receipt(1)]));
        assert_eq!(batches.answered(&ping, now), None);
        let next = batches.sent(vec![receipt(2)], now);
        assert_eq!(batches.answered(&ping, now), None, "it is the pong of an older one");
        assert_eq!(batches.answered(&next, now), Some(vec![receipt(2)]));
    }

    #[test]
    fn batches_grow_with_a_fast_reader_and_shrink_with_a_slow_one() {
        let now = Instant::now();
        let mut batches = Batches::new(Duration::from_secs(30));
        let mut limit_after = |took: Duration| {
            let ping = batches.sent(vec![receipt(1)], now);
            batches.answered(&ping, now + took);
            batches.limit_count
        };
        assert_eq!([(); 3].map(|()| limit_after(Duration::from_millis(1))), [2, 4, 8]);
        assert_eq!(limit_after(Duration::from_secs(1)), 8);
        assert_eq!([(); 5].map(|()| limit_after(Duration::from_secs(10))), [4, 2, 1, 1, 1]);
        assert_eq!([(); 12].map(|()| limit_after(Duration::ZERO))[11], MAX_COUNT);
    }
}
