//! Mutexes by key: changes of one queue or topic of the broker are serialised.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use tokio::sync::OwnedMutexGuard;

use crate::lock::lock;

/// The mutexes of one backend.
#[derive(Debug)]
pub(crate) struct KeyedLocks<K>(Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>);

impl<K> Default for KeyedLocks<K> {
    fn default() -> Self {
        KeyedLocks(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> KeyedLocks<K> {
    /// Locks a key, until the returned guard is dropped.
    ///
    /// # Cancel safety
    /// Yes: the lock passes to the next waiter.
    pub(crate) async fn take(&self, of: &K) -> OwnedMutexGuard<()> {
        let key_lock = {
            let mut locks = lock(&self.0);
            locks.retain(|_, key_lock| Arc::strong_count(key_lock) > 1);
            locks.entry(of.clone()).or_default().clone()
        };
        key_lock.lock_owned().await
    }
}
