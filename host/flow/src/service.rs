//! The flow service: takes its lock, leads while it has it, and stands by while another service has it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_config::ConfigClient;
use weir_pubsub::{Backend, ConsumerOptions, Overflow, QueueSpec, RateLimitedLog, Recovery};
use weir_pubsub::{chain, task_failure};

use crate::error::{FlowError, Result};
use crate::leader::{Leader, OperationContext, Session, ensure, held};
use crate::lifecycle::Lifecycle;
use crate::settings::FlowSettings;
use crate::topics::FlowTopics;
use crate::writes::Writes;

/// How often a service without the lock checks whether it is free.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The running service. Dropping it ends it immediately; the next service completes or rolls back pending operations.
pub struct FlowService {
    token: CancellationToken,
    cut_off: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl FlowService {
    /// Starts the service: takes its lock, creates its queue, and ensures the dead-letter queue and those of running flows. It answers requests when
    /// this returns; it waits for the config service. If it loses its lock later, it drops its operations and stands by until the lock is free.
    ///
    /// # Errors
    /// [`FlowError::Held`] if another service has the lock, [`FlowError::Name`] for an invalid topicspace, [`FlowError::LockLost`],
    /// [`FlowError::Broker`].
    pub async fn start(backend: Arc<dyn Backend>, config: ConfigClient, topicspace: &str, settings: FlowSettings) -> Result<Self> {
        let topics = FlowTopics::of(topicspace)?;
        let (token, cut_off) = (CancellationToken::new(), CancellationToken::new());
        let service = Service {
            backend,
            config,
            topicspace: topicspace.to_owned(),
            settings,
            topics,
            unaddressed: Arc::default(),
            token: token.clone(),
            cut_off: cut_off.clone(),
        };
        let leader = service.begin().await?;
        let task = tokio::spawn(service.run(leader));
        Ok(FlowService { token, cut_off, task: Some(task) })
    }

    /// Stops the service: no new requests, then up to 5 s for those in flight. Interrupted ones are completed or rolled back on the next start.
    pub async fn stop(mut self) {
        self.token.cancel();
        let Some(task) = self.task.take() else { return };
        if let Err(error) = task.await {
            tracing::error!(error = task_failure(error), "flow service failed");
        }
    }

    /// Waits until it has ended unexpectedly, which is always an internal fault, and returns the reason. Requests are not answered then.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn failed(&mut self) -> String {
        let Some(task) = &mut self.task else { std::future::pending().await };
        let reason = task.await.map_or_else(task_failure, |()| "it ended unexpectedly".to_owned());
        self.task = None;
        reason
    }

    /// Whether it is still running. It ends unexpectedly only by an internal fault, which an operator must see.
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

/// The state of the service's task.
struct Service {
    backend: Arc<dyn Backend>,
    config: ConfigClient,
    topicspace: String,
    settings: FlowSettings,
    topics: FlowTopics,
    unaddressed: Arc<RateLimitedLog>,
    token: CancellationToken,
    cut_off: CancellationToken,
}

impl Service {
    /// Acquires the lock first, so that only one flow service at a time creates queues; then its queue, the right to write, and the queues of running
    /// flows; then it answers requests. State of an earlier leadership is discarded, since other services may have changed it.
    async fn begin(&self) -> Result<Leader> {
        let mut lock = self.backend.lock(&self.topics.lock).await.map_err(held)?;
        let (session, reports, context) = tokio::select! {
            biased;
            source = lock.lost() => return Err(FlowError::LockLost { source }),
            prepared = self.prepare() => prepared?,
        };
        Ok(Leader { session, reports: Some(reports), context, lock })
    }

    async fn prepare(&self) -> Result<(Session, Box<dyn weir_pubsub::Consumer>, OperationContext)> {
        let session = Session::begin(&self.backend, &self.topics).await?;
        let mut recovery = Recovery::of("leadership of the flow service");
        let lead = || Writes::lead(self.backend.clone(), self.config.clone());
        let writes = self.token.run_until_cancelled(recovery.get(lead)).await;
        let writes = writes.ok_or_else(|| FlowError::ShuttingDown { what: "its start".to_owned() })?;
        let (backend, config, settings) = (self.backend.clone(), self.config.clone(), self.settings.clone());
        let (resume_every, bytes) = (settings.resume_every, settings.dead_letters_max_bytes);
        let lifecycle = Lifecycle::new(backend.clone(), config.clone(), &self.topicspace, settings, writes, self.token.clone())?;
        let context = OperationContext {
            backend,
            config,
            topics: self.topics.clone(),
            lifecycle: Arc::new(lifecycle),
            dead_letters: QueueSpec { queue: self.topics.dead_letters.clone(), overflow: Overflow::Refuse { bytes } },
            resume_every,
            round: Arc::default(),
            unaddressed: self.unaddressed.clone(),
            tracker: TaskTracker::new(),
            cut_off: self.cut_off.child_token(),
        };
        ensure(&*self.backend, &context.dead_letters).await?;
        tokio::select! {
            biased;
            () = context.lifecycle.writes.fenced() => return Err(FlowError::Fenced),
            () = self.ensure_flows(&context.lifecycle) => {}
        }
        let subscription = self.topics.requests.subscription();
        let reports = self.backend.consumer(&self.topics.status, subscription, ConsumerOptions::default()).await;
        Ok((session, reports.map_err(FlowError::broker("subscribing to host reports"))?, context))
    }

    /// Waits for the config service; later rounds handle other faults.
    async fn ensure_flows(&self, lifecycle: &Lifecycle) {
        let mut recovery = Recovery::of("queues of running flows");
        let ensure = || async {
            match lifecycle.ensure().await {
                Err(error) if error.is_transient() => Err(error),
                ended => Ok(ended),
            }
        };
        if let Some(Err(error)) = self.token.run_until_cancelled(recovery.get(ensure)).await {
            tracing::warn!(error = %chain(&error), "queues of running flows not restored, retrying in the next round");
        }
    }

    async fn run(self, mut leader: Leader) {
        let mut recovery = Recovery::of("lock of the flow service");
        while let Err(error) = leader.lead(&self.token).await {
            recovery.lost(&error);
            leader.give_up().await;
            match self.stand_by(&mut recovery).await {
                Some(next) => leader = next,
                None => return,
            }
        }
        leader.finish().await;
    }

    /// Waits until the lock is free, and leads again; `None` if it is stopped.
    async fn stand_by(&self, recovery: &mut Recovery) -> Option<Leader> {
        loop {
            match self.token.run_until_cancelled(recovery.attempt(|| self.begin())).await? {
                Ok(leader) => return Some(leader),
                // Polled at a constant rate, so that flows are served soon after the other service has ended.
                Err(FlowError::Held { .. }) => {
                    recovery.retry_now();
                    self.token.run_until_cancelled(tokio::time::sleep(POLL_INTERVAL)).await?;
                }
                Err(_) => {}
            }
        }
    }
}
