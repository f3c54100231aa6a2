//! The outputs of a settle on a broker without atomic settles: they are confirmed first, then the input is acknowledged.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::backend::{Confirm, Output, Routing, Settled, Unsettled};
use crate::error::{PubsubError, Result};
use crate::message::Message;
use crate::topic::Topic;

/// The maximum number of settles handled together.
pub(crate) const BATCH_COUNT: usize = 256;
/// If less than this part of the window is ready to be acknowledged, more confirmations are awaited, for this long at most: acknowledging many
/// messages costs a broker about as much as acknowledging one.
const FEW_PART: usize = 4;
const GATHERING_TIME: Duration = Duration::from_millis(1);

/// The number of ready messages from which no more confirmations are awaited.
pub(crate) fn few_count(window: usize) -> usize {
    (window / FEW_PART).clamp(1, BATCH_COUNT)
}

/// Waits briefly for more confirmations, if some messages are ready but few.
pub(crate) async fn gathered<T>(outcomes: impl Future<Output = T>, confirmed_count: usize, few_count: usize) -> Option<T> {
    if confirmed_count == 0 || confirmed_count >= few_count {
        return None;
    }
    timeout(GATHERING_TIME, outcomes).await.ok()
}

/// A settle whose outputs are in flight.
pub(crate) struct Settling {
    pub(crate) tag: u64,
    pub(crate) outputs: Vec<(Routing, Confirm)>,
    pub(crate) done: oneshot::Sender<Result<Settled, Unsettled>>,
}

impl Settling {
    /// Publishes the outputs of a settle at once, so that messages are in the order of the calls, and passes it to the task of its consumer. The
    /// future only waits for the outcome.
    pub(crate) fn begin(
        settles: &mpsc::Sender<Settling>,
        tag: u64,
        outputs: Vec<Output>,
        publish: impl Fn(&Topic, &Message) -> Confirm,
    ) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        let outputs_count = outputs.len();
        let publish = |Output { topic, message, routing }| {
            let message = if topic.class().has_queues() { message.with_id() } else { message };
            (routing, publish(&topic, &message))
        };
        let outputs = outputs.into_iter().map(publish).collect();
        let (done, outcome) = oneshot::channel();
        // The channel has room for more than a window, and its receiver ends only after its sender.
        let _ = settles.try_send(Settling { tag, outputs, done });
        async move {
            let ended = |_| Err(Unsettled::whole(PubsubError::outcome_unknown("the consumer ended"), outputs_count));
            outcome.await.unwrap_or_else(ended)
        }
        .boxed()
    }
}

/// A settle whose outputs are confirmed.
pub(crate) struct Confirmed {
    pub(crate) tag: u64,
    pub(crate) dropped_count: u32,
    pub(crate) done: oneshot::Sender<Result<Settled, Unsettled>>,
}

/// Waits for the confirmations of a settle's outputs, in order.
pub(crate) async fn outcomes(outputs: Vec<(Routing, Confirm)>) -> Vec<(Routing, Result<()>)> {
    let mut outcomes = Vec::with_capacity(outputs.len());
    for (routing, confirm) in outputs {
        outcomes.push((routing, confirm.await));
    }
    outcomes
}

/// The result of the confirmations of a settle's outputs: how many were dropped, or the first error with the unsent and dropped outputs.
pub(crate) fn judge(outcomes: Vec<(Routing, Result<()>)>) -> Result<u32, Unsettled> {
    let (mut dropped_count, mut unsent, mut first) = (0, Vec::new(), None);
    for (place, (routing, outcome)) in outcomes.into_iter().enumerate() {
        match (routing, outcome) {
            (_, Ok(())) => {}
            (Routing::Optional, Err(PubsubError::QueueNotFound { .. })) => dropped_count += 1,
            (_, Err(error)) => {
                unsent.push(place);
                first.get_or_insert(error);
            }
        }
    }
    match first {
        None => Ok(dropped_count),
        Some(error) => Err(Unsettled { error, unsent, dropped_count }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_failed_settle_names_the_unsent_outputs() {
        let missing = || PubsubError::no_queue_of(&"flow:tg:a".parse().unwrap());
        assert_eq!(judge(vec![(Routing::Required, Ok(())), (Routing::Optional, Err(missing()))]).unwrap(), 1);
        let unsettled = judge(vec![
            (Routing::Required, Ok(())),
            (Routing::Required, Err(missing())),
            (Routing::Optional, Err(missing())),
            (Routing::Optional, Err(PubsubError::outcome_unknown("lost"))),
        ])
        .unwrap_err();
        assert_eq!((&unsettled.unsent[..], unsettled.dropped_count), (&[1, 3][..], 1));
        assert!(matches!(unsettled.error, PubsubError::QueueNotFound { .. }));
    }
}
