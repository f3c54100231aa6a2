//! The follower: subscribes, then fetches; its version advances only after a change was applied.
//!
//! `decide` returns the action for a notify, `fetch` fetches, `cache` stores the content, `registry` the handlers; the loop is here.

mod cache;
mod change;
mod decide;
mod fetch;
mod interest;
mod registry;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_pubsub::{Backend, Backoff, Consumer, ConsumerOptions, Delivery, PubsubError, RateLimitedLog, Recovery, Subscription};

use crate::client::ConfigClient;
use crate::error::Result;
use crate::protocol::Notify;
use crate::topics::ConfigTopics;
use weir_pubsub::{chain, restart_on_panic};

use cache::Cache;
use decide::{ChangedTypes, NotifyAction, decide};
use interest::Interest;
use registry::{Registered, Shared};

pub use change::{Change, Content};
pub use registry::{FollowerHandle, FollowerStatus, HandlerId};

/// Waits between attempts to fetch.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How often the version is polled in addition to the notifies: the maximum delay after a lost one.
const POLL_INTERVAL: Duration = Duration::from_secs(60);

/// Follows the configuration: calls each handler with the whole content of its types, once at the start and then at each change.
///
/// Handlers are called one after the other. The error of a failed handler is in the [status](FollowerHandle::status), and the handler is not called
/// again before the next change; a failed fetch is retried until it succeeds.
pub struct Follower {
    backend: Arc<dyn Backend>,
    topics: ConfigTopics,
    client: ConfigClient,
    shared: Arc<Shared>,
    poll_interval: Duration,
}

impl Follower {
    /// A follower without handlers.
    ///
    /// # Errors
    /// `Topicspace`.
    pub fn new(backend: Arc<dyn Backend>, topicspace: &str, client: ConfigClient) -> Result<Self> {
        let topics = ConfigTopics::of(topicspace)?;
        Ok(Follower { backend, topics, client, shared: Arc::default(), poll_interval: POLL_INTERVAL })
    }

    /// Adds a handler of some types.
    #[must_use]
    pub fn on<T, F, R>(self, types: T, handler: F) -> Self
    where
        T: IntoIterator<Item: Into<String>>,
        F: Fn(Change) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.handle().register(types, handler);
        self
    }

    /// Adds a handler that gets everything on every change.
    #[must_use]
    pub fn on_everything<F, R>(self, handler: F) -> Self
    where
        F: Fn(Change) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.handle().register_everything(handler);
        self
    }

    /// Sets a polling interval other than 60 s.
    #[must_use]
    pub fn poll_every(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// A handle to register and unregister handlers, before and while it runs, and to observe its status.
    pub fn handle(&self) -> FollowerHandle {
        FollowerHandle::of(self.shared.clone())
    }

    /// The version that all handlers have; 0 until the first fetch was applied.
    pub fn version(&self) -> watch::Receiver<u64> {
        self.handle().version()
    }

    /// Follows until the token is cancelled, which drops a running handler.
    pub async fn run(self, token: CancellationToken) {
        let follower = Arc::new(self);
        // After a panic nothing is known to be applied: everything is fetched, and all handlers are called again.
        let follow = || {
            let mut following = RunningFollower::new(follower.clone());
            async move { following.follow().await }
        };
        let panicked = |panic: &str| {
            follower.shared.set_fetch_error(Some(panic.to_owned()));
            tracing::error!(error = panic, "config follower panicked, restarting it");
        };
        token.run_until_cancelled(restart_on_panic(&token, follow, panicked)).await;
    }
}

/// The work that remains before the next notify.
#[derive(Debug)]
enum PendingFetch {
    /// Fetch all types of all handlers.
    All,
    /// Fetch what the notify of the version just after ours names.
    Some { version: u64, changed_types: ChangedTypes },
    /// Request the version, and fetch everything if it differs.
    AskVersion,
}

/// A running follower.
struct RunningFollower {
    follower: Arc<Follower>,
    version: u64,
    cache: Cache,
    /// The handlers that were called with the content of the cache.
    served: BTreeSet<HandlerId>,
    pending: Option<PendingFetch>,
    next_poll: Instant,
    backoff: Backoff,
    unreadable: RateLimitedLog,
}

impl RunningFollower {
    fn new(follower: Arc<Follower>) -> Self {
        RunningFollower {
            next_poll: Instant::now() + follower.poll_interval,
            follower,
            version: 0,
            cache: Cache::default(),
            served: BTreeSet::new(),
            pending: None,
            backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
            unreadable: RateLimitedLog::default(),
        }
    }

    async fn follow(&mut self) {
        let follower = self.follower.clone();
        let name: Subscription = "config-follower".parse().expect("a plain word is a subscription");
        let topic = &follower.topics.notify;
        let mut recovery = Recovery::of(format!("subscription to changes of the configuration on {topic}"));
        loop {
            let notifies = recovery.get(|| async {
                let got = follower.backend.consumer(topic, &name, ConsumerOptions::default()).await;
                let what = "subscription to changes of the configuration failed";
                got.inspect_err(|error| {
                    follower.shared.show_fetch_error(what, error);
                })
            });
            let notifies = notifies.await;
            // Changes before the subscription existed were not notified here.
            self.pending = Some(PendingFetch::All);
            let lost = self.work(&*notifies).await;
            follower.shared.show_fetch_error("the subscription to changes of the configuration was lost", &lost);
            recovery.lost(&lost);
        }
    }

    /// Runs until the subscription is lost, and returns the reason.
    async fn work(&mut self, notifies: &dyn Consumer) -> PubsubError {
        loop {
            let wait = match self.catch_up().await {
                Ok(()) => {
                    self.backoff.reset();
                    if self.follower.shared.set_fetch_error(None) {
                        tracing::info!(version = self.version, "following the configuration again");
                    }
                    None
                }
                Err(error) => {
                    if !error.is_transient() {
                        self.pending = Some(PendingFetch::All);
                    }
                    self.failed("fetch of the configuration failed", &error);
                    Some(self.backoff.next_wait(&mut rand::rng()))
                }
            };
            if let Err(error) = self.next_event(notifies, wait).await {
                return error;
            }
        }
    }

    /// Waits for the next event. With `wait`, work is pending that must be retried after that time at the latest.
    async fn next_event(&mut self, notifies: &dyn Consumer, wait: Option<Duration>) -> Result<(), PubsubError> {
        let until = wait.map_or(self.next_poll, |wait| Instant::now() + wait);
        tokio::select! {
            biased;
            () = self.follower.shared.changed(), if wait.is_none() => {}
            () = tokio::time::sleep_until(until) => if wait.is_none() {
                self.next_poll = Instant::now() + self.follower.poll_interval;
                self.pending = Some(PendingFetch::AskVersion);
            },
            received = notifies.receive() => match received {
                // A restarted service notifies: no need to wait any longer, and pending work is part of everything.
                Ok(_) if wait.is_some() => self.pending = Some(PendingFetch::All),
                Ok(delivery) => self.examine(&delivery),
                Err(PubsubError::Lagged { missed_count }) => {
                    tracing::warn!(missed_count, "config notifications missed");
                    self.pending = Some(PendingFetch::All);
                }
                Err(error) => return Err(error),
            },
        }
        Ok(())
    }

    fn examine(&mut self, delivery: &Delivery) {
        let notify: Notify = match serde_json::from_slice(&delivery.message.body) {
            Ok(notify) => notify,
            Err(error) => {
                if let Some(notifies_count) = self.unreadable.count(1) {
                    tracing::warn!(notifies_count, error = %chain(&error), "config notification unreadable: fetching everything");
                }
                self.pending = Some(PendingFetch::All);
                return;
            }
        };
        let interest = Interest::by(&self.handlers());
        self.cache.keep_only(&interest);
        match decide(self.version, |config_type| self.cache.version_of(config_type, &interest), &notify) {
            NotifyAction::Skip => {}
            NotifyAction::AskVersion => self.pending = Some(PendingFetch::AskVersion),
            NotifyAction::MoveVersion => self.move_to(notify.version),
            NotifyAction::FetchAll => self.pending = Some(PendingFetch::All),
            NotifyAction::Fetch(changed_types) => self.pending = Some(PendingFetch::Some { version: notify.version, changed_types }),
        }
    }

    /// Executes the pending work, and calls new handlers. Failed work stays pending.
    async fn catch_up(&mut self) -> Result<()> {
        let handlers = self.handlers();
        self.served.retain(|id| handlers.iter().any(|handler| handler.id == *id));
        let all = match &self.pending {
            Some(PendingFetch::All) => true,
            Some(PendingFetch::AskVersion) => self.follower.client.version().await? != self.version,
            Some(PendingFetch::Some { version, changed_types }) => {
                let (version, changed_types) = (*version, changed_types.clone());
                !self.apply_some(version, &changed_types, &handlers).await?
            }
            None => false,
        };
        if all || !self.serve_new(&handlers).await? {
            self.pending = Some(PendingFetch::All);
            self.apply_all(&handlers).await?;
        }
        self.pending = None;
        Ok(())
    }

    async fn apply_all(&mut self, handlers: &[Arc<Registered>]) -> Result<()> {
        let (cache, version) = fetch::all(&self.follower.client, &Interest::by(handlers)).await?;
        self.cache = cache;
        for handler in handlers {
            self.call(handler, version).await;
        }
        self.move_to(version);
        Ok(())
    }

    /// `false`: the service answered with an older version than it had notified, so everything must be fetched.
    async fn apply_some(&mut self, version: u64, changed_types: &ChangedTypes, handlers: &[Arc<Registered>]) -> Result<bool> {
        let update = fetch::some(&self.follower.client, version, changed_types).await?;
        if update.lowest_version < version {
            return Ok(false);
        }
        self.cache.update(update);
        self.pending = None;
        for handler in handlers {
            if self.served.contains(&handler.id) && handler.is_interested_in_any(changed_types.keys()) {
                self.call(handler, version).await;
            }
        }
        self.move_to(version);
        Ok(true)
    }

    /// Fetches types that new handlers are interested in and that are not cached yet, and calls the handlers. `false`: the service answered with an
    /// older version.
    async fn serve_new(&mut self, handlers: &[Arc<Registered>]) -> Result<bool> {
        self.cache.keep_only(&Interest::by(handlers));
        let new: Vec<_> = handlers.iter().filter(|handler| !self.served.contains(&handler.id)).cloned().collect();
        if new.is_empty() {
            return Ok(true);
        }
        let missing = self.cache.missing(Interest::by(&new));
        if !missing.is_empty() {
            let (more, lowest_version) = fetch::all(&self.follower.client, &missing).await?;
            if lowest_version < self.version {
                return Ok(false);
            }
            self.cache.add(more);
        }
        for handler in &new {
            self.call(handler, self.version).await;
        }
        Ok(true)
    }

    async fn call(&mut self, handler: &Arc<Registered>, version: u64) {
        let change = Change { version, types: self.cache.content_for(handler) };
        self.follower.shared.call(handler, change).await;
        self.served.insert(handler.id);
    }

    fn handlers(&self) -> Vec<Arc<Registered>> {
        self.follower.shared.handlers()
    }

    fn move_to(&mut self, version: u64) {
        self.version = version;
        self.follower.shared.set_version(version);
    }

    fn failed(&self, what: &'static str, error: &dyn std::error::Error) {
        // Once for each kind of failure, not for each attempt.
        if self.follower.shared.show_fetch_error(what, error) {
            tracing::warn!(step = what, error = %chain(error), "following the configuration failed, retrying");
        }
    }
}
