//! Moves messages from an exit to a connection, in a separate task, so that leases expire and stops are noticed even if the connection is not read.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use weir_pubsub::{Consumer, Delivery, PubsubError, Queue, QueueStats, Receipt};

use super::batches::BATCH_BYTES;
use super::lease::{HandedOut, LeaseEnd, Registered};
use super::lease_window::MAX_COUNT;
use super::reading::consumer_again;
use crate::dispatch::{FlowDirectory, Interface};
use crate::error::{GatewayError, Result};
use crate::message_json;
use crate::metrics::open::OpenGuard;
use crate::ndjson::error_line;
use crate::reader_backoff::{ReaderBackoff, until_deadline};

/// The window of the consumer of an exit: the maximum of unacknowledged messages.
pub(crate) const WINDOW: NonZeroU32 = NonZeroU32::new(MAX_COUNT as u32).expect("it is not 0");
/// Maximum number of chunks waiting for the connection.
const PIECES_COUNT: usize = 2;
/// How long to wait for messages held by another consumer before an exit counts as empty: those of a consumer that has just left are being requeued.
const REQUEUE_WAIT: Duration = Duration::from_secs(1);
/// How often to wait for messages that are neither held nor available; report such a case with the log.
const MAX_POLLS: u32 = 30;

/// The same if the broker does not know whether there are messages.
const MAX_POLLS_WITHOUT_FIGURES: u32 = 3;

/// Takes from an exit for one connection.
pub(crate) struct Taking {
    pub(crate) dispatch: Arc<FlowDirectory>,
    pub(crate) interface: Arc<Interface>,
    pub(crate) queue: Queue,
    pub(crate) consumer: Box<dyn Consumer>,
    /// The backoff after a lost consumer.
    pub(crate) reader_backoff: ReaderBackoff,
    pub(crate) lease: Registered,
    /// End if no message arrived for this long; `None`: continue.
    pub(crate) wait: Option<Duration>,
    /// Counts the stream while it is open.
    pub(crate) open: OpenGuard,
}

/// The lines of a body: the lease, then the messages, and an error as the last one.
pub(crate) fn lines(taking: Taking) -> Body {
    let (pieces, receiver) = mpsc::channel(PIECES_COUNT);
    let task = tokio::spawn(taking.run(pieces));
    let lines =
        stream::unfold((receiver, Some(task)), |(mut receiver, task): (mpsc::Receiver<Bytes>, Option<JoinHandle<()>>)| async move {
            if let Some(piece) = receiver.recv().await {
                return Some((Ok::<_, GatewayError>(piece), (receiver, task)));
            }
            // The task has ended; a panic must not look like the end of the messages.
            let error = task?.await.err()?;
            tracing::error!(error = %weir_pubsub::chain(&error), "exit stream panicked");
            Some((Ok(error_line(&GatewayError::Broken { what: "taking from the exit" })), (receiver, None)))
        });
    Body::from_stream(lines)
}

/// The next step after a chunk.
#[derive(PartialEq, Eq)]
enum AfterChunk {
    /// More.
    More,
    /// End: the count is reached, or the exit is empty, and everything is acknowledged; or the connection is closed.
    End,
}

/// A line that is not delivered yet.
struct PendingLine {
    receipt: Receipt,
    line: Vec<u8>,
}

impl Taking {
    async fn run(mut self, pieces: mpsc::Sender<Bytes>) {
        let error = self.pump(&pieces).await.err();
        let Taking { consumer, lease, open, .. } = self;
        // Everything unacknowledged is requeued immediately. Later acknowledgements are refused.
        lease.close();
        drop(consumer);
        drop(lease);
        drop(open);
        if let Some(error) = error {
            tracing::debug!(error = %weir_pubsub::chain(&error), "exit stream ended");
            // This wait is bounded: a connection that does not read is closed.
            let _ = pieces.send(error_line(&error)).await;
        }
    }

    async fn pump(&mut self, pieces: &mpsc::Sender<Bytes>) -> Result<()> {
        let first = Bytes::from(format!("{{\"lease\":\"{}\"}}\n", self.lease.id()));
        if pieces.send(first).await.is_err() {
            return Ok(());
        }
        let lease = self.lease.shared();
        let (dispatch, interface) = (self.dispatch.clone(), self.interface.clone());
        let mut stopped = pin!(dispatch.over(&interface));
        let mut lease_over = pin!(lease.over());
        let mut next = None;
        loop {
            tokio::select! {
                biased;
                error = &mut stopped => return Err(error),
                over = &mut lease_over => return match over {
                    LeaseEnd::RanOut => Err(lease.ended()),
                    LeaseEnd::Released => Ok(()),
                },
                () = pieces.closed() => return Ok(()),
                step = self.step(pieces, &mut next) => if step? == AfterChunk::End {
                    return Ok(());
                },
            }
        }
    }

    /// Delivers a message and those already available, once the connection accepts them.
    async fn step(&mut self, pieces: &mpsc::Sender<Bytes>, next: &mut Option<PendingLine>) -> Result<AfterChunk> {
        let Ok(permit) = pieces.reserve().await else { return Ok(AfterChunk::End) };
        if next.is_none() {
            let delivery = if self.lease.may_take() { self.receive().await? } else { None };
            let Some(delivery) = delivery else {
                drop(permit);
                self.lease.emptied().await;
                return Ok(AfterChunk::End);
            };
            let mut line = Vec::new();
            message_json::write_with_receipt(self.lease.next_number(), &delivery.message, &mut line);
            *next = Some(PendingLine { receipt: delivery.receipt, line });
        }
        self.lease.room(next.as_ref().map_or(0, |next| next.line.len())).await;
        permit.send(self.batch(next));
        Ok(AfterChunk::More)
    }

    /// The waiting line, for which there is room, and the lines of messages that are already available.
    fn batch(&self, next: &mut Option<PendingLine>) -> Bytes {
        let mut lines = Vec::new();
        while let Some(PendingLine { receipt, line }) = next.take() {
            if self.lease.hand_out(receipt, line.len()) == HandedOut::NotYet {
                *next = Some(PendingLine { receipt, line });
                break;
            }
            if lines.is_empty() {
                lines = line
            } else {
                lines.extend_from_slice(&line)
            }
            if lines.len() >= BATCH_BYTES || !self.lease.may_take() {
                break;
            }
            *next = self.fitting().receive().now_or_never().and_then(Result::ok).map(|delivery| {
                let mut line = Vec::new();
                message_json::write_with_receipt(self.lease.next_number(), &delivery.message, &mut line);
                PendingLine { receipt: delivery.receipt, line }
            });
        }
        Bytes::from(lines)
    }

    /// The next message; `None` if none arrived within the wait.
    async fn receive(&mut self) -> Result<Option<Delivery>> {
        let mut ends_at = self.wait.map(|wait| Instant::now() + wait);
        let mut looks_count = 0;
        loop {
            match until_deadline(ends_at, self.fitting().receive()).await {
                Some(Ok(delivery)) => {
                    self.reader_backoff.reset();
                    return Ok(Some(delivery));
                }
                Some(Err(error @ PubsubError::Unavailable { .. })) => match until_deadline(ends_at, self.subscribe_again()).await {
                    Some(subscribed) => {
                        subscribed?;
                        continue;
                    }
                    // It is unknown whether the exit is empty.
                    None => return Err(cut_off(&self.dispatch, &self.interface, error).await),
                },
                // The consumer continues automatically, with its messages.
                Some(Err(error @ PubsubError::Stalled { .. })) => match until_deadline(ends_at, self.reader_backoff.wait()).await {
                    Some(()) => continue,
                    None => return Err(cut_off(&self.dispatch, &self.interface, error).await),
                },
                Some(Err(error)) => return Err(cut_off(&self.dispatch, &self.interface, error).await),
                None => {}
            }
            let before_count = self.lease.held_count();
            let stats = match self.dispatch.backend().inspect().stats(&self.queue).await {
                Ok(stats) => stats,
                // Only the figures are unavailable: the consumer itself reports whether it was lost.
                Err(PubsubError::Unavailable { .. }) => QueueStats::default(),
                Err(error) => return Err(cut_off(&self.dispatch, &self.interface, error).await),
            };
            let own_count = self.lease.held_count();
            if own_count != before_count {
                // Something was settled between the two counts, so they cannot be compared.
                ends_at = Some(Instant::now());
                continue;
            }
            looks_count += 1;
            if !may_come(&stats, own_count as u64, looks_count) {
                return Ok(None);
            }
            ends_at = Some(Instant::now() + REQUEUE_WAIT);
        }
    }

    /// The consumer, with its prefetch limited to the remaining count.
    fn fitting(&self) -> &dyn Consumer {
        if let Some(window) = self.lease.window() {
            self.consumer.set_window(window);
        }
        &*self.consumer
    }

    /// Reads the exit again after its consumer was lost. Unacknowledged messages are redelivered, with later receipts.
    async fn subscribe_again(&mut self) -> Result<()> {
        self.consumer = consumer_again(&self.dispatch, &self.interface, WINDOW, &mut self.reader_backoff).await?;
        Ok(())
    }
}

/// Whether a message may arrive at an exit that had none for a while, after this many polls. Unknown figures do not mean empty.
fn may_come(stats: &QueueStats, own_count: u64, looks_count: u32) -> bool {
    let QueueStats { depth_count, ready_count, unsettled_count, .. } = *stats;
    let ready_count = ready_count.or_else(|| Some(depth_count?.saturating_sub(unsettled_count?)));
    match (ready_count, unsettled_count) {
        _ if depth_count == Some(0) => false,
        (Some(1..), _) => looks_count <= MAX_POLLS,
        (Some(0), Some(unsettled_count)) => unsettled_count > own_count && looks_count == 1,
        _ => looks_count <= MAX_POLLS_WITHOUT_FIGURES,
    }
}

/// Why an exit cannot be read any further.
pub(crate) async fn cut_off(dispatch: &FlowDirectory, interface: &Interface, error: PubsubError) -> GatewayError {
    match error {
        PubsubError::QueueNotFound { .. } if dispatch.is_stopped(interface).await => interface.gone(),
        error => GatewayError::broker("reading the exit failed")(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_empty_only_if_its_figures_are_known() {
        let may = |depth_count, ready_count, unsettled_count, looks_count| {
            may_come(&QueueStats { depth_count, ready_count, unsettled_count, ..QueueStats::default() }, 1, looks_count)
        };
        assert!(!may(Some(0), None, None, 1) && !may(Some(1), None, Some(1), 1), "none, or those held here");
        assert!(may(Some(2), None, Some(2), 1) && !may(Some(2), None, Some(2), 2), "another reader holds one");
        assert!(may(Some(2), None, Some(1), MAX_POLLS) && !may(Some(2), None, Some(1), MAX_POLLS + 1));
        assert!(may(None, Some(1), None, MAX_POLLS), "one is ready, whatever is in work");
        for (depth_count, ready_count) in [(None, None), (None, Some(0)), (Some(2), None)] {
            assert!(
                may(depth_count, ready_count, None, MAX_POLLS_WITHOUT_FIGURES)
                    && !may(depth_count, ready_count, None, MAX_POLLS_WITHOUT_FIGURES + 1)
            );
        }
    }
}
