//! Messages whose outputs the broker refused as too large although they had passed its checks. A component that gets this error at its next
//! `send` may send less; a message whose outputs are refused again is never tried a third time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_pubsub::MessageId;

/// The number of such refusals before a message is given up.
const MAX_REFUSALS_COUNT: u32 = 2;
/// The limit of remembered messages: beyond it, the one whose last refusal is the oldest is forgotten, and tried again if redelivered.
const MAX_MESSAGES_COUNT: usize = 1024;

/// The oversized messages of one input.
#[derive(Debug, Default)]
pub(crate) struct Oversized {
    /// Whether there are any: checked for each message.
    is_any: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    messages: HashMap<MessageId, Refused>,
    /// Refusals so far, of all messages.
    refusals_count: u64,
}

impl Known {
    /// Makes room for one more.
    fn forget_oldest(&mut self) {
        let oldest = self.messages.iter().min_by_key(|(_, refused)| refused.refusal).map(|(id, _)| *id);
        oldest.and_then(|id| self.messages.remove(&id));
    }
}

#[derive(Debug, Default)]
struct Refused {
    count: u32,
    /// The number of its last refusal among all refusals.
    refusal: u64,
    reason: String,
}

impl Oversized {
    /// Records that the broker refused outputs of a message.
    pub(crate) fn refused(&self, id: MessageId, reason: String) {
        let mut known = self.known();
        if known.messages.len() >= MAX_MESSAGES_COUNT && !known.messages.contains_key(&id) {
            known.forget_oldest();
        }
        known.refusals_count += 1;
        let refusal = known.refusals_count;
        let refused = known.messages.entry(id).or_default();
        *refused = Refused { count: refused.count + 1, refusal, reason };
        self.is_any.store(true, Ordering::Relaxed);
    }

    /// Why a message must be given up without another attempt, and after how many.
    pub(crate) fn give_up_reason(&self, id: MessageId) -> Option<(u32, String)> {
        if !self.is_any.load(Ordering::Relaxed) {
            return None;
        }
        let known = self.known();
        known.messages.get(&id).filter(|refused| refused.count >= MAX_REFUSALS_COUNT).map(|refused| (refused.count, refused.reason.clone()))
    }

    /// Records that a message was settled, by this host or another.
    pub(crate) fn settled(&self, id: MessageId) {
        if !self.is_any.load(Ordering::Relaxed) {
            return;
        }
        let mut known = self.known();
        known.messages.remove(&id);
        self.is_any.store(!known.messages.is_empty(), Ordering::Relaxed);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_given_up_after_its_second_refusal_until_it_is_settled() {
        let (oversized, id) = (Oversized::default(), MessageId(1));
        oversized.refused(id, "first".to_owned());
        assert_eq!(oversized.give_up_reason(id), None, "the component is told at its next `send`");
        oversized.refused(id, "second".to_owned());
        assert_eq!(oversized.give_up_reason(id), Some((2, "second".to_owned())));
        assert_eq!(oversized.give_up_reason(MessageId(2)), None);
        oversized.settled(id);
        assert_eq!(oversized.give_up_reason(id), None);
        assert!(!oversized.is_any.load(Ordering::Relaxed));
    }

    #[test]
    fn so_many_are_remembered_and_the_newest_always_is() {
        let (oversized, most) = (Oversized::default(), MAX_MESSAGES_COUNT as u128);
        for id in 0..2 * most {
            oversized.refused(MessageId(id), String::new());
        }
        assert_eq!(oversized.known().messages.len(), MAX_MESSAGES_COUNT);
        for id in [2 * most - 1, 2 * most] {
            oversized.refused(MessageId(id), String::new());
        }
        assert!(oversized.give_up_reason(MessageId(2 * most - 1)).is_some());
        oversized.refused(MessageId(2 * most), String::new());
        assert!(oversized.give_up_reason(MessageId(2 * most)).is_some(), "those that are known do not keep it from being known");
        assert!(oversized.give_up_reason(MessageId(most)).is_none() && oversized.known().messages.len() == MAX_MESSAGES_COUNT);
    }
}
