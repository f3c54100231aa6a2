//! Settling the messages of one consumer: one task waits for the confirmations of the outputs, in the order of the settles, and acknowledges many
//! inputs at a time. The broker confirms acknowledgements, and only confirmed ones count as done.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};

use super::held::HeldMessages;
use super::proto::MessageIdData;
use super::subscription::Acknowledger;
use super::wire::Failure;
use crate::backend::{Settled, Unsettled};
use crate::error::{PubsubError, Result};
use crate::network::{BATCH_COUNT, Confirmed, Settling, few_count, gathered, judge, outcomes};

/// The task of one consumer. `acknowledger` is `None` if the broker does not store what it has sent. Ends when no more settles can arrive and all are
/// done.
pub(super) async fn settle(acknowledger: Option<Acknowledger>, held: Arc<HeldMessages>, mut settles: mpsc::Receiver<Settling>) {
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
                        // Messages that are ready need not wait longer for others.
                        acknowledge(acknowledger.as_ref(), &held, &mut confirmed);
                        outcomes.await
                    }
                },
            };
            match judge(outcomes) {
                Ok(dropped_count) => confirmed.push(Confirmed { tag: settling.tag, dropped_count, done: settling.done }),
                Err(unsettled) => fail(acknowledger.as_ref(), &held, settling.tag, settling.done, unsettled).await,
            }
        }
        if confirmed.len() >= few_count(held.window()) || settles.is_empty() {
            acknowledge(acknowledger.as_ref(), &held, &mut confirmed);
        }
    }
    acknowledge(acknowledger.as_ref(), &held, &mut confirmed);
}

/// Reports a failed settle. If its caller has gone, the message is requeued.
async fn fail(
    acknowledger: Option<&Acknowledger>,
    held: &HeldMessages,
    tag: u64,
    done: oneshot::Sender<Result<Settled, Unsettled>>,
    unsettled: Unsettled,
) {
    held.settle_failed(tag);
    if done.send(Err(unsettled)).is_err() {
        requeue(acknowledger, held, tag).await;
    }
}

/// Requeues a message, if it is held.
pub(super) async fn requeue(acknowledger: Option<&Acknowledger>, held: &HeldMessages, tag: u64) {
    if let (super::held::RequeueTarget::Broker(id), Some(acknowledger)) = (held.begin_requeue(tag), acknowledger) {
        // What is lost here is requeued when the connection ends.
        let _ = acknowledger.requeue(vec![id]).await;
        held.left([tag]);
    }
}

/// Acknowledges confirmed settles in the background: the broker's response may take as long as a few messages.
fn acknowledge(acknowledger: Option<&Acknowledger>, held: &Arc<HeldMessages>, confirmed: &mut Vec<Confirmed>) {
    if confirmed.is_empty() {
        return;
    }
    let mut done = Vec::with_capacity(confirmed.len());
    let mut ids: Vec<MessageIdData> = Vec::with_capacity(confirmed.len());
    for Confirmed { tag, dropped_count, done: answer } in confirmed.drain(..) {
        let Some(entry) = held.settling(tag) else {
            // The consumer was already lost: the message is redelivered, and its outputs are resent.
            let _ = answer.send(Err(Unsettled::unacknowledged(PubsubError::outcome_unknown(LOST), dropped_count)));
            continue;
        };
        if entry.done() {
            ids.push(entry.id.clone());
        }
        done.push((tag, dropped_count, answer));
    }
    let (acknowledger, held) = (acknowledger.cloned(), held.clone());
    tokio::spawn(async move {
        let outcome = match &acknowledger {
            Some(acknowledger) if !ids.is_empty() => acknowledger.acknowledge(ids).await,
            _ => Ok(()),
        };
        if let (Err(_), Some(acknowledger)) = (&outcome, &acknowledger) {
            // Otherwise the broker would keep them for this consumer as long as it lives. Those acknowledged nevertheless are not redelivered.
            let again = done.iter().filter_map(|(tag, ..)| held.settling(*tag)).filter(|entry| entry.is_done());
            let _ = acknowledger.requeue(again.map(|entry| entry.id.clone()).collect()).await;
        }
        held.left(done.iter().map(|(tag, ..)| *tag));
        for (_, dropped_count, answer) in done {
            let _ = answer.send(match &outcome {
                Ok(()) => Ok(Settled::Done { dropped_count }),
                Err(failure) => Err(Unsettled::unacknowledged(outcome_unknown_error(failure.clone()), dropped_count)),
            });
        }
    });
}

fn outcome_unknown_error(failure: Failure) -> PubsubError {
    match failure {
        Failure::Lost(PubsubError::Unavailable { source, .. }) => PubsubError::OutcomeUnknown { reason: LOST.to_owned(), source },
        failure => {
            let reason = "the broker did not accept the acknowledgement: the message may be redelivered".to_owned();
            PubsubError::OutcomeUnknown { reason, source: Some(crate::error::Cause::of(failure.plain())) }
        }
    }
}

const LOST: &str = "the connection to the broker was lost before the message was acknowledged";

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use bytes::BytesMut;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::super::connection_settings::ConnectionSettings;
    use super::super::envelope;
    use super::super::frame::{self, Frame};
    use super::super::held::HeldEntry;
    use super::super::proto::{AckResponse, BaseCommand, Connected, Send, kind};
    use super::super::wire::Wire;
    use super::*;
    use crate::message::Message;
    use crate::tls_files::TlsFiles;
    use crate::topic::Class;

    /// Reads the next command of a client.
    async fn next(stream: &mut TcpStream, read: &mut BytesMut) -> BaseCommand {
        loop {
            if let Some(Frame { command, .. }) = frame::take(read, 1 << 20).unwrap() {
                return command;
            }
            assert!(stream.read_buf(read).await.unwrap() > 0, "the client disconnected");
        }
    }

    async fn send_command(stream: &mut TcpStream, command: BaseCommand) {
        stream.write_all(&frame::command(&command).head).await.unwrap();
    }

    /// A broker that refuses an acknowledgement; returns what the client then requeues.
    async fn refuse_acknowledgement(listener: TcpListener) -> Vec<MessageIdData> {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = BytesMut::new();
        assert!(next(&mut stream, &mut read).await.connect.is_some());
        let connected = Connected { server_version: "fake".to_owned(), protocol_version: Some(19), max_message_size: None };
        send_command(&mut stream, BaseCommand { connected: Some(connected), ..BaseCommand::of(3) }).await;
        let ack = next(&mut stream, &mut read).await.ack.unwrap();
        let response = AckResponse {
            consumer_id: ack.consumer_id,
            error: Some(2),
            message: Some("a disk is full".to_owned()),
            request_id: ack.request_id,
        };
        send_command(&mut stream, BaseCommand { ack_response: Some(response), ..BaseCommand::of(38) }).await;
        next(&mut stream, &mut read).await.redeliver.unwrap().message_ids
    }

    fn incoming() -> envelope::Incoming {
        let (message, send) = (Message::new("a"), Send { producer_id: 1, sequence_id: 0 });
        let command = BaseCommand { send: Some(send), ..BaseCommand::of(kind::SEND) };
        let written = frame::message(&command, &envelope::metadata(Class::Flow, &message, None), message.body.clone());
        let mut bytes = BytesMut::from(&*written.head);
        bytes.extend_from_slice(&written.body);
        let frame = frame::take(&mut bytes, 1 << 20).unwrap().unwrap();
        envelope::read(Class::Flow, &"reader".parse().unwrap(), frame.message).unwrap().remove(0).unwrap()
    }

    /// Otherwise the broker would keep it for a consumer that will never acknowledge it.
    #[tokio::test]
    async fn a_message_whose_acknowledgement_is_refused_is_requeued() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings =
            Arc::new(ConnectionSettings::new(&format!("pulsar://{}", listener.local_addr().unwrap()), &TlsFiles::default(), None).unwrap());
        let broker = tokio::spawn(refuse_acknowledgement(listener));
        let wire = Wire::open(&settings, &settings.address.nodes[0], None, "test").await.unwrap();
        let held = Arc::new(HeldMessages::new(8, false));
        let id = MessageIdData { ledger: 3, entry: 4, ..MessageIdData::default() };
        held.arrived(&HeldEntry::new(id.clone(), 1), incoming(), 1);
        let (tag, ..) = held.receive().await.unwrap();
        assert!(held.begin_settle(tag));
        let (settles, given) = mpsc::channel(1);
        tokio::spawn(settle(Some(Acknowledger::of(wire, 1)), held.clone(), given));
        let (done, outcome) = oneshot::channel();
        settles.send(Settling { tag, outputs: Vec::new(), done }).await.unwrap();
        let error = outcome.await.unwrap().unwrap_err().error;
        assert!(matches!(error, PubsubError::OutcomeUnknown { .. }), "{error}");
        let requeued = timeout(Duration::from_secs(30), broker).await.expect("the message is requeued").unwrap();
        assert_eq!(requeued, [id]);
        assert_eq!(held.count(), 0);
    }
}
