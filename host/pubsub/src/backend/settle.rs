//! Settling: acknowledging an input and sending its outputs.

use crate::error::PubsubError;

/// The outcome of a settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The outputs are in their queues, and the message is removed from its own. If the broker does not confirm acknowledgements, the message may be
    /// redelivered after a lost connection that lost the acknowledgement as well.
    Done {
        /// The number of outputs with [`Routing::Optional`](crate::Routing::Optional) that had no queue and were dropped.
        dropped_count: u32,
    },
    /// The delivery was already settled, is now held by another consumer, or its queue was deleted or its consumer lost: nothing was sent. If that
    /// happens after an output was sent, the settle fails with `OutcomeUnknown` instead.
    NoLongerHeld,
}

/// A failed settle, and which of its outputs were not sent. The delivery is still held, unless its consumer was lost too.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Unsettled {
    /// The reason.
    #[source]
    pub error: PubsubError,
    /// The indices, in ascending order, of the given outputs that the broker did not confirm: repeat the settle with these. All of them if settles
    /// are atomic. Empty if all are stored and only the acknowledgement was lost, with the connection: the message is redelivered. After
    /// `OutcomeUnknown` some of them may have been stored: their ids identify them.
    pub unsent: Vec<usize>,
    /// How many of the other outputs had no queue and were dropped. The repetition does not count them again.
    pub dropped_count: u32,
}

impl Unsettled {
    /// A settle of this many outputs, none of which was sent.
    pub fn whole(error: PubsubError, outputs_count: usize) -> Self {
        Unsettled { error, unsent: (0..outputs_count).collect(), dropped_count: 0 }
    }

    /// A settle whose acknowledgement failed after all outputs were sent, except the dropped ones.
    pub fn unacknowledged(error: PubsubError, dropped_count: u32) -> Self {
        Unsettled { error, unsent: Vec::new(), dropped_count }
    }
}

impl From<Unsettled> for PubsubError {
    fn from(unsettled: Unsettled) -> Self {
        unsettled.error
    }
}
