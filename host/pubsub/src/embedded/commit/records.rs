//! Steps of the state machine as records of the log.

use crate::embedded::definition::Definition;
use crate::embedded::log::{Content, Log, NewFrame, Record};
use crate::embedded::numbers::FIRST_EPHEMERAL;
use crate::embedded::refusal::WriteFailure;
use crate::embedded::state::{self, Reason, Step};

/// Writes the durable steps as one frame and assigns each message its position. Returns the bytes written.
pub(super) fn write(log: &mut Log, steps: &mut [Step]) -> Result<u64, WriteFailure> {
    let mut frame = log.begin_frame()?;
    steps.iter_mut().for_each(|step| push(&mut frame, step));
    frame.write()
}

fn push(frame: &mut NewFrame<'_>, step: &mut Step) {
    let found = match step {
        Step::Put { targets, stored, position, .. } if !targets.is_empty() => {
            let record = Record::Put { targets, size_bytes: stored.size_bytes as u32, message: &stored.message };
            frame.push(record).map(|found| (position, found))
        }
        Step::Move { targets, size_bytes, content, position } => {
            let content = match content {
                state::Content::Block(block) => Content::Block(block),
                state::Content::Memory(stored) => Content::Message(&stored.message),
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
fn push_without_message(frame: &mut NewFrame<'_>, step: &Step) {
    let record = match step {
        Step::Remove { queue, entry, reason } if *queue < FIRST_EPHEMERAL => {
            let (queue, sequence) = (*queue, entry.sequence);
            if *reason == Reason::Dropped { Record::Dropped { queue, sequence } } else { Record::Removed { queue, sequence } }
        }
        Step::Delivered { queue, first, last } => Record::Delivered { queue: *queue, first: *first, last: *last },
        Step::SetAside { queue, entry, .. } => Record::SetAside { queue: *queue, sequence: entry.sequence },
        Step::Define { number, spec } => {
            frame.push(Record::Defined(&Definition::new(*number, spec)));
            return;
        }
        Step::Bound { definition } => Record::Defined(definition),
        Step::DeleteEmpty { state } if state.number < FIRST_EPHEMERAL => Record::Deleted { queue: state.number },
        Step::Delete { number } => Record::Deleted { queue: *number },
        Step::Put { .. } | Step::Move { .. } | Step::Remove { .. } | Step::DeleteEmpty { .. } | Step::Marked { .. } => return,
        Step::Return { .. } | Step::Ephemeral { .. } | Step::EphemeralTo { .. } | Step::Unblock { .. } | Step::Leave { .. } => return,
    };
    frame.push(record);
}
