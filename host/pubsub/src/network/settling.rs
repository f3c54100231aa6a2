//! The outputs of a settle on a broker without atomic settles: their confirmations come first, then the acknowledgement.

use tokio::sync::oneshot;

use crate::backend::{Confirm, Routing, Settled, Unsettled};
use crate::error::{PubsubError, Result};

/// A settle whose outputs are on their way.
pub(crate) struct Settling {
    pub(crate) tag: u64,
    pub(crate) outputs: Vec<(Routing, Confirm)>,
    pub(crate) done: oneshot::Sender<Result<Settled, Unsettled>>,
}

/// A settle whose outputs are confirmed.
pub(crate) struct Confirmed {
    pub(crate) tag: u64,
    pub(crate) dropped_count: u32,
    pub(crate) done: oneshot::Sender<Result<Settled, Unsettled>>,
}

/// Waits for the confirmations of a settle's outputs, in their order.
pub(crate) async fn outcomes(outputs: Vec<(Routing, Confirm)>) -> Vec<(Routing, Result<()>)> {
    let mut outcomes = Vec::with_capacity(outputs.len());
    for (routing, confirm) in outputs {
        outcomes.push((routing, confirm.await));
    }
    outcomes
}

/// What the confirmations of a settle's outputs come to: how many were dropped, or the first error with what was not sent.
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
        Some(error) => Err(Unsettled { error, unsent }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_failed_settle_names_what_was_not_sent() {
        let missing = || PubsubError::no_queue_of(&"flow:tg:a".parse().unwrap());
        assert_eq!(judge(vec![(Routing::Required, Ok(())), (Routing::Optional, Err(missing()))]).unwrap(), 1);
        let unsettled = judge(vec![
            (Routing::Required, Ok(())),
            (Routing::Required, Err(missing())),
            (Routing::Optional, Err(missing())),
            (Routing::Optional, Err(PubsubError::outcome_unknown("lost"))),
        ])
        .unwrap_err();
        assert_eq!(unsettled.unsent, [1, 3]);
        assert!(matches!(unsettled.error, PubsubError::QueueNotFound { .. }));
    }
}
