//! Turns: who changes a queue or a topic of the broker waits for those who do so already.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use tokio::sync::OwnedMutexGuard;

use crate::lock::lock;

/// The turns of one backend.
#[derive(Debug)]
pub(crate) struct KeyedLocks<K>(Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>);

impl<K> Default for KeyedLocks<K> {
    fn default() -> Self {
        KeyedLocks(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> KeyedLocks<K> {
    /// Waits for the turn, which lasts until what is returned is dropped.
    ///
    /// # Cancel safety
    /// Yes: the turn goes to the next.
    pub(crate) async fn take(&self, of: &K) -> OwnedMutexGuard<()> {
        let key_lock = {
            let mut locks = lock(&self.0);
            locks.retain(|_, key_lock| Arc::strong_count(key_lock) > 1);
            locks.entry(of.clone()).or_default().clone()
        };
        key_lock.lock_owned().await
    }
}
