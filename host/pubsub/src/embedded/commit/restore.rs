//! Restoring the state from what the log recovered.

use std::collections::BTreeMap;

use crate::embedded::log::{RecoveredMessage, RecoveredQueue};
use crate::embedded::options::EmbeddedOptions;
use crate::embedded::state::{BrokerState, Counting, Entry, sharers};

/// The state with these queues, for a log of these segments.
pub(crate) fn restore(options: EmbeddedOptions, queues: BTreeMap<u64, RecoveredQueue>, segments: &[u32]) -> BrokerState {
    let mut state = BrokerState::new(options);
    segments.iter().for_each(|segment| state.live.begin(*segment));
    for RecoveredQueue { definition, entries, missing_count, .. } in queues.into_values() {
        state.restore_queue(definition, missing_count, entries.into_iter().map(|(sequence, message)| entry(sequence, message)));
    }
    state
}

fn entry(sequence: u64, message: RecoveredMessage) -> Entry {
    let RecoveredMessage { position, size_bytes, targets_count, deliveries } = message;
    let sharers = sharers(targets_count as usize);
    // Any message in the log may have crashed the last process.
    Entry { sequence, position, size_bytes, sharers, deliveries, counting: Counting::Suspect, stored: None }
}
