//! Waiting for a change of state shared by several tasks.

use std::pin::pin;
use std::sync::Mutex;

use tokio::sync::Notify;

use crate::lock::lock;

/// Waits until `found` returns a value; it is called now and after each change of the state.
///
/// # Cancel safety
/// Yes: the value was either returned or not taken.
pub(crate) async fn until<S, T>(state: &Mutex<S>, changed: &Notify, mut found: impl FnMut(&mut S) -> Option<T>) -> T {
    // Usually there is nothing to wait for.
    if let Some(found) = found(&mut lock(state)) {
        return found;
    }
    loop {
        let mut notified = pin!(changed.notified());
        notified.as_mut().enable();
        if let Some(found) = found(&mut lock(state)) {
            return found;
        }
        notified.await;
    }
}
