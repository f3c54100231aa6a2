//! What all variants of a host share. It is the only context of the crate: what belongs to one variant, one input or one program is held by the
//! supervisor, the intake or the program itself, beside a reference to this.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_config::records::ComponentDefaults;
use weir_pubsub::{Backend, QueueSpec};

use crate::component::Loader;
use crate::config_state::ConfigState;
use crate::in_use::TypesInUse;
use crate::output_budget::OutputBudget;
use crate::variant::ProgramEnvironment;

/// What all variants of a host share.
pub(crate) struct HostContext {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) loader: Arc<Loader>,
    pub(crate) config: watch::Receiver<Arc<ConfigState>>,
    /// The config types that must be followed for running work.
    pub(crate) in_use: TypesInUse,
    /// The dead-letter queue with its limit, which is created if missing.
    pub(crate) dead_letters: QueueSpec,
    /// Cancelled when the host stops.
    pub(crate) stop: CancellationToken,
    /// Tracks all tasks that hold consumers.
    pub(crate) tasks: TaskTracker,
    /// The defaults where a deployment gives no value.
    pub(crate) defaults: ComponentDefaults,
    /// The budget of unsettled outputs of all processors together.
    pub(crate) output_budget: OutputBudget,
}

impl HostContext {
    /// The environment of one more program.
    pub(crate) fn program_environment(&self) -> ProgramEnvironment {
        ProgramEnvironment { backend: self.backend.clone(), stop: self.stop.child_token(), defaults: self.defaults.clone() }
    }
}
