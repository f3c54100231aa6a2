//! State shared by the parts of one backend.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::consumers::Consumers;
use super::lifecycle::Lifecycle;
use super::link::Link;
use super::management::Management;
use super::publish_permits::PublishPermits;
use super::publisher::Publisher;
use crate::error::Result;
use crate::limits::Limits;
use crate::network::closed;

/// State shared by the parts of one backend.
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) consuming: Arc<Link>,
    pub(super) publishing: Arc<Link>,
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) publisher: Publisher,
    pub(super) permits: Arc<PublishPermits>,
    pub(super) consumers: Consumers,
    /// Held while messages are inspected by getting them.
    pub(super) looks: Arc<tokio::sync::Mutex<()>>,
    /// The management API, if configured.
    pub(super) management: Option<Management>,
    pub(super) vhost: String,
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
}
