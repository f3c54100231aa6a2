//! The flow service: takes requests from its queue, each in a task of its own, and answers them.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_config::ConfigClient;
use weir_config::records::HostSummary;
use weir_pubsub::{
    Backend, Backoff, CORRELATION_ID, Consumer, ConsumerOptions, Delivery, Heard, Message, Overflow, Producer, PubsubError, QueueSpec,
    Recovery, Sharing, listen,
};

use crate::error::{FlowError, Result};
use crate::lifecycle::Lifecycle;
use crate::operations::perform;
use crate::protocol::{FLOW_ERROR, Request, Response};
use crate::settings::FlowSettings;
use crate::topics::FlowTopics;
use weir_pubsub::{broken_off, chain, ensure_bounded, panic_text};

/// Waits between tries to reach the config service.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long an answer is sent again that was not confirmed: its reader may have lost nothing, and would wait for it until its time-out.
const REPEAT_TIME: Duration = Duration::from_secs(10);
/// How long operations may go on when the service is told to stop. What is cut off is finished or undone by its record.
const GRACE: Duration = Duration::from_secs(5);

/// The running service. Dropping it ends it at once; what was begun is finished or undone by the next one.
pub struct FlowService {
    token: CancellationToken,
    cut_off: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl FlowService {
    /// Starts the service: makes its queue, takes it for itself alone, and ensures the dead-letter queue and those of running flows. It answers
    /// when this returns; it waits for the config service.
    ///
    /// # Errors
    /// [`FlowError::Held`] when another service has the queue, [`FlowError::Name`] for a topicspace that cannot be one,
    /// [`FlowError::Broker`].
    pub async fn start(backend: Arc<dyn Backend>, config: ConfigClient, topicspace: &str, settings: FlowSettings) -> Result<Self> {
        let topics = FlowTopics::of(topicspace)?;
        let (token, cut_off) = (CancellationToken::new(), CancellationToken::new());
        let (resume_every, dead_letters_max_bytes) = (settings.resume_every, settings.dead_letters_max_bytes);
        let lifecycle = Lifecycle::new(backend.clone(), config.clone(), topicspace, settings, token.clone())?;
        let service = Service {
            backend,
            config,
            lifecycle: Arc::new(lifecycle),
            topics,
            dead_letters_max_bytes,
            resume_every,
            tracker: TaskTracker::new(),
            token: token.clone(),
            cut_off: cut_off.clone(),
        };
        let session = service.begin().await?;
        let reports = service.reports().await?;
        let task = tokio::spawn(service.run(session, reports));
        Ok(FlowService { token, cut_off, task: Some(task) })
    }

    /// Ends the service: no new requests, then up to 5 s for those that are under way. What is cut off is finished or undone at the next start.
    pub async fn stop(mut self) {
        self.token.cancel();
        let Some(task) = self.task.take() else { return };
        if let Err(error) = task.await {
            tracing::error!(error = broken_off(error), "flow service failed");
        }
    }

    /// Waits until it has ended by itself, which happens only by a fault of its own, and returns the reason. Requests get no answer then.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn failed(&mut self) -> String {
        let Some(task) = &mut self.task else { std::future::pending().await };
        let reason = task.await.map_or_else(broken_off, |()| "it ended by itself".to_owned());
        self.task = None;
        reason
    }

    /// Whether it still works. It ends by itself only by a fault of its own, which an operator must see.
    pub fn is_running(&self) -> bool {
        self.task.as_ref().is_some_and(|task| !task.is_finished())
    }
}

impl Drop for FlowService {
    fn drop(&mut self) {
        self.token.cancel();
        if self.task.is_some() {
            self.cut_off.cancel();
        }
    }
}

/// What the service's task owns.
struct Service {
    backend: Arc<dyn Backend>,
    config: ConfigClient,
    lifecycle: Arc<Lifecycle>,
    topics: FlowTopics,
    dead_letters_max_bytes: u64,
    resume_every: Duration,
    tracker: TaskTracker,
    token: CancellationToken,
    cut_off: CancellationToken,
}

/// The service while its consumer lives.
struct Session {
    requests: Box<dyn Consumer>,
    answers: Arc<dyn Producer>,
}

impl Service {
    /// It takes its requests first, so that only one flow service at a time makes queues, then ensures those of running flows, then it answers.
    async fn begin(&self) -> Result<Session> {
        let requests = &self.topics.requests;
        self.ensure(&QueueSpec::new(requests.clone())).await?;
        let options = ConsumerOptions { sharing: Sharing::Exclusive, ..ConsumerOptions::default() };
        let consumer = self.backend.consumer(requests.topic(), requests.subscription(), options).await.map_err(held)?;
        self.ensure(&self.dead_letters()).await?;
        self.ensure_flows().await;
        let answers = self.backend.producer(&self.topics.response).await.map_err(FlowError::broker("answering requests for flows"))?;
        Ok(Session { requests: consumer, answers: answers.into() })
    }

    async fn ensure(&self, spec: &QueueSpec) -> Result<()> {
        ensure_bounded(&*self.backend, spec).await.map_err(FlowError::broker(format!("ensuring the queue {}", spec.queue)))
    }

    /// Subscribes to what hosts report.
    async fn reports(&self) -> Result<Box<dyn Consumer>> {
        let subscription = self.topics.requests.subscription();
        let reports = self.backend.consumer(&self.topics.status, subscription, ConsumerOptions::default()).await;
        reports.map_err(FlowError::broker("listening to hosts"))
    }

    /// The dead-letter queue. A queue that is there with another bound gets this one.
    fn dead_letters(&self) -> QueueSpec {
        QueueSpec { queue: self.topics.dead_letters.clone(), overflow: Overflow::Refuse { bytes: self.dead_letters_max_bytes } }
    }

    /// Waits for the config service; other faults are for later rounds.
    async fn ensure_flows(&self) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        while let Err(error) = self.lifecycle.ensure().await {
            tracing::warn!(error = %chain(&error), "queues of running flows cannot be ensured");
            if !error.is_passing() {
                return;
            }
            let wait = backoff.next_wait(&mut rand::rng());
            if self.token.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    async fn run(self, session: Session, reports: Box<dyn Consumer>) {
        // The reports are a subscription of their own: when only that is lost, the requests under way go on.
        let session = tokio::select! {
            session = self.serve(session) => session,
            never = self.listen(reports) => match never {},
        };
        self.tracker.close();
        if tokio::time::timeout(GRACE, self.tracker.wait()).await.is_err() {
            tracing::warn!(
                operations_count = self.tracker.len(),
                "operations on flows are cut off and finished or undone at the next start"
            );
            self.cut_off.cancel();
            self.tracker.wait().await;
        }
        // Not before: a request that is given back is done once more by the next service, whatever its sender was told.
        drop(session);
    }

    /// Works until it is told to end, and begins again whenever its queue is lost. Returns what holds the requests that are under way.
    async fn serve(&self, mut session: Session) -> Session {
        let mut ticks = tokio::time::interval(self.resume_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut recovery = Recovery::of("queue of the flow service");
        while let Err(error) = self.work(&session, &mut ticks).await {
            recovery.lost(&error);
            let Some(next) = self.token.run_until_cancelled(recovery.get(|| self.begin())).await else { break };
            ticks.reset_immediately();
            session = next;
        }
        session
    }

    /// Hears what hosts report, for ever. What is missed comes again soon: the next summary of each host.
    async fn listen(&self, first: Box<dyn Consumer>) -> Infallible {
        let heard = |heard| {
            if let Heard::Message(delivery) = heard {
                self.hear(&delivery.message.body);
            }
        };
        let (topic, name) = (&self.topics.status, self.topics.requests.subscription());
        listen(&*self.backend, (topic, name), Some(first), "subscription of the flow service to the reports of hosts", heard).await
    }

    /// Takes requests until it is told to end (`Ok`) or the broker fails it. How many are under way at once is bounded by the
    /// consumer's window.
    async fn work(&self, session: &Session, ticks: &mut Interval) -> Result<(), PubsubError> {
        loop {
            tokio::select! {
                biased;
                () = self.token.cancelled() => return Ok(()),
                _ = ticks.tick() => {
                    let (lifecycle, backend, letters) = (self.lifecycle.clone(), self.backend.clone(), self.dead_letters());
                    self.spawn(async move {
                        // A host of another setting that found none has made one with another bound.
                        if let Err(error) = ensure_bounded(&*backend, &letters).await {
                            tracing::warn!(queue = %letters.queue, error = %chain(&error), "dead-letter queue not ensured");
                        }
                        lifecycle.resume().await;
                    });
                }
                received = session.requests.receive() => match received {
                    Ok(delivery) => self.take(delivery, &session.answers),
                    Err(PubsubError::Lagged { missed_count }) => tracing::warn!(missed_count, "requests for flows were missed"),
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// Puts back what a host can never run.
    fn hear(&self, report: &[u8]) {
        let part = match serde_json::from_slice::<HostSummary>(report) {
            Ok(part) => part,
            Err(error) => return tracing::debug!(error = %chain(&error), "unreadable summary of a host ignored"),
        };
        for (key, refusal) in self.lifecycle.refusals.take(part) {
            let lifecycle = self.lifecycle.clone();
            self.spawn(async move { lifecycle.put_back(key, refusal).await });
        }
    }

    /// A panic of one operation ends that one alone; its record takes it up again.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let cut_off = self.cut_off.clone();
        self.tracker.spawn(async move {
            if let Some(Err(payload)) = cut_off.run_until_cancelled(AssertUnwindSafe(work).catch_unwind()).await {
                tracing::error!(error = panic_text(&*payload), "operation on flows panicked");
            }
        });
    }

    fn take(&self, delivery: Delivery, answers: &Arc<dyn Producer>) {
        let (backend, answers, lifecycle, config) = (self.backend.clone(), answers.clone(), self.lifecycle.clone(), self.config.clone());
        self.spawn(async move {
            match delivery.message.properties.get(CORRELATION_ID) {
                Some(id) => {
                    let response = match serde_json::from_slice::<Request>(&delivery.message.body) {
                        Ok(request) => performed(&lifecycle, &config, request).await,
                        Err(error) => Response::of_error(FLOW_ERROR, format!("the request cannot be read: {error}")),
                    };
                    // First, so that nothing is done again of which somebody was told how it ended.
                    settle(&*backend, &delivery).await;
                    answer(&*answers, id, &response).await;
                }
                None => {
                    tracing::warn!(message_id = delivery.message.id.map(tracing::field::display), "request for flows without id dropped");
                    settle(&*backend, &delivery).await;
                }
            }
        });
    }
}

async fn settle(backend: &dyn Backend, request: &Delivery) {
    if let Err(error) = backend.settle(&request.receipt, Vec::new()).await {
        tracing::warn!(error = %chain(&error), "request for flows is not settled");
    }
}

/// Performs a request; a panic is answered too.
async fn performed(lifecycle: &Arc<Lifecycle>, config: &ConfigClient, request: Request) -> Response {
    AssertUnwindSafe(perform(lifecycle, config, request)).catch_unwind().await.unwrap_or_else(|payload| {
        let panic = panic_text(&*payload);
        tracing::error!(error = panic, "request for flows panicked");
        Response::of_error(FLOW_ERROR, format!("the operation failed by a fault of Weir, look at the flow before you repeat it: {panic}"))
    })
}

/// Sends an answer; one that is too large becomes an error that says so.
async fn answer(answers: &dyn Producer, id: &str, response: &Response) {
    let body = |response: &Response| serde_json::to_vec(response).expect("plain fields always become JSON");
    let mut published = answers.publish_repeated(Message::new(body(response)).with(CORRELATION_ID, id), REPEAT_TIME).await;
    if let Err(error @ PubsubError::TooLarge { .. }) = &published {
        let refusal = Response::of_error(FLOW_ERROR, format!("the answer cannot be sent: {error}"));
        published = answers.publish_repeated(Message::new(body(&refusal)).with(CORRELATION_ID, id), REPEAT_TIME).await;
    }
    if let Err(error) = published {
        tracing::warn!(error = %chain(&error), "answer to a request for flows is not sent");
    }
}

fn held(error: PubsubError) -> FlowError {
    match error {
        PubsubError::QueueHeld { queue } => FlowError::Held { queue: queue.to_string() },
        source => FlowError::Broker { action: "taking the queue of requests for flows".to_owned(), source },
    }
}
