//! Executes plans: start with rollback, stop in two phases, and completing or rolling back interrupted operations.
//!
//! Every operation holds its flow's lock; code that reads, decides and writes also holds the writer's lock, so that two flows that share a queue or
//! an entry see each other. The latter is not held while an operation waits for processors or for queues that cannot be deleted yet, but it is while
//! the broker creates the queues of a start and examines those that no flow uses.

mod completed;
mod locks;
mod orphans;
mod queues;
mod registry;
mod resume;
mod snapshot;
mod start;
mod stop;
mod stop_if_empty;
mod stored;
mod swap;

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weir_config::{Change, ConfigClient, Follower};
use weir_pubsub::Backend;

use crate::component_failures::Refusals;
use crate::error::{FlowError, Result};
use crate::plan::Exits;
use crate::protocol::FLOW_TYPE;
use crate::settings::FlowSettings;
use crate::writes::Writes;

use completed::CompletedRequests;
use locks::FlowLocks;
use registry::FlowRegistry;

pub(crate) use orphans::OrphanAction;
pub(crate) use start::StartRequest;

/// Executes plans for one service while it leads.
pub(crate) struct Lifecycle {
    backend: Arc<dyn Backend>,
    config: ConfigClient,
    pub(crate) writes: Writes,
    settings: FlowSettings,
    /// Only one operation at a time reads the state, decides and writes.
    writer: Mutex<()>,
    flows: FlowLocks,
    failed_starts: FailedStarts,
    done: CompletedRequests,
    /// The flows, kept up to date by a follower.
    known: Arc<FlowRegistry>,
    following: FlowFollower,
    /// The components that hosts cannot run.
    pub(crate) refusals: Refusals,
    /// Ends waits when the service shuts down.
    token: CancellationToken,
}

impl Lifecycle {
    /// Starts following the flows, until it is dropped.
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        config: ConfigClient,
        topicspace: &str,
        settings: FlowSettings,
        writes: Writes,
        token: CancellationToken,
    ) -> Result<Self> {
        let known = Arc::new(FlowRegistry::default());
        let following = FlowFollower::begin(Follower::new(backend.clone(), topicspace, config.clone()), &known)?;
        Ok(Lifecycle {
            done: CompletedRequests::new(config.clone()),
            known,
            following,
            writes,
            backend,
            config,
            settings,
            writer: Mutex::default(),
            flows: FlowLocks::default(),
            failed_starts: FailedStarts::default(),
            refusals: Refusals::default(),
            token,
        })
    }

    fn kept_exits(&self) -> Exits {
        Exits::Keep { limit_bytes: self.settings.exit_limit_bytes }
    }
}

/// The running follower of the flows; it ends when this is dropped.
struct FlowFollower {
    /// The version of the configuration at which the flows are known.
    version: watch::Receiver<u64>,
    _task: JoinSet<()>,
}

impl FlowFollower {
    fn begin(follower: weir_config::Result<Follower>, known: &Arc<FlowRegistry>) -> Result<Self> {
        let follower = follower.map_err(FlowError::config("following the flows"))?.on([FLOW_TYPE], {
            let known = known.clone();
            move |change: Change| {
                change.types.get(FLOW_TYPE).into_iter().for_each(|records| known.take_over(change.version, records));
                std::future::ready(Ok(()))
            }
        });
        let version = follower.version();
        let mut task = JoinSet::new();
        task.spawn(follower.run(CancellationToken::new()));
        Ok(FlowFollower { version, _task: task })
    }
}

/// Flows whose start was answered with an error and could not be rolled back yet.
#[derive(Default)]
struct FailedStarts(std::sync::Mutex<BTreeSet<String>>);

impl FailedStarts {
    fn insert(&self, id: &str) {
        self.ids().insert(id.to_owned());
    }

    fn remove(&self, id: &str) {
        self.ids().remove(id);
    }

    fn contains(&self, id: &str) -> bool {
        self.ids().contains(id)
    }

    fn ids(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
