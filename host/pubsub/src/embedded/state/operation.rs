//! Operations: requests of callers, and of the broker itself, to the commit thread.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::stored::Stored;
use crate::backend::{Deletion, QueueSpec, Receipt, Routing, Settled};
use crate::embedded::damage::Damage;
use crate::error::Result;
use crate::topic::{Queue, Topic};

/// The channel for the result.
pub(crate) type Done<T> = oneshot::Sender<Result<T>>;

/// A message's share of admission, occupied until the message is durable; released when dropped.
pub(crate) type Permit = OwnedSemaphorePermit;

/// An output of a settle.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) topic: Topic,
    pub(crate) stored: Arc<Stored>,
    pub(crate) routing: Routing,
}

/// A request to the commit thread.
#[derive(Debug)]
pub(crate) enum Operation {
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
    /// A message is unreadable; `holder` is the consumer that holds it, if any.
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
    /// Changes the bound of an existing queue to that of the specification.
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

/// The message that a redrive removes, and the queue that it sends to.
#[derive(Debug)]
pub(crate) struct Redriven {
    pub(crate) from: Queue,
    pub(crate) position: u64,
    pub(crate) to: Queue,
}

impl Operation {
    /// Whether it changes the set of queues, and is therefore committed alone.
    pub(crate) fn is_structural(&self) -> bool {
        let changes = matches!(self, Operation::Create { .. } | Operation::Bound { .. } | Operation::Delete { .. });
        changes || matches!(self, Operation::DeleteIfEmpty { .. })
    }

    /// Approximate number of bytes that it adds to a frame.
    pub(crate) fn size_bytes(&self) -> u64 {
        match self {
            Operation::Publish { stored, .. } | Operation::Redrive { stored, .. } => stored.size_bytes,
            Operation::Settle { outputs, .. } => outputs.iter().map(|output| output.stored.size_bytes).sum(),
            _ => 0,
        }
    }
}
