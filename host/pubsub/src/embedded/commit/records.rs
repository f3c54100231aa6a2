//! Steps of the state machine as records of the log.

use crate::embedded::definition::QueueDefinition;
use crate::embedded::log::{Log, NewFrame, Record, RecordContent};
use crate::embedded::numbers::FIRST_EPHEMERAL;
use crate::embedded::refusal::WriteFailure;
use crate::embedded::state::{self, Reason, StateChange};

/// Writes the durable steps as one frame and assigns each message its position. Returns the bytes written.
pub(super) fn write(log: &mut Log, steps: &mut [StateChange]) -> Result<u64, WriteFailure> {
    let mut frame = log.begin_frame()?;
    steps.iter_mut().for_each(|step| push(&mut frame, step));
    frame.write()
}

fn push(frame: &mut NewFrame<'_>, step: &mut StateChange) {
    let found = match step {
        StateChange::Put { targets, stored, position, .. } if !targets.is_empty() => {
            let record = Record::Put { targets, size_bytes: stored.size_bytes as u32, message: &stored.message };
            frame.push(record).map(|found| (position, found))
        }
        StateChange::Move { targets, size_bytes, content, position } => {
            let content = match content {
                state::CopySource::Block(block) => RecordContent::Block(block),
                state::CopySource::Memory(stored) => RecordContent::Message(&stored.message),
            };
            frame.push(Record::Moved { targets, size_bytes: *size_bytes, content }).map(|found| (position, found))
        }
        other => {
            push_without_message(frame, other);
            None
        }
    };
    if let Some((position, found)) = found {
        *position = found;
    }
}

/// Adds a step without a message.
fn push_without_message(frame: &mut NewFrame<'_>, step: &StateChange) {
    let record = match step {
        StateChange::Remove { queue, entry, reason } if *queue < FIRST_EPHEMERAL => {
            let (queue, sequence) = (*queue, entry.sequence);
            if *reason == Reason::Dropped { Record::Dropped { queue, sequence } } else { Record::Removed { queue, sequence } }
        }
        StateChange::Delivered { queue, first, last } => Record::Delivered { queue: *queue, first: *first, last: *last },
        StateChange::SetAside { queue, entry, .. } => Record::SetAside { queue: *queue, sequence: entry.sequence },
        StateChange::Define { number, spec } => {
            frame.push(Record::Defined(&QueueDefinition::new(*number, spec)));
            return;
        }
        StateChange::Bound { definition } => Record::Defined(definition),
        StateChange::DeleteEmpty { state } if state.number < FIRST_EPHEMERAL => Record::Deleted { queue: state.number },
        StateChange::Delete { number } => Record::Deleted { queue: *number },
        StateChange::Put { .. }
        | StateChange::Move { .. }
        | StateChange::Remove { .. }
        | StateChange::DeleteEmpty { .. }
        | StateChange::Marked { .. } => return,
        StateChange::Return { .. }
        | StateChange::Ephemeral { .. }
        | StateChange::EphemeralTo { .. }
        | StateChange::Unblock { .. }
        | StateChange::Leave { .. } => return,
    };
    frame.push(record);
}
