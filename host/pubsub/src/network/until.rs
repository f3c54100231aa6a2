//! Waiting for a change of what several tasks share.

use std::pin::pin;
use std::sync::Mutex;

use tokio::sync::Notify;

use crate::lock::lock;

/// Waits until something is found in a state, which is looked for at each change of it.
///
/// # Cancel safety
/// Yes: what was found is returned, or was not taken.
pub(crate) async fn until<S, T>(state: &Mutex<S>, changed: &Notify, mut found: impl FnMut(&mut S) -> Option<T>) -> T {
    // Most often it is there, and nothing has to be waited for.
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
