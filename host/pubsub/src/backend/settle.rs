//! Settling: acknowledging an input together with sending its outputs.

use crate::error::PubsubError;

/// How a settle ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The outputs are in their queues, and the message is gone from its own. Where a broker does not confirm acknowledgements, it may come again
    /// after a lost connection that took the acknowledgement along. This many outputs found no queue and were dropped.
    Done {
        /// Outputs with [`Routing::Optional`](crate::Routing::Optional) that nothing consumes.
        dropped_count: u32,
    },
    /// The delivery was settled before, is held by another consumer by now, or its queue was deleted or its consumer lost: nothing was sent. If that
    /// happens after an output was sent, the settle fails with `OutcomeUnknown` instead.
    NoLongerHeld,
}

/// A settle that failed, and what of it has not been sent. The delivery is still held, unless its consumer was lost too.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Unsettled {
    /// Why.
    #[source]
    pub error: PubsubError,
    /// The places, among the outputs that were given, of those that the broker did not confirm, rising: repeat the settle with these. All of
    /// them where a settle is atomic. None where all are stored and only the acknowledgement was lost, with the connection: the message comes
    /// again. After `OutcomeUnknown` some of them may have been stored: their ids find them.
    pub unsent: Vec<usize>,
    /// How many of the others found no queue and were dropped. The repetition does not count them again.
    pub dropped_count: u32,
}

impl Unsettled {
    /// One of which nothing was sent, of so many outputs.
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
