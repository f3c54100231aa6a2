//! The flow service while it leads: it has its lock, takes requests from its queue, executes each in its own task, and answers them.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_config::ConfigClient;
use weir_config::records::HostSummary;
use weir_pubsub::{
    Backend, CORRELATION_ID, Consumer, ConsumerOptions, Delivery, Lock, Message, MessageId, Producer, Properties, PubsubError, QueueSpec,
    RateLimitedLog, Recovery, Sharing, SubscriptionEvent, listen,
};
use weir_pubsub::{chain, ensure_bounded, panic_text};

use crate::error::{FlowError, Result};
use crate::lifecycle::Lifecycle;
use crate::operations::perform;
use crate::protocol::{FLOW_ERROR, Request, Response};
use crate::topics::FlowTopics;

/// How long to resend an unconfirmed answer: its reader may still be connected, and would wait until its time-out.
const REPEAT_TIME: Duration = Duration::from_secs(10);
/// The grace period of operations when the service is stopped. Interrupted ones are completed or rolled back from their records.
const GRACE: Duration = Duration::from_secs(5);

/// The service while it leads. Its consumer of requests is dropped first, which requeues those in flight, and its lock last.
pub(crate) struct Leader {
    pub(crate) session: Session,
    /// The first subscription to the reports of hosts.
    pub(crate) reports: Option<Box<dyn Consumer>>,
    pub(crate) context: OperationContext,
    pub(crate) lock: Box<dyn Lock>,
}

/// Serves requests while its consumer lives.
pub(crate) struct Session {
    requests: Box<dyn Consumer>,
    answers: Arc<dyn Producer>,
}

/// The context of operations.
pub(crate) struct OperationContext {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) config: ConfigClient,
    pub(crate) topics: FlowTopics,
    pub(crate) lifecycle: Arc<Lifecycle>,
    /// The dead-letter queue. The limit of an existing queue is changed to this one.
    pub(crate) dead_letters: QueueSpec,
    pub(crate) resume_every: Duration,
    /// Held by the round that completes or rolls back interrupted operations.
    pub(crate) round: Arc<Mutex<()>>,
    /// Logs requests without a reply address.
    pub(crate) unaddressed: Arc<RateLimitedLog>,
    pub(crate) tracker: TaskTracker,
    /// Aborts all operations.
    pub(crate) cut_off: CancellationToken,
}

impl Session {
    /// Creates the request queue, and consumes it.
    pub(crate) async fn begin(backend: &Arc<dyn Backend>, topics: &FlowTopics) -> Result<Self> {
        let queue = &topics.requests;
        ensure(&**backend, &QueueSpec::new(queue.clone())).await?;
        // In addition to the lock: keeps out services of other programs, which do not use the lock, if the broker supports it.
        let options = ConsumerOptions { sharing: Sharing::Exclusive, ..ConsumerOptions::default() };
        let requests = backend.consumer(queue.topic(), queue.subscription(), options).await.map_err(held)?;
        let answers = backend.producer(&topics.response).await.map_err(FlowError::broker("answering flow requests"))?;
        Ok(Session { requests, answers: answers.into() })
    }
}

/// Creates a missing queue.
pub(crate) async fn ensure(backend: &dyn Backend, spec: &QueueSpec) -> Result<()> {
    ensure_bounded(backend, spec).await.map_err(FlowError::broker(format!("restoring the queue {}", spec.queue)))
}

/// The error if another service holds the lock or the queue.
pub(crate) fn held(error: PubsubError) -> FlowError {
    match error {
        PubsubError::LockHeld { lock } => FlowError::Held { what: lock.to_string() },
        PubsubError::QueueHeld { queue } => FlowError::Held { what: queue.to_string() },
        source => FlowError::Broker { action: "taking the lock of the flow service and its queue of requests".to_owned(), source },
    }
}

impl Leader {
    /// Runs until it is stopped (`Ok`), or no longer leads. Operations in flight continue until you end this value with [`Leader::finish`] or
    /// [`Leader::give_up`].
    pub(crate) async fn lead(&mut self, stop: &CancellationToken) -> Result<()> {
        let Leader { session, reports, context, lock } = self;
        tokio::select! {
            biased;
            source = lock.lost() => Err(FlowError::LockLost { source }),
            () = context.lifecycle.writes.fenced() => Err(FlowError::Fenced),
            () = context.serve(session, stop) => Ok(()),
            never = context.listen(reports.take()) => match never {},
        }
    }

    /// Waits for operations in flight, up to the grace period. Interrupted requests are only requeued after that: the next service executes them
    /// again, regardless of what was answered.
    pub(crate) async fn finish(mut self) {
        let OperationContext { tracker, cut_off, lifecycle, .. } = &self.context;
        tracker.close();
        let is_done = tokio::select! {
            waited = tokio::time::timeout(GRACE, tracker.wait()) => waited.is_ok(),
            _ = self.lock.lost() => false,
            () = lifecycle.writes.fenced() => false,
        };
        if !is_done {
            let operations_count = tracker.len();
            tracing::warn!(operations_count, "flow operations aborted; they are completed or rolled back at the next start");
            cut_off.cancel();
            tracker.wait().await;
        }
    }

    /// Drops the operations in flight: the new leader completes or rolls them back from their records.
    pub(crate) async fn give_up(self) {
        let OperationContext { tracker, cut_off, .. } = &self.context;
        let operations_count = tracker.len();
        if operations_count > 0 {
            tracing::warn!(operations_count, "flow operations dropped: this flow service is no longer the leader");
        }
        cut_off.cancel();
        tracker.close();
        tracker.wait().await;
    }
}

impl OperationContext {
    /// Runs until it is stopped, and resubscribes to its queue whenever that is lost.
    async fn serve(&self, session: &mut Session, stop: &CancellationToken) {
        let mut ticks = tokio::time::interval(self.resume_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut recovery = Recovery::of("queue of the flow service");
        while let Err(error) = self.work(session, &mut ticks, stop).await {
            recovery.lost(&error);
            let begin = || Session::begin(&self.backend, &self.topics);
            let Some(next) = stop.run_until_cancelled(recovery.get(begin)).await else { return };
            ticks.reset_immediately();
            *session = next;
        }
    }

    /// Receives the reports of hosts, forever. Missed ones are repeated in the next summary of each host.
    async fn listen(&self, first: Option<Box<dyn Consumer>>) -> Infallible {
        let event = |event| {
            if let SubscriptionEvent::Message(delivery) = event {
                self.handle_report(&delivery.message.body);
            }
        };
        let (topic, name) = (&self.topics.status, self.topics.requests.subscription());
        listen(&*self.backend, (topic, name), first, "subscription of the flow service to the reports of hosts", event).await
    }

    /// Takes requests until it is stopped (`Ok`) or the broker fails. The consumer's window limits how many are in flight.
    async fn work(&self, session: &Session, ticks: &mut Interval, stop: &CancellationToken) -> Result<(), PubsubError> {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                round = next_round(&self.round, ticks) => {
                    let (lifecycle, backend, letters) = (self.lifecycle.clone(), self.backend.clone(), self.dead_letters.clone());
                    self.spawn(async move {
                        let _round = round;
                        // A host with another setting may have created it with another limit.
                        if let Err(error) = ensure_bounded(&*backend, &letters).await {
                            tracing::warn!(queue = %letters.queue, error = %chain(&error), "dead-letter queue not restored");
                        }
                        lifecycle.resume().await;
                    });
                }
                received = session.requests.receive() => match received {
                    Ok(delivery) => self.take(delivery, &session.answers),
                    Err(PubsubError::Lagged { missed_count }) => tracing::warn!(missed_count, "flow requests missed"),
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// Reverts entries whose component a host can never run.
    fn handle_report(&self, report: &[u8]) {
        let part = match serde_json::from_slice::<HostSummary>(report) {
            Ok(part) => part,
            Err(error) => return tracing::debug!(error = %chain(&error), "unreadable summary of a host ignored"),
        };
        for (key, refusal) in self.lifecycle.refusals.take(part) {
            let lifecycle = self.lifecycle.clone();
            self.spawn(async move { lifecycle.revert(key, refusal).await });
        }
    }

    /// Spawns an operation. A panic only ends this operation, which is then completed or rolled back from its record.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let cut_off = self.cut_off.clone();
        self.tracker.spawn(async move {
            if let Some(Err(payload)) = cut_off.run_until_cancelled(AssertUnwindSafe(work).catch_unwind()).await {
                tracing::error!(error = panic_text(&*payload), "flow operation panicked");
            }
        });
    }

    fn take(&self, delivery: Delivery, answers: &Arc<dyn Producer>) {
        let (backend, answers, lifecycle, config) = (self.backend.clone(), answers.clone(), self.lifecycle.clone(), self.config.clone());
        let unaddressed = self.unaddressed.clone();
        self.spawn(async move {
            match delivery.message.properties.get(CORRELATION_ID) {
                Some(id) => {
                    let request_id = request_id(&delivery.message, id);
                    let response = match serde_json::from_slice::<Request>(&delivery.message.body) {
                        Ok(request) => performed(&lifecycle, &config, &request_id, request).await,
                        Err(error) => Response::of_error(FLOW_ERROR, format!("the request cannot be read: {error}")),
                    };
                    // Before the answer, so that an answered request is never executed again.
                    settle(&*backend, &delivery).await;
                    answer(&*answers, id, &response).await;
                }
                None => {
                    if let Some(dropped_count) = unaddressed.count(1) {
                        tracing::warn!(dropped_count, "flow requests without property id dropped: no reply address");
                    }
                    settle(&*backend, &delivery).await;
                }
            }
        });
    }
}

/// Waits until the next round is due and the previous one has ended: a round may take longer than the interval.
async fn next_round(round: &Arc<Mutex<()>>, ticks: &mut Interval) -> OwnedMutexGuard<()> {
    let round = round.clone().lock_owned().await;
    ticks.tick().await;
    round
}

/// Identifies a redelivered request: by the id of its message, which is the same in every delivery, and its body. Senders may number their requests
/// arbitrarily, and a component that is called again for a message may send something else under the same id.
fn request_id(message: &Message, correlation: &str) -> String {
    let message_id = message.id.map_or_else(|| correlation.to_owned(), |id| id.to_string());
    MessageId::of_foreign(&message_id, &Properties::new(), &message.body).to_string()
}

async fn settle(backend: &dyn Backend, request: &Delivery) {
    if let Err(error) = backend.settle(&request.receipt, Vec::new()).await {
        tracing::warn!(error = %chain(&error), "flow request not settled");
    }
}

/// Executes a request; a panic is answered, too. An error of a service that no longer leads may be caused by the next leader: then this never
/// returns, and the next one answers.
async fn performed(lifecycle: &Arc<Lifecycle>, config: &ConfigClient, id: &str, request: Request) -> Response {
    let response = AssertUnwindSafe(perform(lifecycle, config, id, request)).catch_unwind().await.unwrap_or_else(|payload| {
        let panic = panic_text(&*payload);
        tracing::error!(error = panic, "flow request panicked");
        Response::of_error(
            FLOW_ERROR,
            format!("the operation failed because of a bug in Weir; check the flow before you repeat it: {panic}"),
        )
    });
    if response.error.is_some()
        && let Err(error) = lifecycle.writes.confirm_now().await
    {
        tracing::debug!(error = %chain(&error), "unknown whether this flow service is still the leader");
    }
    response
}

/// Sends an answer; one that is too large becomes an error that reports this.
async fn answer(answers: &dyn Producer, id: &str, response: &Response) {
    let body = |response: &Response| serde_json::to_vec(response).expect("plain fields always become JSON");
    let mut published = answers.publish_repeated(Message::new(body(response)).with(CORRELATION_ID, id), REPEAT_TIME).await;
    if let Err(error @ PubsubError::TooLarge { .. }) = &published {
        let refusal = Response::of_error(FLOW_ERROR, format!("the answer cannot be sent: {error}"));
        published = answers.publish_repeated(Message::new(body(&refusal)).with(CORRELATION_ID, id), REPEAT_TIME).await;
    }
    if let Err(error) = published {
        tracing::warn!(error = %chain(&error), "answer to a flow request not sent");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_round_that_takes_longer_than_the_time_between_two_is_waited_for() {
        let (round, every) = (Arc::default(), Duration::from_secs(30));
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let first = next_round(&round, &mut ticks).await;
        assert!(tokio::time::timeout(10 * every, next_round(&round, &mut ticks)).await.is_err(), "the first is not over");
        drop(first);
        let began = tokio::time::Instant::now();
        let _second = next_round(&round, &mut ticks).await;
        assert_eq!(began.elapsed(), Duration::ZERO, "it was due");
    }
}
