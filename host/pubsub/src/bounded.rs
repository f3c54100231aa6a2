//! Queues with a bound of their own, on brokers that may not have such bounds.

use crate::backend::{Backend, Overflow, QueueSpec};
use crate::error::{PubsubError, Result};

/// As [`Backend::create_queue`]; where the broker does not support the bound, the queue is made without it, and a warning is logged.
///
/// # Errors
/// As [`Backend::create_queue`], except `Unsupported` because of the bound.
pub async fn create_bounded(backend: &dyn Backend, spec: &QueueSpec) -> Result<()> {
    match backend.create_queue(spec).await {
        Err(PubsubError::Unsupported { .. }) if spec.overflow != Overflow::None => backend.create_queue(&unbounded(spec)).await,
        made => made,
    }
}

/// As [`Backend::ensure_queue`]; where the broker does not support the bound, the queue is ensured without it, and a warning is logged.
///
/// # Errors
/// As [`Backend::ensure_queue`], except `Unsupported` because of the bound.
pub async fn ensure_bounded(backend: &dyn Backend, spec: &QueueSpec) -> Result<()> {
    match backend.ensure_queue(spec).await {
        Err(PubsubError::Unsupported { .. }) if spec.overflow != Overflow::None => backend.ensure_queue(&unbounded(spec)).await,
        made => made,
    }
}

fn unbounded(spec: &QueueSpec) -> QueueSpec {
    tracing::warn!(queue = %spec.queue, bound = %spec.overflow, "broker does not support the bound of a queue; the queue has none");
    QueueSpec::new(spec.queue.clone())
}
