//! Settling the deliveries of one consumer: one task waits for the confirmations of the outputs, in the order of the settles, and acknowledges many
//! inputs at a time.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use lapin::Channel;
use lapin::options::BasicAckOptions;
use tokio::sync::{mpsc, oneshot, watch};

use super::acks::Ack;
use super::broker_error::BrokerError;
use super::held::HeldMessages;
use crate::backend::{Settled, Unsettled};
use crate::error::{PubsubError, Result};
use crate::network::{BATCH_COUNT, Confirmed, Settling, few_count, gathered, judge, outcomes};

/// The task of one consumer. Ends when no more settles can arrive and all are done.
pub(super) async fn settle(
    channel: Channel,
    held: Arc<HeldMessages>,
    mut settles: mpsc::Receiver<Settling>,
    windows: watch::Receiver<NonZeroU32>,
) {
    let mut batch = Vec::with_capacity(BATCH_COUNT);
    let mut confirmed = Vec::with_capacity(BATCH_COUNT);
    while settles.recv_many(&mut batch, BATCH_COUNT).await > 0 {
        for settling in batch.drain(..) {
            let mut outcomes: BoxFuture<'_, Vec<_>> = outcomes(settling.outputs).boxed();
            let outcomes = match (&mut outcomes).now_or_never() {
                Some(outcomes) => outcomes,
                None => match gathered(&mut outcomes, confirmed.len(), enough_to_acknowledge(&windows)).await {
                    Some(outcomes) => outcomes,
                    None => {
                        // Messages that are ready need not wait longer for others.
                        acknowledge(&channel, &held, &mut confirmed).await;
                        outcomes.await
                    }
                },
            };
            match judge(outcomes) {
                Ok(dropped_count) => confirmed.push(Confirmed { tag: settling.tag, dropped_count, done: settling.done }),
                Err(unsettled) => fail(&channel, &held, settling.tag, settling.done, unsettled).await,
            }
        }
        if confirmed.len() >= enough_to_acknowledge(&windows) || settles.is_empty() {
            acknowledge(&channel, &held, &mut confirmed).await;
        }
    }
    acknowledge(&channel, &held, &mut confirmed).await;
}

/// The number of ready messages from which no more confirmations are awaited.
fn enough_to_acknowledge(windows: &watch::Receiver<NonZeroU32>) -> usize {
    few_count(usize::try_from(windows.borrow().get()).unwrap_or(usize::MAX))
}

/// Reports a failed settle. If its caller has gone, the delivery is requeued.
async fn fail(channel: &Channel, held: &HeldMessages, tag: u64, done: oneshot::Sender<Result<Settled, Unsettled>>, unsettled: Unsettled) {
    held.settle_failed(tag);
    if done.send(Err(unsettled)).is_err() && held.begin_release(tag) {
        requeue(channel, held, vec![tag]).await;
    }
}

async fn acknowledge(channel: &Channel, held: &HeldMessages, confirmed: &mut Vec<Confirmed>) {
    if confirmed.is_empty() {
        return;
    }
    let done: BTreeSet<u64> = confirmed.iter().map(|one| one.tag).filter(|tag| held.is_settling(*tag)).collect();
    let sending = held.acks(&done);
    let sending = sending.into_iter().map(|Ack { tag, multiple }| channel.basic_ack(tag, BasicAckOptions { multiple }));
    let failure = join_all(sending).await.into_iter().find_map(Result::err);
    held.left(done.iter().copied());
    for Confirmed { tag, dropped_count, done: answer } in confirmed.drain(..) {
        let _ = answer.send(match &failure {
            // The channel was already lost: the message is redelivered, and its outputs are resent.
            _ if !done.contains(&tag) => Err(Unsettled::unacknowledged(lost(None), dropped_count)),
            Some(error) => Err(Unsettled::unacknowledged(lost(Some(error.clone())), dropped_count)),
            None => Ok(Settled::Done { dropped_count }),
        });
    }
}

fn lost(error: Option<lapin::Error>) -> PubsubError {
    error.map_or_else(|| PubsubError::outcome_unknown(LOST), |error| BrokerError::from(error).in_doubt())
}

const LOST: &str = "the connection to the broker was lost before the message was acknowledged";

/// Requeues deliveries that are leaving. Not by reject, which brokers count as a delivery both before and since 4.3.
pub(super) async fn requeue(channel: &Channel, held: &HeldMessages, tags: Vec<u64>) {
    use lapin::options::BasicNackOptions;
    let options = BasicNackOptions { multiple: false, requeue: true };
    let _ = join_all(tags.iter().map(|tag| channel.basic_nack(*tag, options))).await;
    held.left(tags);
}
