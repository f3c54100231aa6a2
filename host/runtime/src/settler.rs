//! Settles handled messages: in order, many in flight at a time, so that no worker waits for a disk.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_config::records::DeadLetter;
use weir_pubsub::{MessageId, Output, PubsubError, Receipt, Settled, Unsettled, Waits, ensure_bounded};

use crate::consumed::Consumed;
use crate::host_context::HostContext;
use crate::message_trace;
use crate::output_budget::Charge;
use crate::oversized::Oversized;
use crate::status::{ErrorSource, InFlight, InputPart, VariantKey, VariantStatus, count};
use weir_pubsub::chain;

/// The maximum number of settles in flight.
const MAX_PENDING_COUNT: usize = 1_024;
/// How long a settle is retried before its message is requeued.
const MAX_REPEATING: Duration = Duration::from_secs(600);

/// A message that was handled or given up, to be acknowledged together with its outputs.
pub(crate) struct Settlement {
    pub(crate) receipt: Receipt,
    pub(crate) message_id: Option<MessageId>,
    /// Outputs not sent yet.
    pub(crate) outputs: Vec<Output>,
    /// Messages that have been sent already.
    pub(crate) already_sent_count: u32,
    /// Messages that were dropped already.
    pub(crate) dropped_count: u32,
    pub(crate) kind: SettlementKind,
    /// Counts the message as in flight until it is settled.
    pub(crate) in_flight: Option<InFlight>,
    /// Counts the outputs until they are settled.
    pub(crate) _charge: Charge,
}

impl Settlement {
    /// Keeps only the outputs that a failed settle has not sent: the retry sends just these.
    fn keep_unsent(&mut self, unsettled: &Unsettled) {
        let done_count = (self.outputs.len() - unsettled.unsent.len()) as u32;
        if done_count == 0 {
            return;
        }
        self.dropped_count += unsettled.dropped_count;
        self.already_sent_count += done_count.saturating_sub(unsettled.dropped_count);
        let mut place = 0;
        self.outputs.retain(|_| {
            place += 1;
            unsettled.unsent.binary_search(&(place - 1)).is_ok()
        });
    }
}

/// Why a message is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettlementKind {
    /// It was handled.
    Handled,
    /// It was given up: the output is its dead letter.
    DeadLetter,
    /// It was given up: its requester received the error.
    Answered,
}

/// Settles the messages of one input.
pub(crate) struct Settler {
    pub(crate) host: Arc<HostContext>,
    pub(crate) status: Arc<VariantStatus>,
    /// The input's name.
    pub(crate) input: Arc<str>,
    /// Which outputs must find a queue, currently.
    pub(crate) consumed: Consumed,
    /// Messages whose outputs the broker refused as too large.
    pub(crate) oversized: Arc<Oversized>,
    /// Cancelled when the processor stops: messages that cannot be settled immediately are then requeued.
    pub(crate) stop: CancellationToken,
}

struct Pending {
    settlement: Settlement,
    settle_state: SettleState,
}

/// The position of a retried settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RetryPosition {
    /// Before messages that were handled after it.
    InOrder,
    /// Concurrently with them.
    Aside,
}

type SettleResult = Result<Settled, Unsettled>;

enum SettleState {
    UnderWay(BoxFuture<'static, SettleResult>),
    Known(SettleResult),
}

impl Pending {
    /// Whether the settle failed and may be retried.
    fn may_be_repeated(&self) -> bool {
        matches!(&self.settle_state, SettleState::Known(Err(unsettled)) if may_succeed(&self.settlement, &unsettled.error))
    }
}

impl Settler {
    /// Settles incoming messages until all senders are dropped and everything is done.
    pub(crate) async fn run(self, mut incoming: mpsc::Receiver<Settlement>) {
        let mut pending: VecDeque<Pending> = VecDeque::new();
        // Dead letters that do not fit into their queue. Later messages continue; the consumer's window bounds their number.
        let mut refused = FuturesUnordered::new();
        let mut is_open = true;
        while is_open || !pending.is_empty() || !refused.is_empty() {
            tokio::select! {
                biased;
                outcome = oldest(&mut pending), if !pending.is_empty() => {
                    let Pending { mut settlement, .. } = pending.pop_front().expect("the outcome was of the first");
                    let unsettled = match outcome {
                        Ok(settled) => {
                            self.finish(settlement, Ok(settled)).await;
                            continue;
                        }
                        Err(unsettled) => unsettled,
                    };
                    settlement.keep_unsent(&unsettled);
                    if retries_aside(&settlement, &unsettled.error) {
                        refused.push(self.finish_repeated(settlement, unsettled.error));
                    } else {
                        let full = while_retrying(self.finish_failed(settlement, unsettled.error, &mut pending), &mut refused).await;
                        refused.extend(full.map(|(settlement, error)| self.finish_repeated(settlement, error)));
                    }
                }
                Some(()) = refused.next(), if !refused.is_empty() => {}
                next = incoming.recv(), if is_open && pending.len() < MAX_PENDING_COUNT => match next {
                    Some(settlement) => pending.push_back(self.submit(settlement)),
                    None => is_open = false,
                },
            }
        }
    }

    fn submit(&self, settlement: Settlement) -> Pending {
        let settle_state = SettleState::UnderWay(self.settle(&settlement));
        Pending { settlement, settle_state }
    }

    /// Submits a settle to the broker, with the currently consumed topics. A dead letter always requires its queue.
    fn settle(&self, settlement: &Settlement) -> BoxFuture<'static, SettleResult> {
        let mut outputs = settlement.outputs.clone();
        if settlement.kind == SettlementKind::Handled {
            outputs.iter_mut().for_each(|output| output.routing = self.consumed.routing(&output.topic));
        }
        self.host.backend.settle(&settlement.receipt, outputs)
    }

    /// Retries a failed settle, and after it the later ones that failed too, in their order. Meanwhile no later message is settled.
    ///
    /// Later settles were already submitted. A broker with atomic settles refuses them until the first one is retried, so that none
    /// overtakes it; on other brokers they may have overtaken it. Returns a dead letter that meanwhile does not fit into its queue: later
    /// settles need not wait for it.
    async fn finish_failed(
        &self,
        mut settlement: Settlement,
        error: PubsubError,
        behind: &mut VecDeque<Pending>,
    ) -> Option<(Settlement, PubsubError)> {
        // Those that the broker accepted are done.
        for pending in behind.iter_mut() {
            let answer = poll_fn(|context| poll_settle_state(&mut pending.settle_state, context)).await;
            pending.settle_state = SettleState::Known(answer);
        }
        if let PubsubError::OutcomeUnknown { .. } = &error {
            let (VariantKey { processor, variant }, behind_count) = (&self.status.key, behind.len());
            tracing::warn!(processor, variant, behind_count, error = %chain(&error), "settle repeated; outputs may be duplicated");
        }
        let outcome = self.repeat(&mut settlement, error, RetryPosition::InOrder).await;
        self.status.input_goes_on(&self.input, InputPart::Settles);
        let full = match outcome {
            Err(error) if retries_aside(&settlement, &error) && !self.stop.is_cancelled() => Some((settlement, error)),
            outcome => {
                self.finish(settlement, outcome).await;
                None
            }
        };
        // If the processor stops, they are requeued too, so that they are redelivered after the first.
        if !self.stop.is_cancelled() {
            for pending in behind.iter_mut().filter(|pending| pending.may_be_repeated()) {
                if let SettleState::Known(Err(unsettled)) = &pending.settle_state {
                    pending.settlement.keep_unsent(unsettled);
                }
                pending.settle_state = SettleState::UnderWay(self.settle(&pending.settlement));
            }
        }
        full
    }

    /// Retries a dead letter that does not fit into its queue.
    async fn finish_repeated(&self, mut settlement: Settlement, error: PubsubError) {
        let outcome = self.repeat(&mut settlement, error, RetryPosition::Aside).await;
        self.finish(settlement, outcome).await;
    }

    async fn finish(&self, mut settlement: Settlement, outcome: Result<Settled, PubsubError>) {
        let counters = &self.status.counters;
        settlement.in_flight = None;
        if let (Some(id), Ok(_)) = (settlement.message_id, &outcome) {
            self.oversized.settled(id);
        }
        match outcome {
            Ok(Settled::Done { dropped_count }) => {
                message_trace::settled(&self.status.key.processor, &self.status.key.variant, settlement.message_id);
                self.count(&settlement, dropped_count);
            }
            Ok(Settled::NoLongerHeld) => {
                count(&counters.no_longer_held);
                let (VariantKey { processor, variant }, message_id) =
                    (&self.status.key, settlement.message_id.map(tracing::field::display));
                tracing::warn!(processor, variant, message_id, "message was already settled elsewhere");
            }
            Err(error) => {
                let (VariantKey { processor, variant }, message_id) =
                    (&self.status.key, settlement.message_id.map(tracing::field::display));
                tracing::warn!(processor, variant, message_id, error = %chain(&error), "message cannot be settled, requeued");
                let problem = format!("a message was requeued because it cannot be settled: {}", chain(&error));
                self.status.note_error(ErrorSource::Message, &problem);
                if let (Some(id), PubsubError::TooLarge { .. }) = (settlement.message_id, &error) {
                    self.oversized.refused(id, chain(&error));
                }
                let _ = self.host.backend.requeue(&settlement.receipt).await;
            }
        }
    }

    fn count(&self, settlement: &Settlement, dropped_count: u32) {
        let counters = &self.status.counters;
        counters.dropped.fetch_add(u64::from(dropped_count + settlement.dropped_count), Ordering::Relaxed);
        if settlement.kind == SettlementKind::Handled {
            count(&counters.handled);
            self.status.end_errors(|of| *of == ErrorSource::Message);
            let sent_count = settlement.outputs.len() as u64 + u64::from(settlement.already_sent_count);
            counters.sent.fetch_add(sent_count.saturating_sub(u64::from(dropped_count)), Ordering::Relaxed);
        } else {
            count(&counters.dead);
        }
    }

    /// Shows why a message is not settled yet.
    fn show_waiting(&self, retry_position: RetryPosition, error: &PubsubError, reason: &str) {
        let next = match (retry_position, error) {
            (RetryPosition::InOrder, _) => {
                // The whole input waits, which is more than one error among others.
                let problem = format!("input `{}`: a message cannot be settled yet: {reason}", self.input);
                return self.status.input_fails(&self.input, InputPart::Settles, &problem);
            }
            (RetryPosition::Aside, PubsubError::TooLarge { .. }) => ": raise that limit",
            (RetryPosition::Aside, PubsubError::QueueFull { .. }) => {
                ": resend or delete dead letters (weir dead-letters redrive | delete), or raise dead-letters.max-bytes"
            }
            (RetryPosition::Aside, _) => "",
        };
        let problem = format!("a message that cannot be handled stays in its queue because {reason}{next}");
        self.status.note_error(ErrorSource::Message, &problem);
    }

    /// Retries a failed settle until it succeeds, can never succeed, has been tried for long enough, or is no longer needed.
    async fn repeat(
        &self,
        settlement: &mut Settlement,
        mut error: PubsubError,
        retry_position: RetryPosition,
    ) -> Result<Settled, PubsubError> {
        let began = Instant::now();
        let mut waits = Waits::default();
        let mut consumed = self.consumed.changes();
        let (mut is_queue_made, mut cuts_count, mut unmade) = (false, 0, None);
        loop {
            let is_aside_only = retry_position == RetryPosition::InOrder && retries_aside(settlement, &error);
            if !may_succeed(settlement, &error) || began.elapsed() > MAX_REPEATING || is_aside_only {
                return Err(error);
            }
            let is_letter_lost = settlement.kind == SettlementKind::DeadLetter && matches!(error, PubsubError::QueueNotFound { .. });
            if is_letter_lost && !is_queue_made && self.make_dead_letters(&mut unmade).await {
                is_queue_made = true;
            } else if settlement.kind == SettlementKind::DeadLetter && shorten(settlement, &error, cuts_count) {
                cuts_count += 1;
            } else {
                let unmade = unmade.as_ref().filter(|_| is_letter_lost);
                let reason = unmade.map(|cause| format!("{}: the queue cannot be created: {}", chain(&error), chain(cause)));
                self.show_waiting(retry_position, &error, &reason.unwrap_or_else(|| chain(&error)));
                let wait = waits.after(&error);
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return Err(error),
                    Ok(()) = consumed.changed() => {}
                    () = tokio::time::sleep(wait) => {}
                }
            }
            match self.settle(settlement).await {
                Ok(settled) => return Ok(settled),
                Err(unsettled) => {
                    settlement.keep_unsent(&unsettled);
                    error = unsettled.error;
                }
            }
        }
    }

    /// Creates the dead-letter queue; `false` if it cannot be created: the reason is recorded in `unmade`, and logged once.
    async fn make_dead_letters(&self, unmade: &mut Option<PubsubError>) -> bool {
        let dead_letters = &self.host.dead_letters;
        let queue = &dead_letters.queue;
        match ensure_bounded(&*self.host.backend, dead_letters).await {
            Ok(()) => {
                tracing::info!(%queue, "dead-letter queue created");
                *unmade = None;
            }
            Err(error) => {
                if unmade.is_none() {
                    tracing::warn!(%queue, error = %chain(&error), "dead-letter queue cannot be created");
                }
                *unmade = Some(error);
            }
        }
        unmade.is_none()
    }
}

/// Whether a settlement is a dead letter that does not fit into the dead-letter queue.
fn retries_aside(settlement: &Settlement, error: &PubsubError) -> bool {
    settlement.kind == SettlementKind::DeadLetter && matches!(error, PubsubError::QueueFull { .. } | PubsubError::TooLarge { .. })
}

/// Whether a failed settle may succeed later. An operator can restore permissions; handling the message again would not help. A dead letter that is
/// too large can be truncated.
fn may_succeed(settlement: &Settlement, error: &PubsubError) -> bool {
    error.is_transient() || matches!(error, PubsubError::Refused { .. }) || retries_aside(settlement, error)
}

/// Truncates a dead letter that the broker refuses as too large; `false` if that is not the reason, or nothing is left to truncate.
fn shorten(settlement: &mut Settlement, error: &PubsubError, cuts_count: u32) -> bool {
    let PubsubError::TooLarge { actual_bytes, limit_bytes, .. } = error else { return false };
    let Some(letter) = settlement.outputs.first_mut() else { return false };
    // A broker may report only that the size is above its limit.
    let excess_bytes = if cuts_count == 0 { actual_bytes.saturating_sub(*limit_bytes) } else { letter.message.body.len() as u64 / 2 };
    let Some(shorter) = DeadLetter::shortened(&letter.message, excess_bytes) else { return false };
    letter.message = shorter;
    true
}

/// Runs a future while refused dead letters are retried: one of them may succeed first.
async fn while_retrying<T>(work: impl Future<Output = T>, refused: &mut FuturesUnordered<impl Future<Output = ()>>) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            Some(()) = refused.next(), if !refused.is_empty() => {}
        }
    }
}

async fn oldest(pending: &mut VecDeque<Pending>) -> SettleResult {
    poll_fn(|context| match pending.front_mut() {
        Some(first) => poll_settle_state(&mut first.settle_state, context),
        None => Poll::Pending,
    })
    .await
}

/// Returns the outcome once; must not be polled after that.
fn poll_settle_state(settle_state: &mut SettleState, context: &mut Context<'_>) -> Poll<SettleResult> {
    match settle_state {
        SettleState::UnderWay(future) => future.as_mut().poll(context),
        SettleState::Known(known) => Poll::Ready(std::mem::replace(known, Ok(Settled::NoLongerHeld))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use weir_pubsub::{Message, Routing};

    use super::*;

    #[test]
    fn outputs_that_a_failed_settle_dropped_are_not_counted_as_sent() {
        let output = |topic: &str| Output { topic: topic.parse().unwrap(), message: Message::new("x"), routing: Routing::Optional };
        let mut settlement = Settlement {
            receipt: Receipt::none(),
            message_id: None,
            outputs: ["flow:tg:a", "flow:tg:b", "flow:tg:c", "flow:tg:d"].map(output).into(),
            already_sent_count: 10,
            dropped_count: 20,
            kind: SettlementKind::Handled,
            in_flight: None,
            _charge: Charge::default(),
        };
        // Of the four, one was sent, one found no queue, and two were not sent.
        let error = PubsubError::unavailable("lost");
        settlement.keep_unsent(&Unsettled { error, unsent: vec![1, 3], dropped_count: 1 });
        assert_eq!((settlement.already_sent_count, settlement.dropped_count), (11, 21));
        assert_eq!(settlement.outputs.iter().map(|output| output.topic.to_string()).collect::<Vec<_>>(), ["flow:tg:b", "flow:tg:d"]);
        settlement.keep_unsent(&Unsettled { error: PubsubError::unavailable("lost"), unsent: vec![0, 1], dropped_count: 0 });
        assert_eq!((settlement.already_sent_count, settlement.dropped_count, settlement.outputs.len()), (11, 21, 2));
    }
}
