//! The config service: takes one request at a time from its queue; sends the notify after the commit, and the answer after the notify.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_pubsub::{
    Backend, CORRELATION_ID, Consumer, ConsumerOptions, Delivery, Lock, Message, Producer, PubsubError, QueueSpec, RateLimitedLog,
    Recovery, Sharing,
};

use crate::error::{ConfigError, Result};
use crate::operations::{Outcome, failure, perform};
use crate::protocol::{Notify, Request};
use crate::store::Store;
use crate::topics::ConfigTopics;
use weir_pubsub::{chain, task_failure};

/// How long to resend an unconfirmed answer or notify: its readers may still be connected, and would wait until their time-out.
const REPEAT_TIME: Duration = Duration::from_secs(5);

/// The running service. Dropping it ends it after the current request; [`ConfigService::stop`] also waits for that.
#[derive(Debug)]
pub struct ConfigService {
    token: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl ConfigService {
    /// Starts the service: takes its lock, creates its queue, and notifies all subscribers to fetch everything. It answers requests when this
    /// returns.
    ///
    /// # Errors
    /// `Held` if another service has the lock, `Topicspace`, `Unavailable`, `StoreFailed`.
    pub async fn start(backend: Arc<dyn Backend>, topicspace: &str, store: Store) -> Result<Self> {
        let topics = ConfigTopics::of(topicspace)?;
        let session = Session::begin(&backend, &topics, &store).await?;
        let token = CancellationToken::new();
        let task = tokio::spawn(run(backend, topics, store, session, token.clone()));
        Ok(ConfigService { token, task: Some(task) })
    }

    /// Stops the service after the current request, and closes the store.
    pub async fn stop(mut self) {
        self.token.cancel();
        let Some(task) = self.task.take() else { return };
        if let Err(error) = task.await {
            tracing::error!(error = task_failure(error), "config service failed");
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

impl Drop for ConfigService {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

/// The service while it has its lock and its consumer.
struct Session {
    lock: Box<dyn Lock>,
    backend: Arc<dyn Backend>,
    store: Store,
    requests: Box<dyn Consumer>,
    answers: Box<dyn Producer>,
    notifies: Box<dyn Producer>,
    /// Logs requests without a reply address.
    nameless: RateLimitedLog,
}

async fn run(backend: Arc<dyn Backend>, topics: ConfigTopics, store: Store, session: Session, token: CancellationToken) {
    serve(&backend, &topics, &store, session, &token).await;
    store.close().await;
}

async fn serve(backend: &Arc<dyn Backend>, topics: &ConfigTopics, store: &Store, mut session: Session, token: &CancellationToken) {
    let mut recovery = Recovery::of("lock and queue of the config service");
    while let Err(error) = session.work(token).await {
        recovery.lost(&error);
        // Otherwise its successor could not get the lock and the queue.
        drop(session);
        let begin = || Session::begin(backend, topics, store);
        let Some(next) = token.run_until_cancelled(recovery.get(begin)).await else { return };
        session = next;
    }
}

impl Session {
    async fn begin(backend: &Arc<dyn Backend>, topics: &ConfigTopics, store: &Store) -> Result<Self> {
        let version = store.version().await?;
        Self::open(backend, topics, store, version).await.map_err(ConfigError::of_pubsub)
    }

    async fn open(backend: &Arc<dyn Backend>, topics: &ConfigTopics, store: &Store, version: u64) -> Result<Self, PubsubError> {
        let lock = backend.lock(&topics.lock).await?;
        backend.ensure_queue(&QueueSpec::new(topics.queue.clone())).await?;
        // In addition to the lock: keeps out services of other programs, which do not use the lock, if the broker supports it.
        let options = ConsumerOptions { sharing: Sharing::Exclusive, ..ConsumerOptions::default() };
        let requests = backend.consumer(&topics.request, topics.queue.subscription(), options).await?;
        let answers = backend.producer(&topics.response).await?;
        let notifies = backend.producer(&topics.notify).await?;
        let (backend, store, nameless) = (backend.clone(), store.clone(), RateLimitedLog::default());
        let session = Session { lock, backend, store, requests, answers, notifies, nameless };
        session.notify(Notify { version, ..Notify::default() }).await?;
        Ok(session)
    }

    /// Executes requests until it is stopped (`Ok`), loses its lock, or the broker fails. A request in progress is completed.
    async fn work(&mut self, token: &CancellationToken) -> Result<(), PubsubError> {
        loop {
            let received = tokio::select! {
                biased;
                () = token.cancelled() => return Ok(()),
                lost = self.lock.lost() => return Err(lost),
                received = self.requests.receive() => received,
            };
            match received {
                Ok(delivery) => self.handle(delivery).await?,
                Err(PubsubError::Lagged { missed_count }) => tracing::warn!(missed_count, "config requests missed"),
                Err(error) => return Err(error),
            }
        }
    }

    async fn handle(&self, delivery: Delivery) -> Result<(), PubsubError> {
        let Some(id) = delivery.message.properties.get(CORRELATION_ID) else {
            if let Some(dropped_count) = self.nameless.count(1) {
                tracing::warn!(dropped_count, "config requests without property id dropped: no reply address");
            }
            self.backend.settle(&delivery.receipt, Vec::new()).await?;
            return Ok(());
        };
        let outcome = perform(&self.store, Request::read(&delivery.message.body), self.backend.limits().max_answer_bytes).await;
        // Before the response: a request whose response is lost must not be executed again, since a write would then fail because of its own
        // condition.
        let settled = self.backend.settle(&delivery.receipt, Vec::new()).await;
        self.answer(id, outcome).await?;
        settled?;
        Ok(())
    }

    /// Publishes what changed, then the answer.
    async fn answer(&self, id: &str, Outcome { response, notify }: Outcome) -> Result<(), PubsubError> {
        let limit_bytes = self.backend.limits().max_answer_bytes;
        if let Some(notify) = notify {
            self.notify(notify).await?;
        }
        let mut body = json(&response);
        if body.len() > limit_bytes {
            let error = ConfigError::AnswerTooLarge { limit_bytes };
            body = json(&failure(&error).response);
        }
        let send = async |body| self.answers.publish_repeated(Message::new(body).with(CORRELATION_ID, id), REPEAT_TIME).await;
        let mut published = send(body).await;
        if let Err(PubsubError::TooLarge { actual_bytes, limit_bytes, .. }) = published {
            let error = ConfigError::AnswerRefused { actual_bytes, limit_bytes };
            published = send(json(&failure(&error).response)).await;
        }
        match published {
            Err(error @ PubsubError::TooLarge { .. }) => {
                tracing::warn!(error = %chain(&error), "config answer dropped");
                Ok(())
            }
            published => published,
        }
    }

    /// Notifies all subscribers. A list of types that does not fit into a message is replaced by an empty one, which means everything.
    async fn notify(&self, notify: Notify) -> Result<(), PubsubError> {
        match self.notifies.publish_repeated(Message::new(json(&notify)), REPEAT_TIME).await {
            Err(PubsubError::TooLarge { .. }) => {
                let everything = Notify { version: notify.version, ..Notify::default() };
                self.notifies.publish_repeated(Message::new(json(&everything)), REPEAT_TIME).await
            }
            published => published,
        }
    }
}

fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("maps with string keys and plain fields always become JSON").into()
}
