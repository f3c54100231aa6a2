//! Settling the deliveries of one consumer: one task waits for the confirmations of the outputs, in the order of the settles, and acknowledges
//! many inputs at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use lapin::Channel;
use lapin::options::BasicAckOptions;
use tokio::sync::{mpsc, oneshot};

use super::acks::{Ack, acks};
use super::held::Held;
use super::refusal::Refusal;
use crate::backend::{Confirm, Routing, Settled, Unsettled};
use crate::error::{PubsubError, Result};

/// How many settles are looked at together.
const BATCH_COUNT: usize = 256;

/// A settle whose outputs are on their way.
pub(super) struct Settling {
    pub(super) tag: u64,
    pub(super) outputs: Vec<(Routing, Confirm)>,
    pub(super) done: oneshot::Sender<Result<Settled, Unsettled>>,
}

/// A settle whose outputs are confirmed.
struct Confirmed {
    tag: u64,
    dropped_count: u32,
    done: oneshot::Sender<Result<Settled, Unsettled>>,
}

/// The task of one consumer. It ends when nothing more can be settled and all is done.
pub(super) async fn settle(channel: Channel, held: Arc<Held>, mut settles: mpsc::Receiver<Settling>) {
    let mut batch = Vec::with_capacity(BATCH_COUNT);
    let mut confirmed = Vec::with_capacity(BATCH_COUNT);
    while settles.recv_many(&mut batch, BATCH_COUNT).await > 0 {
        for settling in batch.drain(..) {
            let mut outcomes: BoxFuture<'_, Vec<_>> = outcomes(settling.outputs).boxed();
            let outcomes = match (&mut outcomes).now_or_never() {
                Some(outcomes) => outcomes,
                None => {
                    // What is done need not wait for what is not.
                    acknowledge(&channel, &held, &mut confirmed).await;
                    outcomes.await
                }
            };
            match judge(outcomes) {
                Ok(dropped_count) => confirmed.push(Confirmed { tag: settling.tag, dropped_count, done: settling.done }),
                Err(unsettled) => fail(&channel, &held, settling.tag, settling.done, unsettled).await,
            }
        }
        acknowledge(&channel, &held, &mut confirmed).await;
    }
}

async fn outcomes(outputs: Vec<(Routing, Confirm)>) -> Vec<(Routing, Result<()>)> {
    let mut outcomes = Vec::with_capacity(outputs.len());
    for (routing, confirm) in outputs {
        outcomes.push((routing, confirm.await));
    }
    outcomes
}

/// What the confirmations of a settle's outputs come to: how many were dropped, or the first error with what was not sent.
fn judge(outcomes: Vec<(Routing, Result<()>)>) -> Result<u32, Unsettled> {
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

/// Answers a settle that failed. If its caller has gone, the delivery is given back.
async fn fail(channel: &Channel, held: &Held, tag: u64, done: oneshot::Sender<Result<Settled, Unsettled>>, unsettled: Unsettled) {
    held.settle_failed(tag);
    if done.send(Err(unsettled)).is_err() && held.begin_leaving(tag) {
        give_back(channel, held, vec![tag]).await;
    }
}

async fn acknowledge(channel: &Channel, held: &Held, confirmed: &mut Vec<Confirmed>) {
    if confirmed.is_empty() {
        return;
    }
    let done: BTreeSet<u64> = confirmed.iter().map(|one| one.tag).filter(|tag| held.is_settling(*tag)).collect();
    let sending = acks(&held.unacknowledged(), &done);
    let sending = sending.into_iter().map(|Ack { tag, multiple }| channel.basic_ack(tag, BasicAckOptions { multiple }));
    let failure = join_all(sending).await.into_iter().find_map(Result::err);
    held.left(done.iter().copied());
    for Confirmed { tag, dropped_count, done: answer } in confirmed.drain(..) {
        let _ = answer.send(match &failure {
            // The channel was lost before: the message comes again, with its outputs.
            _ if !done.contains(&tag) => Err(Unsettled { error: lost(None), unsent: Vec::new() }),
            Some(error) => Err(Unsettled { error: lost(Some(error.clone())), unsent: Vec::new() }),
            None => Ok(Settled::Done { dropped_count }),
        });
    }
}

fn lost(error: Option<lapin::Error>) -> PubsubError {
    error.map_or_else(|| PubsubError::outcome_unknown(LOST), |error| Refusal::from(error).in_doubt())
}

const LOST: &str = "the connection to the broker was lost before the message was acknowledged";

/// Gives deliveries that are leaving back. Not by reject, which brokers before 4.3 and after count alike.
pub(super) async fn give_back(channel: &Channel, held: &Held, tags: Vec<u64>) {
    use lapin::options::BasicNackOptions;
    let options = BasicNackOptions { multiple: false, requeue: true };
    let _ = join_all(tags.iter().map(|tag| channel.basic_nack(*tag, options))).await;
    held.left(tags);
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
