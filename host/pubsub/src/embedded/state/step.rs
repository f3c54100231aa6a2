//! What a decided operation changes.

use std::sync::Arc;

use bytes::Bytes;

use super::entry::Entry;
use super::mailbox::Mailbox;
use super::operation::Operation;
use super::queue::QueueState;
use super::stored::Stored;
use crate::backend::QueueSpec;
use crate::embedded::damage::Damage;
use crate::embedded::definition::Definition;
use crate::embedded::numbers::FIRST_EPHEMERAL;
use crate::embedded::place::{Moved, Place};
use crate::topic::Topic;

/// Why a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It was settled by this consumer.
    Settled(u64),
    Taken,
    Dropped,
}

/// A message that is written again.
#[derive(Debug)]
pub(crate) enum Content {
    /// As it is in the log, with its length and checksum.
    Block(Bytes),
    /// From memory, because it is damaged in the log.
    Memory(Arc<Stored>),
}

/// One decided change.
#[derive(Debug)]
pub(crate) enum Step {
    /// A message enters these durable queues (number, sequence); taps get a copy.
    Put {
        targets: Vec<(u64, u64)>,
        stored: Arc<Stored>,
        place: Place,
        taps: Vec<Arc<Mailbox>>,
    },
    /// A message leaves its queue.
    Remove {
        queue: u64,
        entry: Entry,
        reason: Reason,
    },
    /// A message, as it stands in the log, is written again further on in it; the queues that have it read it there.
    Move {
        targets: Vec<Moved>,
        size_bytes: u32,
        content: Content,
        place: Place,
    },
    /// Deliveries of these sequences, ends included, happened or are about to.
    Delivered {
        queue: u64,
        first: u64,
        last: u64,
    },
    /// Messages may be handed out now: their deliveries are counted.
    Marked {
        queue: u64,
        sequences: Vec<u64>,
    },
    /// A message that was read where it is no longer comes again.
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
    /// A queue that is there gets another bound of its own.
    Bound {
        definition: Definition,
    },
    /// A queue that was found empty goes; nothing can enter it meanwhile.
    DeleteEmpty {
        state: Box<QueueState>,
    },
    /// A queue goes, with all that is in it.
    Delete {
        number: u64,
    },
    /// A message for a topic that lives in memory.
    Ephemeral {
        topic: Topic,
        stored: Arc<Stored>,
    },
    /// A message for one queue that lives in memory.
    EphemeralTo {
        queue: u64,
        stored: Arc<Stored>,
    },
    /// A settle of a delivery from memory that came through the log is done.
    Unblock {
        consumer: u64,
    },
    Leave {
        consumer: u64,
    },
}

impl Step {
    /// Whether the log has to know.
    pub(super) fn is_durable(&self) -> bool {
        match self {
            Step::Put { targets, .. } => !targets.is_empty(),
            Step::Remove { queue, .. } => *queue < FIRST_EPHEMERAL,
            Step::DeleteEmpty { state } => state.number < FIRST_EPHEMERAL,
            Step::Move { .. } | Step::Delivered { .. } | Step::SetAside { .. } => true,
            Step::Define { .. } | Step::Bound { .. } | Step::Delete { .. } => true,
            Step::Marked { .. } | Step::Return { .. } | Step::Ephemeral { .. } | Step::EphemeralTo { .. } => false,
            Step::Unblock { .. } | Step::Leave { .. } => false,
        }
    }
}

impl Step {
    /// What the broker itself asks again after it could not be written, since no caller does.
    pub(crate) fn to_repeat(&self) -> Option<Operation> {
        match self {
            Step::Marked { queue, sequences } => Some(Operation::Mark { queue: *queue, sequences: sequences.clone() }),
            Step::SetAside { queue, entry, holder, damage } => {
                Some(Operation::SetAside { queue: *queue, sequence: entry.sequence, holder: *holder, damage: damage.clone() })
            }
            _ => None,
        }
    }
}
