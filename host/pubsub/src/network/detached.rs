//! Operations of several steps that continue when their callers give up.

use tokio_util::task::TaskTracker;

use crate::error::{PubsubError, Result};

/// Runs an operation of several steps in a task of its own. If the caller gives up, the operation still completes and its result is dropped.
///
/// # Errors
/// Those of the operation; `Unavailable` if it panicked.
pub(crate) async fn run_detached<T: Send + 'static>(
    operations: &TaskTracker,
    what: &'static str,
    operation: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let done = operations.spawn(operation).await;
    done.unwrap_or_else(|error| Err(PubsubError::unavailable_because(format!("{what} was aborted"), error)))
}
