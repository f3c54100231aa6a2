//! What is committed together: operations are decided in order, written as one frame, and applied, or undone if the write failed.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::broadcast::Mailbox;
use super::log::{Damage, Definition};
use super::queue::{Entry, Place, QueueState, Stored};
use super::queues::{DiskFull, FIRST_EPHEMERAL};
use super::room::Permit;
use crate::backend::{Deletion, QueueSpec, Receipt, Routing, Settled};
use crate::error::{PubsubError, Result};
use crate::topic::{Queue, Topic};

pub(super) type Done<T> = oneshot::Sender<Result<T>>;

/// An output on its way.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) topic: Topic,
    pub(super) stored: Arc<Stored>,
    pub(super) routing: Routing,
}

/// What is asked of the log.
#[derive(Debug)]
pub(super) enum Operation {
    Publish {
        topic: Topic,
        stored: Arc<Stored>,
        permit: Permit,
        done: Done<()>,
    },
    Settle {
        receipt: Receipt,
        outputs: Vec<Outgoing>,
        done: Done<Settled>,
    },
    Take {
        queue: Queue,
        position: u64,
        done: Done<bool>,
    },
    Redrive {
        moved: Box<Redriven>,
        stored: Arc<Stored>,
        permit: Permit,
        done: Done<bool>,
    },
    Mark {
        queue: u64,
        sequences: Vec<u64>,
    },
    /// A message cannot be read; the consumer that met it holds it, if one did.
    SetAside {
        queue: u64,
        sequence: u64,
        holder: Option<u64>,
        damage: Box<Damage>,
    },
    Leave {
        consumer: u64,
    },
    Create {
        spec: QueueSpec,
        done: Done<()>,
    },
    /// Gives a queue that is there the bound of the specification.
    Bound {
        spec: QueueSpec,
        done: Done<()>,
    },
    Delete {
        queue: Queue,
        done: Done<()>,
    },
    DeleteIfEmpty {
        queues: Vec<Queue>,
        done: Done<Deletion>,
    },
}

/// The message that a redrive takes out, and the queue that it fills in its place.
#[derive(Debug)]
pub(super) struct Redriven {
    pub(super) from: Queue,
    pub(super) position: u64,
    pub(super) to: Queue,
}

impl Operation {
    /// Whether it changes which queues there are, so that it is committed alone.
    pub(super) fn is_structural(&self) -> bool {
        let changes = matches!(self, Operation::Create { .. } | Operation::Bound { .. } | Operation::Delete { .. });
        changes || matches!(self, Operation::DeleteIfEmpty { .. })
    }

    /// About how much it adds to a frame.
    pub(super) fn size_bytes(&self) -> u64 {
        match self {
            Operation::Publish { stored, .. } | Operation::Redrive { stored, .. } => stored.size_bytes,
            Operation::Settle { outputs, .. } => outputs.iter().map(|output| output.stored.size_bytes).sum(),
            _ => 0,
        }
    }
}

/// Why a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It was settled by this consumer.
    Settled(u64),
    Taken,
    Dropped,
}

/// A message of one queue that is written again, with the deliveries that the log knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) queue: u64,
    pub(super) sequence: u64,
    pub(super) deliveries: u32,
}

/// One decided change.
#[derive(Debug)]
pub(super) enum Step {
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
        /// The message with its length and checksum.
        block: Bytes,
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
    pub(super) fn to_repeat(&self) -> Option<Operation> {
        match self {
            Step::Marked { queue, sequences } => Some(Operation::Mark { queue: *queue, sequences: sequences.clone() }),
            Step::SetAside { queue, entry, holder, damage } => {
                Some(Operation::SetAside { queue: *queue, sequence: entry.sequence, holder: *holder, damage: damage.clone() })
            }
            _ => None,
        }
    }
}

/// Who waits for what.
#[derive(Debug)]
pub(super) enum Answer {
    Unit(Done<()>, Result<()>),
    Settled(Done<Settled>, Result<Settled>),
    Flag(Done<bool>, Result<bool>),
    Deletion(Done<Deletion>, Result<Deletion>),
}

/// Why a group could not be written.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    DiskFull(DiskFull),
    Unavailable(String),
}

impl Failure {
    pub(super) fn to_error(&self) -> PubsubError {
        match self {
            Failure::DiskFull(disk) => disk.to_error(),
            Failure::Unavailable(reason) => PubsubError::unavailable(reason.clone()),
        }
    }

    /// For what no full queue refuses, such as settles: all the same it could not be written.
    fn to_settle_error(&self) -> PubsubError {
        PubsubError::unavailable(self.to_reason())
    }

    /// For people.
    pub(super) fn to_reason(&self) -> String {
        match self {
            Failure::DiskFull(disk) => format!("{} is full: nothing can be written", disk.disk),
            Failure::Unavailable(reason) => reason.clone(),
        }
    }
}

/// Operations that are committed together.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) steps: Vec<Step>,
    pub(super) answers: Vec<Answer>,
    pub(super) permits: Vec<Permit>,
    pub(super) operations_count: u64,
}

impl Group {
    /// Whether there is anything to write.
    pub(super) fn is_durable(steps: &[Step]) -> bool {
        steps.iter().any(Step::is_durable)
    }

    /// Tells everybody how it ended.
    pub(super) fn answer(self) {
        for answer in self.answers {
            // A caller that does not wait any more is no concern of the log's.
            match answer {
                Answer::Unit(done, outcome) => drop(done.send(outcome)),
                Answer::Settled(done, outcome) => drop(done.send(outcome)),
                Answer::Flag(done, outcome) => drop(done.send(outcome)),
                Answer::Deletion(done, outcome) => drop(done.send(outcome)),
            }
        }
    }

    /// Tells everybody that nothing was done.
    pub(super) fn fail(self, failure: &Failure) {
        for answer in self.answers {
            match answer {
                Answer::Unit(done, outcome) => drop(done.send(outcome.and_then(|()| Err(failure.to_error())))),
                Answer::Settled(done, outcome) => drop(done.send(outcome.and_then(|_| Err(failure.to_settle_error())))),
                Answer::Flag(done, outcome) => drop(done.send(outcome.and_then(|_| Err(failure.to_settle_error())))),
                Answer::Deletion(done, outcome) => drop(done.send(outcome.and_then(|_| Err(failure.to_settle_error())))),
            }
        }
    }
}
