//! What callers and the broker itself request of the commit thread.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::stored::Stored;
use crate::backend::{IfEmpty, QueueSpec, Receipt, Routing, Settled};
use crate::embedded::damage::Damage;
use crate::error::Result;
use crate::topic::{Queue, Topic};

/// Where the answer goes.
pub(crate) type Done<T> = oneshot::Sender<Result<T>>;

/// Memory that a message was admitted with on its way to the log; free again once this is dropped.
pub(crate) type Permit = OwnedSemaphorePermit;

/// An output on its way.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) topic: Topic,
    pub(crate) stored: Arc<Stored>,
    pub(crate) routing: Routing,
}

/// What is asked of the log.
#[derive(Debug)]
pub(crate) enum Operation {
    Publish {
        topic: Topic,
        stored: Arc<Stored>,
        permit: Permit,
        done: Done<()>,
    },
    SendTo {
        queue: Queue,
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
        done: Done<IfEmpty>,
    },
}

/// The message that a redrive takes out, and the queue that it fills in its place.
#[derive(Debug)]
pub(crate) struct Redriven {
    pub(crate) from: Queue,
    pub(crate) position: u64,
    pub(crate) to: Queue,
}

impl Operation {
    /// Whether it changes which queues there are, so that it is committed alone.
    pub(crate) fn is_structural(&self) -> bool {
        let changes = matches!(self, Operation::Create { .. } | Operation::Bound { .. } | Operation::Delete { .. });
        changes || matches!(self, Operation::DeleteIfEmpty { .. })
    }

    /// About how much it adds to a frame.
    pub(crate) fn size_bytes(&self) -> u64 {
        match self {
            Operation::Publish { stored, .. } | Operation::SendTo { stored, .. } | Operation::Redrive { stored, .. } => stored.size_bytes,
            Operation::Settle { outputs, .. } => outputs.iter().map(|output| output.stored.size_bytes).sum(),
            _ => 0,
        }
    }
}
