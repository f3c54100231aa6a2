//! Selection of acknowledgements for a channel: `multiple` acknowledges every delivery up to its tag, so it is used only if all of these are done.

use std::collections::BTreeSet;

/// One `basic.ack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) tag: u64,
    pub(super) multiple: bool,
}

/// The acknowledgements for the deliveries in `done`, all of which the broker counts as unacknowledged on the channel. `unacknowledged` must be in
/// order, and is read only up to the first delivery that is not done.
pub(super) fn acks(unacknowledged: impl IntoIterator<Item = u64>, done: &BTreeSet<u64>) -> Vec<Ack> {
    let mut acks = Vec::new();
    let (mut last, mut count) = (None, 0);
    for tag in unacknowledged.into_iter().take_while(|tag| done.contains(tag)) {
        (last, count) = (Some(tag), count + 1);
    }
    acks.extend(last.map(|tag| Ack { tag, multiple: count > 1 }));
    acks.extend(done.iter().filter(|tag| last.is_none_or(|last| **tag > last)).map(|&tag| Ack { tag, multiple: false }));
    acks
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(tags: &[u64]) -> BTreeSet<u64> {
        tags.iter().copied().collect()
    }

    #[test]
    fn a_contiguous_prefix_is_acknowledged_at_once() {
        let ack = |tag, multiple| Ack { tag, multiple };
        assert_eq!(acks([3, 4, 7, 8], &set(&[3, 4, 7])), [ack(7, true)]);
        assert_eq!(acks([3, 4, 7, 8], &set(&[3])), [ack(3, false)]);
        assert_eq!(acks([3, 4, 7, 8], &set(&[3, 7, 8])), [ack(3, false), ack(7, false), ack(8, false)]);
        assert_eq!(acks([3, 4], &set(&[4])), [ack(4, false)]);
        assert_eq!(acks([3, 4], &set(&[])), []);
    }

    proptest! {
        #[test]
        fn only_settled_messages_are_acknowledged(all in prop::collection::btree_set(1_u64..200, 0..100), done in prop::collection::btree_set(1_u64..200, 0..100)) {
            let done: BTreeSet<u64> = done.intersection(&all).copied().collect();
            let mut left = all.clone();
            for Ack { tag, multiple } in acks(all.iter().copied(), &done) {
                let gone: Vec<u64> = left.iter().copied().filter(|t| *t == tag || (multiple && *t < tag)).collect();
                prop_assert!(gone.iter().all(|tag| done.contains(tag)));
                for tag in gone {
                    left.remove(&tag);
                }
            }
            prop_assert_eq!(left, all.difference(&done).copied().collect::<BTreeSet<_>>());
        }
    }
}
