//! Steps: the changes that result from decided operations.

use std::sync::Arc;

use bytes::Bytes;

use super::entry::Entry;
use super::operation::Operation;
use super::queue::QueueState;
use super::stored::Stored;
use crate::backend::QueueSpec;
use crate::embedded::damage::Damage;
use crate::embedded::definition::QueueDefinition;
use crate::embedded::log_position::{LogPosition, Moved};
use crate::embedded::numbers::FIRST_EPHEMERAL;
use crate::mailbox::Mailbox;
use crate::topic::Topic;

/// Why a message leaves its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It was settled by this consumer.
    Settled(u64),
    Taken,
    Dropped,
}

/// The content of a message that is copied forward.
#[derive(Debug)]
pub(crate) enum CopySource {
    /// As stored in the log, with its length and checksum.
    Block(Bytes),
    /// From memory, because it is damaged in the log.
    Memory(Arc<Stored>),
}

/// One step: a decided change of the state, which is written to the log if durable, then applied or undone.
#[derive(Debug)]
pub(crate) enum StateChange {
    /// A message enters these durable queues (number, sequence); taps get a copy.
    Put {
        targets: Vec<(u64, u64)>,
        stored: Arc<Stored>,
        position: LogPosition,
        taps: Vec<Arc<Mailbox>>,
    },
    /// A message leaves its queue.
    Remove {
        queue: u64,
        entry: Entry,
        reason: Reason,
    },
    /// A message is written again later in the log; its queues use the new position from then on.
    Move {
        targets: Vec<Moved>,
        size_bytes: u32,
        content: CopySource,
        position: LogPosition,
    },
    /// Deliveries of these sequences, ends included, happened or are about to happen.
    Delivered {
        queue: u64,
        first: u64,
        last: u64,
    },
    /// Messages can be delivered now that their deliveries are recorded.
    Marked {
        queue: u64,
        sequences: Vec<u64>,
    },
    /// A message that was read at an outdated position is requeued.
    Return {
        queue: u64,
        sequence: u64,
        consumer: u64,
    },
    /// A damaged message leaves its queue.
    SetAside {
        queue: u64,
        entry: Entry,
        holder: Option<u64>,
        damage: Box<Damage>,
    },
    Define {
        number: u64,
        spec: QueueSpec,
    },
    /// An existing queue gets another bound of its own.
    Bound {
        definition: QueueDefinition,
    },
    /// An empty queue is deleted; it was already removed from the state, so nothing can enter it.
    DeleteEmpty {
        state: Box<QueueState>,
    },
    /// A queue is deleted with all its messages.
    Delete {
        number: u64,
    },
    /// A message for a topic in memory.
    Ephemeral {
        topic: Topic,
        stored: Arc<Stored>,
    },
    /// A message for one queue in memory.
    EphemeralTo {
        queue: u64,
        stored: Arc<Stored>,
    },
    /// A settle of a delivery from memory has passed the log.
    Unblock {
        consumer: u64,
    },
    Leave {
        consumer: u64,
    },
}

impl StateChange {
    /// Whether it must be written to the log.
    pub(super) fn is_durable(&self) -> bool {
        match self {
            StateChange::Put { targets, .. } => !targets.is_empty(),
            StateChange::Remove { queue, .. } => *queue < FIRST_EPHEMERAL,
            StateChange::DeleteEmpty { state } => state.number < FIRST_EPHEMERAL,
            StateChange::Move { .. } | StateChange::Delivered { .. } | StateChange::SetAside { .. } => true,
            StateChange::Define { .. } | StateChange::Bound { .. } | StateChange::Delete { .. } => true,
            StateChange::Marked { .. } | StateChange::Return { .. } | StateChange::Ephemeral { .. } | StateChange::EphemeralTo { .. } => {
                false
            }
            StateChange::Unblock { .. } | StateChange::Leave { .. } => false,
        }
    }
}

impl StateChange {
    /// The operation to repeat if the step could not be written and no caller repeats it.
    pub(crate) fn to_repeat(&self) -> Option<Operation> {
        match self {
            StateChange::Marked { queue, sequences } => Some(Operation::Mark { queue: *queue, sequences: sequences.clone() }),
            StateChange::SetAside { queue, entry, holder, damage } => {
                Some(Operation::SetAside { queue: *queue, sequence: entry.sequence, holder: *holder, damage: damage.clone() })
            }
            _ => None,
        }
    }
}
