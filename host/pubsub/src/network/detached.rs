//! Operations of several steps that go on when their callers give up.

use tokio_util::task::TaskTracker;

use crate::error::{PubsubError, Result};

/// Does an operation of several steps in a task of its own: it is done whole, and what it returns is dropped, when its caller gives up.
///
/// # Errors
/// Those of the operation; `Unavailable` when it panicked.
pub(crate) async fn run_detached<T: Send + 'static>(
    operations: &TaskTracker,
    what: &'static str,
    operation: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let done = operations.spawn(operation).await;
    done.unwrap_or_else(|error| Err(PubsubError::unavailable_because(format!("{what} was aborted"), error)))
}
