//! Carrying plans out: start with undo, stop in two phases, and finishing or undoing what was left between.
//!
//! Every operation holds its flow's lock; what reads, decides and writes also holds the writer's lock, so that two flows that share a queue
//! or an entry see each other. Nobody waits for processors or for queues that resist while holding the latter.

mod locks;
mod queues;
mod refuse;
mod resume;
mod start;
mod stop;
mod swap;
mod world;

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use weir_config::ConfigClient;
use weir_pubsub::Backend;

use crate::plan::Exits;
use crate::refusals::Refusals;
use crate::settings::FlowSettings;

use locks::FlowLocks;

pub(crate) use start::Start;

/// What carries plans out.
pub(crate) struct Lifecycle {
    backend: Arc<dyn Backend>,
    config: ConfigClient,
    settings: FlowSettings,
    /// One at a time reads the world, decides and writes.
    writer: Mutex<()>,
    flows: FlowLocks,
    failed_starts: FailedStarts,
    /// What hosts cannot run.
    pub(crate) refusals: Refusals,
    /// Ends waits when the service shuts down.
    token: CancellationToken,
}

impl Lifecycle {
    pub(crate) fn new(backend: Arc<dyn Backend>, config: ConfigClient, settings: FlowSettings, token: CancellationToken) -> Self {
        Lifecycle {
            backend,
            config,
            settings,
            writer: Mutex::default(),
            flows: FlowLocks::default(),
            failed_starts: FailedStarts::default(),
            refusals: Refusals::default(),
            token,
        }
    }

    fn kept_exits(&self) -> Exits {
        Exits::Keep { limit_bytes: self.settings.exit_limit_bytes }
    }
}

/// Flows whose start was answered with an error and could not be undone yet.
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
