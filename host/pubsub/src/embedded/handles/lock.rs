//! Locks within the process that has opened the broker.

use std::sync::Arc;

use async_trait::async_trait;

use super::super::commit::Shared;
use super::super::refusal::closed;
use crate::backend::{Lock, LockHolder, LockName};
use crate::error::{PubsubError, Result};
use crate::lock::lock;

/// A held lock.
pub(crate) struct HeldLock {
    shared: Arc<Shared>,
    name: LockName,
}

impl Shared {
    /// Takes a lock.
    pub(crate) fn take_lock(self: &Arc<Self>, name: &LockName) -> Result<HeldLock> {
        lock(&self.state).check_open()?;
        if !lock(&self.locks).insert(name.clone()) {
            return Err(PubsubError::LockHeld { lock: name.clone() });
        }
        Ok(HeldLock { shared: self.clone(), name: name.clone() })
    }

    /// Which process holds a lock: this one, if it is held at all.
    pub(crate) fn lock_holder(&self, name: &LockName) -> Result<Option<LockHolder>> {
        lock(&self.state).check_open()?;
        let is_held = lock(&self.locks).contains(name);
        Ok(is_held.then(|| LockHolder { process: Some(format!("process {}", std::process::id())) }))
    }
}

#[async_trait]
impl Lock for HeldLock {
    async fn lost(&mut self) -> PubsubError {
        let (mut ended, mut failed) = (self.shared.ended.subscribe(), self.shared.failed.subscribe());
        tokio::select! {
            _ = ended.wait_for(|has_ended| *has_ended) => closed(),
            _ = failed.wait_for(Option::is_some) => closed(),
        }
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        lock(&self.shared.locks).remove(&self.name);
    }
}
