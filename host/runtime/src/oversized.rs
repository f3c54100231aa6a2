//! Messages whose outputs the broker has refused as too large although they had passed its checks. A component that is told at its next `send` may
//! send less; one message of which the broker refuses the outputs again is never tried a third time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_pubsub::MessageId;

/// Settles refused so before a message is given up.
const MOST_REFUSALS_COUNT: u32 = 2;
/// More messages than this are not remembered at a time; those that are not are tried again.
const KEPT_COUNT: usize = 1024;

/// Those of one input.
#[derive(Debug, Default)]
pub(crate) struct Oversized {
    /// Whether any is known: this is asked for each message.
    is_any: AtomicBool,
    known: Mutex<HashMap<MessageId, Refused>>,
}

#[derive(Debug)]
struct Refused {
    count: u32,
    reason: String,
}

impl Oversized {
    /// The broker has refused outputs of a message.
    pub(crate) fn refused(&self, id: MessageId, reason: String) {
        let mut known = self.known();
        if known.len() >= KEPT_COUNT && !known.contains_key(&id) {
            return;
        }
        let refused = known.entry(id).or_insert(Refused { count: 0, reason: String::new() });
        (refused.count, refused.reason) = (refused.count + 1, reason);
        self.is_any.store(true, Ordering::Relaxed);
    }

    /// Why a message is to be given up without another attempt, and after how many.
    pub(crate) fn hopeless(&self, id: MessageId) -> Option<(u32, String)> {
        if !self.is_any.load(Ordering::Relaxed) {
            return None;
        }
        let known = self.known();
        known.get(&id).filter(|refused| refused.count >= MOST_REFUSALS_COUNT).map(|refused| (refused.count, refused.reason.clone()))
    }

    /// A message was settled.
    pub(crate) fn settled(&self, id: MessageId) {
        if !self.is_any.load(Ordering::Relaxed) {
            return;
        }
        let mut known = self.known();
        known.remove(&id);
        self.is_any.store(!known.is_empty(), Ordering::Relaxed);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<MessageId, Refused>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_hopeless_after_its_second_refusal_until_it_is_settled() {
        let (oversized, id) = (Oversized::default(), MessageId(1));
        oversized.refused(id, "first".to_owned());
        assert_eq!(oversized.hopeless(id), None, "the component is told at its next `send`");
        oversized.refused(id, "second".to_owned());
        assert_eq!(oversized.hopeless(id), Some((2, "second".to_owned())));
        assert_eq!(oversized.hopeless(MessageId(2)), None);
        oversized.settled(id);
        assert_eq!(oversized.hopeless(id), None);
        assert!(!oversized.is_any.load(Ordering::Relaxed));
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let oversized = Oversized::default();
        for id in 0..2 * KEPT_COUNT as u128 {
            oversized.refused(MessageId(id), String::new());
        }
        assert_eq!(oversized.known().len(), KEPT_COUNT);
    }
}
