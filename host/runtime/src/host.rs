//! The host: follows the configuration and runs every variant that it serves in its desired state.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_config::names::{dead_letters, parts_of_deployment_key};
use weir_config::records::{ComponentDefaults, Digest, HostDetails};
use weir_config::{Change, ComponentSource, ConfigClient, Follower, FollowerHandle, FollowerStatus, HandlerId};
use weir_pubsub::{Backend, NameError, Overflow, QueueSpec, shown};

use crate::component::Loader;
use crate::config_state::{ConfigState, FollowedTypes};
use crate::consumed::Consumed;
use crate::deployments::GivenComponent;
use crate::desired::{Desired, Served, types_to_follow};
use crate::desired_state::{Changes, DesiredState};
use crate::engine_start::EngineStart;
use crate::error::RuntimeError;
use crate::host_context::HostContext;
use crate::in_use::TypesInUse;
use crate::output_budget::OutputBudget;
use crate::reporting::Reporter;
use crate::status::VariantKey;
use crate::status_board::{Identity, StatusBoard};
use crate::variant_supervisor::VariantSupervisor;
use weir_pubsub::{chain, panic_text, restart_on_panic, task_failure};

/// The time-out for dropped tasks to end.
const LONGEST_DROP: Duration = Duration::from_secs(5);

/// The settings of a host.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// Its id in the status: different for each process.
    pub id: String,
    /// Its name in the status, for people.
    pub name: String,
    /// The machine that it runs on, for people.
    pub machine: String,
    /// The topicspace.
    pub topicspace: String,
    /// The source of the bytes of components.
    pub components: Arc<dyn ComponentSource>,
    /// The folder for compiled code, owned by the host: it is created, and closed to other users.
    pub code_cache: PathBuf,
    /// Which processors it serves.
    pub served: Served,
    /// The components for entries that name none, by processor.
    pub given: BTreeMap<String, GivenComponent>,
    /// The disk limit of compiled code and fetched components together; the least recently used are removed, running ones never. Unlimited if
    /// `weir prune` manages the folder.
    pub cache_bytes: Option<u64>,
    /// The maximum number of instances at a time; see [`HostSettings::instances_for_this_machine`].
    pub instances_count: u32,
    /// The limit, in bytes, of messages that its processors have sent and that are not settled yet; a quarter is reserved for requests.
    pub outputs_bytes: u64,
    /// The limit of the dead-letter queue, in bytes, for a host that finds none; the same as that of the flow service.
    pub dead_letters_max_bytes: u64,
    /// The defaults of components whose deployment gives no value.
    pub defaults: ComponentDefaults,
}

/// The default limit of unsettled outputs of a host's processors.
pub const DEFAULT_OUTPUTS_BYTES: u64 = 128 << 20;

impl HostSettings {
    /// The number of instances for which the memory of the machine, or of the cgroup that limits this process, suffices at 16 MiB each,
    /// between 8 and 4,000: above 4,000 the kernel's limit on memory maps is exceeded.
    pub fn instances_for_this_machine() -> u32 {
        const INSTANCE_BYTES: u64 = 16 << 20;
        let available = crate::memory::available_bytes(Path::new("/"));
        available.map_or(256, |bytes| bytes / INSTANCE_BYTES).clamp(8, 4_000) as u32
    }
}

/// A running host. Dropping it aborts all its work; its messages are requeued.
pub struct Host {
    board: Arc<StatusBoard>,
    /// The version of the configuration that it applies, and whether it can be fetched.
    config: watch::Receiver<FollowerStatus>,
    stop: CancellationToken,
    /// Cancelled after the work has ended.
    end: CancellationToken,
    work: JoinSet<()>,
    tasks: TaskTracker,
    services: JoinSet<()>,
    ticker_ended: CancellationToken,
}

/// The outcome of stopping a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// The variants that still had messages in flight when the grace period ended, for display; empty if everything was finished. Those
    /// messages are redelivered.
    pub held_up: Vec<String>,
}

fn not_a_topicspace(topicspace: &str) -> impl FnOnce(NameError) -> RuntimeError + use<> {
    let what = format!("topicspace `{}`", shown(topicspace));
    move |source| RuntimeError::Name { what, source }
}

impl Host {
    /// Starts a host. The config service and the queues need not exist yet; its work begins when they do.
    ///
    /// # Errors
    /// `Engine`, `CodeCache`, and `Entry` for an invalid topicspace.
    pub async fn start(backend: Arc<dyn Backend>, config: ConfigClient, settings: HostSettings) -> Result<Host, RuntimeError> {
        let engine = EngineStart::begin(settings.instances_count, settings.code_cache.clone());
        Host::start_on(engine, backend, config, settings).await
    }

    /// The same on an engine whose creation has already begun, with the instances and the folder for compiled code of these settings.
    ///
    /// # Errors
    /// As [`Host::start`].
    pub async fn start_on(
        engine: EngineStart,
        backend: Arc<dyn Backend>,
        config: ConfigClient,
        settings: HostSettings,
    ) -> Result<Host, RuntimeError> {
        let dead_letters = dead_letters(&settings.topicspace).map_err(not_a_topicspace(&settings.topicspace))?;
        let dead_letters = QueueSpec { queue: dead_letters, overflow: Overflow::Refuse { bytes: settings.dead_letters_max_bytes } };
        let follower =
            Follower::new(backend.clone(), &settings.topicspace, config).map_err(|error| RuntimeError::Entry { problem: chain(&error) })?;
        let engine = engine.made().await?;
        let ticker_ended = engine.ticker_ended().clone();
        let (stop, end) = (CancellationToken::new(), CancellationToken::new());
        let (sender, receiver) = watch::channel(Arc::new(ConfigState::default()));
        let board =
            Arc::new(StatusBoard::new(Identity { id: settings.id, name: settings.name, machine: settings.machine }, &settings.served));
        let mut services = JoinSet::new();
        let config = follower.handle().status();
        let reporter = Reporter::new(board.clone(), backend.clone(), &settings.topicspace, config.clone())
            .map_err(not_a_topicspace(&settings.topicspace))?;
        let ended = end.clone();
        services.spawn(async move {
            let work = || reporter.run(ended.clone());
            restart_on_panic(&ended, work, |panic| tracing::error!(error = panic, "status reporter panicked, restarting it")).await;
        });
        let subscription = ConfigSubscription::new(follower.handle(), settings.served.clone(), sender);
        services.spawn(follower.run(end.clone()));
        let loader = Arc::new(Loader::new(engine, settings.components, settings.cache_bytes));
        let tasks = TaskTracker::new();
        let context = HostContext {
            backend,
            loader,
            config: receiver,
            in_use: TypesInUse::new(),
            dead_letters,
            stop: stop.clone(),
            tasks: tasks.clone(),
            defaults: settings.defaults,
            output_budget: OutputBudget::new(settings.outputs_bytes),
        };
        let mut work = JoinSet::new();
        work.spawn(Reconciler::new(subscription, board.clone(), Arc::new(context), settings.served, settings.given).run());
        tracing::info!(host = board.host, instances_count = settings.instances_count, "host started");
        Ok(Host { board, config, stop, end, work, tasks, services, ticker_ended })
    }

    /// The current report on itself and its processors.
    pub fn status(&self) -> HostDetails {
        self.board.details(&self.config.borrow())
    }

    /// Waits until an essential part of the host has failed, which only a bug causes; returns the part and the reason. Tasks of single
    /// processors are restarted.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn failed(&mut self) -> String {
        let (part, ended) = tokio::select! {
            ended = self.work.join_next() => ("the reconcile loop", ended),
            ended = self.services.join_next() => ("the configuration's follower or the status reporter", ended),
            () = self.ticker_ended.cancelled() => ("the engine's clock", None),
        };
        let reason = ended.and_then(Result::err).map_or_else(|| "it ended unexpectedly".to_owned(), task_failure);
        format!("{part}: {reason}")
    }

    /// Stops: no further messages are received, those in flight are finished and settled. Work not finished within the grace period is
    /// dropped, and its messages are redelivered.
    pub async fn stop(mut self, grace: Duration) -> Stopped {
        self.stop.cancel();
        let finished = timeout(grace, async { while self.work.join_next().await.is_some() {} }).await;
        let held_up = if finished.is_ok() { Vec::new() } else { self.board.busy() };
        for who in &held_up {
            tracing::warn!(host = self.board.host, who, "grace period expired: messages in flight are redelivered");
        }
        self.work.shutdown().await;
        // Dropped tasks exist until they next yield; the consumers and their messages are released with them.
        self.tasks.close();
        if timeout(LONGEST_DROP, self.tasks.wait()).await.is_err() {
            tracing::warn!(host = self.board.host, tasks_count = self.tasks.len(), "tasks did not end");
        }
        self.end.cancel();
        while self.services.join_next().await.is_some() {}
        tracing::info!(host = self.board.host, "host stopped");
        Stopped { held_up }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("id", &self.board.host).finish_non_exhaustive()
    }
}

/// The registration with the follower: its handler only keeps the new state.
struct ConfigSubscription {
    handle: FollowerHandle,
    sender: Arc<watch::Sender<Arc<ConfigState>>>,
    registered: HandlerId,
    followed_types: FollowedTypes,
}

impl ConfigSubscription {
    fn new(handle: FollowerHandle, served: Served, sender: watch::Sender<Arc<ConfigState>>) -> Self {
        let sender = Arc::new(sender);
        let followed_types = types_to_follow(&served, &BTreeMap::new(), BTreeSet::new());
        let registered = register(&handle, followed_types.clone(), sender.clone());
        ConfigSubscription { handle, sender, registered, followed_types }
    }

    /// Follows other types from now on.
    fn follow(&mut self, followed_types: FollowedTypes) {
        if self.followed_types != followed_types {
            // In this order, so that the old handler cannot remove what the new one has set.
            self.handle.unregister(self.registered);
            self.registered = register(&self.handle, followed_types.clone(), self.sender.clone());
            self.followed_types = followed_types;
        }
    }
}

fn register(handle: &FollowerHandle, followed_types: FollowedTypes, sender: Arc<watch::Sender<Arc<ConfigState>>>) -> HandlerId {
    let FollowedTypes { types, prefix } = followed_types.clone();
    let store_state = move |change: Change| {
        sender.send_modify(|state| *state = Arc::new(state.after(change, Some(followed_types.clone()))));
        std::future::ready(Ok(()))
    };
    match prefix {
        Some(prefix) => handle.register_with_prefix(types, prefix, store_state),
        None => handle.register(types, store_state),
    }
}

/// Works towards the desired state.
struct Reconciler {
    subscription: ConfigSubscription,
    board: Arc<StatusBoard>,
    host: Arc<HostContext>,
    served: Served,
    desired_senders: BTreeMap<VariantKey, watch::Sender<Option<Desired>>>,
    supervisors: JoinSet<()>,
    removed: (mpsc::Sender<VariantKey>, mpsc::Receiver<VariantKey>),
    compiled: BTreeSet<Digest>,
    to_compile: mpsc::Sender<(Digest, u64)>,
    desired_state: DesiredState,
}

impl Reconciler {
    fn new(
        subscription: ConfigSubscription,
        board: Arc<StatusBoard>,
        host: Arc<HostContext>,
        served: Served,
        given: BTreeMap<String, GivenComponent>,
    ) -> Self {
        let (to_compile, digests) = mpsc::channel(1_024);
        let mut supervisors = JoinSet::new();
        supervisors.spawn(compile_ahead(host.clone(), digests));
        let (desired_senders, compiled) = (BTreeMap::new(), BTreeSet::new());
        Reconciler {
            subscription,
            board,
            host,
            served,
            desired_senders,
            supervisors,
            removed: mpsc::channel(64),
            compiled,
            to_compile,
            desired_state: DesiredState::new(given),
        }
    }

    async fn run(mut self) {
        let mut config = self.host.config.clone();
        let (mut in_use, stop) = (self.host.in_use.changes(), self.host.stop.clone());
        let first = config.borrow_and_update().clone();
        self.reconcile(&first);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = config.changed() => {
                    let state = config.borrow_and_update().clone();
                    self.reconcile(&state);
                }
                Ok(()) = in_use.changed() => self.follow(),
                removed = self.removed.1.recv() => self.forget(removed),
                never = supervisor_panic(&mut self.supervisors) => match never {},
            }
        }
        drop(self.desired_senders);
        // Supervisors that end may still report that they have nothing left to supervise.
        self.removed.1.close();
        while self.supervisors.join_next().await.is_some() {}
    }

    fn reconcile(&mut self, state: &ConfigState) {
        let Changes { variants, are_components_changed } = self.desired_state.update(state, &self.served);
        if are_components_changed {
            self.compile_deployed();
        }
        if !variants.is_empty() {
            self.follow();
        }
        for (key, desired) in variants {
            match (self.desired_senders.get(&key), desired) {
                (Some(sender), desired) => drop(sender.send_replace(desired)),
                (None, Some(desired)) => self.spawn_supervisor(key, desired),
                (None, None) => {}
            }
        }
    }

    fn follow(&mut self) {
        self.subscription.follow(types_to_follow(&self.served, self.desired_state.all(), self.host.in_use.names()));
    }

    fn spawn_supervisor(&mut self, key: VariantKey, desired: Desired) {
        let (sender, receiver) = watch::channel(Some(desired));
        let supervisor = VariantSupervisor {
            host: self.host.clone(),
            status: self.board.variant(&key),
            desired: receiver,
            consumed: Consumed::new(),
            removed: self.removed.0.clone(),
            running: None,
        };
        self.supervisors.spawn(supervisor.supervised());
        self.desired_senders.insert(key, sender);
    }

    /// Drops a supervisor that has nothing to supervise, unless it got something meanwhile.
    fn forget(&mut self, removed: Option<VariantKey>) {
        let Some(key) = removed else { return };
        if self.desired_senders.get(&key).is_some_and(|sender| sender.borrow().is_none()) {
            self.desired_senders.remove(&key);
            self.board.remove(&key);
        }
    }

    /// Compiles deployed components before they are needed.
    fn compile_deployed(&mut self) {
        let mut deployed = BTreeSet::new();
        let is_served = |key: &str| self.served.includes(parts_of_deployment_key(key).map_or(key, |(name, _)| name));
        for record in self.desired_state.deployments().usable(is_served) {
            deployed.insert(record.digest);
            if !self.compiled.contains(&record.digest) && self.to_compile.try_send((record.digest, record.size_bytes)).is_ok() {
                self.compiled.insert(record.digest);
            }
        }
        // The code of a removed component may be pruned: if it is deployed again, it is compiled again.
        self.compiled.retain(|digest| deployed.contains(digest));
    }
}

/// Waits for a supervisor that panics. Supervisors restart after a panic; one that panics even there means that the host has failed. Those
/// that end have nothing left to supervise.
async fn supervisor_panic(supervisors: &mut JoinSet<()>) -> Infallible {
    while let Some(ended) = supervisors.join_next().await {
        match ended.map_err(JoinError::try_into_panic) {
            Ok(()) => {}
            Err(Ok(payload)) => std::panic::resume_unwind(payload),
            Err(Err(error)) => tracing::error!(error = %chain(&error), "supervisor of a processor was cancelled"),
        }
    }
    std::future::pending().await
}

async fn compile_ahead(host: Arc<HostContext>, mut digests: mpsc::Receiver<(Digest, u64)>) {
    let work = async {
        while let Some((digest, size_bytes)) = digests.recv().await {
            let loaded = AssertUnwindSafe(host.loader.load(digest, size_bytes)).catch_unwind().await;
            if let Err(error) = loaded.map_or_else(|payload| Err(panic_text(&*payload)), |loaded| loaded.map_err(|error| chain(&error))) {
                tracing::warn!(%digest, error, "deployed component not loaded");
            }
        }
    };
    host.stop.run_until_cancelled(work).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions};

    #[tokio::test]
    async fn a_supervisor_that_panics_after_another_has_ended_is_noticed() {
        let mut supervisors = JoinSet::new();
        supervisors.spawn(async {});
        let watching = tokio::spawn(async move {
            supervisors.join_next().await;
            supervisors.spawn(async {});
            supervisors.spawn(async {
                tokio::task::yield_now().await;
                panic!("ordered by a test");
            });
            supervisor_panic(&mut supervisors).await
        });
        let ended = timeout(Duration::from_secs(20), watching).await.unwrap();
        assert_eq!(task_failure(ended.unwrap_err()), "panic: ordered by a test");
    }

    type BreakPart = fn(&mut Host);

    #[tokio::test]
    async fn a_host_fails_when_its_loop_services_or_clock_end() {
        let folder = tempfile::tempdir().unwrap();
        let broker = EmbeddedBroker::open(&folder.path().join("queues"), EmbeddedOptions::default()).unwrap();
        let config = ConfigClient::connect(broker.clone(), "tg").await.unwrap();
        let settings = HostSettings {
            id: "host".to_owned(),
            name: "host".to_owned(),
            machine: "test".to_owned(),
            topicspace: "tg".to_owned(),
            components: Arc::new(weir_config::ComponentFolder::new(folder.path().join("components"))),
            code_cache: folder.path().join("cache"),
            served: Served::All,
            given: BTreeMap::new(),
            cache_bytes: None,
            instances_count: 4,
            outputs_bytes: DEFAULT_OUTPUTS_BYTES,
            dead_letters_max_bytes: 256 << 20,
            defaults: ComponentDefaults::default(),
        };
        let breaks: [(BreakPart, &str); 3] = [
            (|host| host.work.abort_all(), "the reconcile loop: it was cancelled"),
            (|host| host.services.abort_all(), "the configuration's follower or the status reporter: it was cancelled"),
            (|host| host.ticker_ended.cancel(), "the engine's clock: it ended unexpectedly"),
        ];
        for (break_it, reason) in breaks {
            let mut host = Host::start(broker.clone(), config.clone(), settings.clone()).await.unwrap();
            assert!(timeout(Duration::from_millis(1), host.failed()).await.is_err());
            break_it(&mut host);
            assert_eq!(timeout(Duration::from_secs(20), host.failed()).await.unwrap(), reason);
            assert_eq!(host.stop(Duration::from_secs(1)).await, Stopped::default());
        }
    }
}
