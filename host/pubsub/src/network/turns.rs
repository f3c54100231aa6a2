//! Turns: who changes a queue or a topic of the broker waits for those who do so already.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use tokio::sync::OwnedMutexGuard;

use crate::lock::lock;

/// The turns of one backend.
#[derive(Debug)]
pub(crate) struct Turns<K>(Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>);

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Turns(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> Turns<K> {
    /// Waits for the turn, which lasts until what is returned is dropped.
    ///
    /// # Cancel safety
    /// Yes: the turn goes to the next.
    pub(crate) async fn take(&self, of: &K) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = lock(&self.0);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            turns.entry(of.clone()).or_default().clone()
        };
        turn.lock_owned().await
    }
}
