//! Queues with a bound of their own, on brokers that may not support such bounds.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::backend::{Backend, Overflow, QueueSpec};
use crate::error::{PubsubError, Result};
use crate::lock::lock;
use crate::topic::Queue;

/// Queues whose missing bound was logged. Cleared above this many names, since flows come and go.
static LOGGED: Mutex<BTreeSet<Queue>> = Mutex::new(BTreeSet::new());
const LOGGED_COUNT: usize = 10_000;

/// As [`Backend::create_queue`]; if the broker does not support the bound, the queue is created without it, and a warning is logged once for each
/// queue.
///
/// # Errors
/// As [`Backend::create_queue`], except `Unsupported` because of the bound.
pub async fn create_bounded(backend: &dyn Backend, spec: &QueueSpec) -> Result<()> {
    match backend.create_queue(spec).await {
        Err(PubsubError::Unsupported { what }) if spec.overflow != Overflow::None => backend.create_queue(&unbounded(spec, what)).await,
        made => made,
    }
}

/// As [`Backend::ensure_queue`]; if the broker does not support the bound, the queue is ensured without it, and a warning is logged once for each
/// queue.
///
/// # Errors
/// As [`Backend::ensure_queue`], except `Unsupported` because of the bound.
pub async fn ensure_bounded(backend: &dyn Backend, spec: &QueueSpec) -> Result<()> {
    match backend.ensure_queue(spec).await {
        Err(PubsubError::Unsupported { what }) if spec.overflow != Overflow::None => backend.ensure_queue(&unbounded(spec, what)).await,
        made => made,
    }
}

fn unbounded(spec: &QueueSpec, lacking: &str) -> QueueSpec {
    if is_first(&spec.queue) {
        let next = "weir doctor shows whether it can be set up";
        tracing::warn!(queue = %spec.queue, bound = %spec.overflow, lacking, next, "queue limit not supported by the broker; the queue has \
             none");
    }
    QueueSpec::new(spec.queue.clone())
}

/// Queues are ensured repeatedly; a missing bound is logged once for each.
fn is_first(queue: &Queue) -> bool {
    let mut logged = lock(&LOGGED);
    if logged.len() >= LOGGED_COUNT {
        logged.clear();
    }
    logged.insert(queue.clone())
}
