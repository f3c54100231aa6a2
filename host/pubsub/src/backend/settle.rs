//! Settling: acknowledging an input together with sending its outputs.

use crate::error::PubsubError;

/// How a settle ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The outputs are in their queues, and the message is removed from its own. If a broker does not confirm acknowledgements, it may be redelivered
    /// after a lost connection that lost the acknowledgement as well. This many outputs found no queue and were dropped.
    Done {
        /// Outputs with [`Routing::Optional`](crate::Routing::Optional) that nothing consumes.
        dropped_count: u32,
    },
    /// The delivery was settled before, is held by another consumer by now, or its queue was deleted or its consumer lost: nothing was sent. If that
    /// happens after an output was sent, the settle fails with `OutcomeUnknown` instead.
    NoLongerHeld,
}

/// A failed settle, and which of its outputs have not been sent. The delivery is still held, unless its consumer was lost too.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Unsettled {
    /// Why.
    #[source]
    pub error: PubsubError,
    /// The indices, in ascending order, of the given outputs that the broker did not confirm: repeat the settle with these. All of them if settles
    /// are atomic. None if all are stored and only the acknowledgement was lost, with the connection: the message is redelivered. After
    /// `OutcomeUnknown` some of them may have been stored: their ids identify them.
    pub unsent: Vec<usize>,
    /// How many of the others found no queue and were dropped. The repetition does not count them again.
    pub dropped_count: u32,
}

impl Unsettled {
    /// A settle of this many outputs, none of which was sent.
    pub fn whole(error: PubsubError, outputs_count: usize) -> Self {
        Unsettled { error, unsent: (0..outputs_count).collect(), dropped_count: 0 }
    }

    /// One whose outputs are all sent, except so many that were dropped: the acknowledgement failed.
    pub fn unacknowledged(error: PubsubError, dropped_count: u32) -> Self {
        Unsettled { error, unsent: Vec::new(), dropped_count }
    }
}

impl From<Unsettled> for PubsubError {
    fn from(unsettled: Unsettled) -> Self {
        unsettled.error
    }
}
