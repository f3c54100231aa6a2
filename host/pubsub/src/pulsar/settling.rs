//! Settling the messages of one consumer: one task waits for the confirmations of the outputs, in the order of the settles, and acknowledges many
//! inputs at a time. The broker answers acknowledgements, so none is taken for done that it has not.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};

use super::held::Held;
use super::proto::MessageIdData;
use super::subscription::Voice;
use super::wire::Failure;
use crate::backend::{Settled, Unsettled};
use crate::error::{PubsubError, Result};
use crate::network::{BATCH_COUNT, Confirmed, Settling, few_count, gathered, judge, outcomes};

/// The task of one consumer. `voice` is there where the broker keeps what it has sent. It ends when nothing more can be settled and all is done.
pub(super) async fn settle(voice: Option<Voice>, held: Arc<Held>, mut settles: mpsc::Receiver<Settling>) {
    let mut batch = Vec::with_capacity(BATCH_COUNT);
    let mut confirmed = Vec::with_capacity(BATCH_COUNT);
    while settles.recv_many(&mut batch, BATCH_COUNT).await > 0 {
        for settling in batch.drain(..) {
            let mut outcomes = std::pin::pin!(outcomes(settling.outputs));
            let outcomes = match outcomes.as_mut().now_or_never() {
                Some(outcomes) => outcomes,
                None => match gathered(outcomes.as_mut(), confirmed.len(), few_count(held.window())).await {
                    Some(outcomes) => outcomes,
                    None => {
                        // What is done need not wait longer for what is not.
                        acknowledge(voice.as_ref(), &held, &mut confirmed);
                        outcomes.await
                    }
                },
            };
            match judge(outcomes) {
                Ok(dropped_count) => confirmed.push(Confirmed { tag: settling.tag, dropped_count, done: settling.done }),
                Err(unsettled) => fail(voice.as_ref(), &held, settling.tag, settling.done, unsettled).await,
            }
        }
        if confirmed.len() >= few_count(held.window()) || settles.is_empty() {
            acknowledge(voice.as_ref(), &held, &mut confirmed);
        }
    }
    acknowledge(voice.as_ref(), &held, &mut confirmed);
}

/// Answers a settle that failed. If its caller has gone, the message is given back.
async fn fail(voice: Option<&Voice>, held: &Held, tag: u64, done: oneshot::Sender<Result<Settled, Unsettled>>, unsettled: Unsettled) {
    held.settle_failed(tag);
    if done.send(Err(unsettled)).is_err() {
        give_back(voice, held, tag).await;
    }
}

/// Gives a message back, if it is held.
pub(super) async fn give_back(voice: Option<&Voice>, held: &Held, tag: u64) {
    if let (super::held::Back::Broker(id), Some(voice)) = (held.begin_back(tag), voice) {
        // What is lost here is given back by the end of the connection.
        let _ = voice.give_back(vec![id]).await;
        held.left([tag]);
    }
}

/// Acknowledges what is confirmed, in the background: the answer may take as long as a few messages.
fn acknowledge(voice: Option<&Voice>, held: &Arc<Held>, confirmed: &mut Vec<Confirmed>) {
    if confirmed.is_empty() {
        return;
    }
    let mut done = Vec::with_capacity(confirmed.len());
    let mut ids: Vec<MessageIdData> = Vec::with_capacity(confirmed.len());
    for Confirmed { tag, dropped_count, done: answer } in confirmed.drain(..) {
        let Some(entry) = held.settling(tag) else {
            // The consumer was lost before: the message comes again, with its outputs.
            let _ = answer.send(Err(Unsettled { error: PubsubError::outcome_unknown(LOST), unsent: Vec::new() }));
            continue;
        };
        if entry.done() {
            ids.push(entry.id.clone());
        }
        done.push((tag, dropped_count, answer));
    }
    let (voice, held) = (voice.cloned(), held.clone());
    tokio::spawn(async move {
        let outcome = match voice {
            Some(voice) if !ids.is_empty() => voice.acknowledge(ids).await,
            _ => Ok(()),
        };
        held.left(done.iter().map(|(tag, ..)| *tag));
        for (_, dropped_count, answer) in done {
            let _ = answer.send(match &outcome {
                Ok(()) => Ok(Settled::Done { dropped_count }),
                Err(failure) => Err(Unsettled { error: in_doubt(failure.clone()), unsent: Vec::new() }),
            });
        }
    });
}

fn in_doubt(failure: Failure) -> PubsubError {
    match failure {
        Failure::Lost(PubsubError::Unavailable { source, .. }) => PubsubError::OutcomeUnknown { reason: LOST.to_owned(), source },
        failure => {
            let reason = "the broker did not take the acknowledgement: the message may come again".to_owned();
            PubsubError::OutcomeUnknown { reason, source: Some(crate::error::Cause::of(failure.plain())) }
        }
    }
}

const LOST: &str = "the connection to the broker was lost before the message was acknowledged";
