//! One operation at a time on each flow.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

/// Locks by flow id. A lock lives as long as it is held or awaited.
#[derive(Default)]
pub(super) struct FlowLocks(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl FlowLocks {
    /// Waits until no other operation concerns the flow. The order is first come, first served.
    pub(super) async fn lock(&self, id: &str) -> OwnedMutexGuard<()> {
        self.of(id).lock_owned().await
    }

    /// The same, unless another operation is in progress.
    pub(super) fn try_lock(&self, id: &str) -> Option<OwnedMutexGuard<()>> {
        self.of(id).try_lock_owned().ok()
    }

    fn of(&self, id: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(id).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        locks.insert(id.to_owned(), Arc::downgrade(&lock));
        lock
    }
}
