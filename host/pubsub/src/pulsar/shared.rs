//! State shared by the parts of one backend.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admin::Admin;
use super::cluster_check::ClusterCheck;
use super::consumers::Consumers;
use super::lifecycle::Lifecycle;
use super::link::Link;
use super::publisher::Publishers;
use super::publishing::Publishing;
use crate::error::Result;
use crate::limits::Limits;
use crate::network::closed;

/// State shared by the parts of one backend.
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) consuming: Arc<Link>,
    pub(super) publishing: Arc<Publishing>,
    pub(super) admin: Arc<Admin>,
    pub(super) cluster_check: ClusterCheck,
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) publishers: Arc<Publishers>,
    pub(super) consumers: Consumers,
    /// Held while selected messages are removed from queues.
    pub(super) looks: Arc<tokio::sync::Mutex<()>>,
    /// The tasks of consumers, subscribers and locks.
    pub(super) pumps: TaskTracker,
    /// Operations of several steps that are in progress: they continue when their callers give up.
    pub(super) operations: TaskTracker,
    pub(super) closed: CancellationToken,
}

impl Shared {
    /// # Errors
    /// `Unavailable` once it is closed.
    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed.is_cancelled() { Err(closed()) } else { Ok(()) }
    }

    /// # Errors
    /// `Unavailable` once it is closed, and while the broker is not connected.
    pub(super) fn check_up(&self) -> Result<()> {
        self.check_open()?;
        self.consuming.up().map(|_| ())
    }
}
