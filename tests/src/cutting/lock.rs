//! A lock that is lost with the connection.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weir_pubsub::{Lock, PubsubError};

use super::link::Link;
use super::wire::{Connection, lost};

pub(super) struct CuttingLock {
    lost: watch::Receiver<Option<PubsubError>>,
    left: CancellationToken,
}

impl CuttingLock {
    /// On top of a lock of the broker, which is released as soon as the connection is lost: the broker detects that, too.
    pub(super) fn over(link: Arc<Link>, mut inner: Box<dyn Lock>, connection: Connection) -> Self {
        let (losing, seen) = watch::channel(None);
        let left = CancellationToken::new();
        let leaving = left.clone();
        tokio::spawn(async move {
            let reason = tokio::select! {
                biased;
                () = leaving.cancelled() => return,
                () = link.consuming.loss(connection) => lost(),
                reason = inner.lost() => reason,
            };
            drop(inner);
            losing.send_replace(Some(reason));
        });
        CuttingLock { lost: seen, left }
    }
}

#[async_trait]
impl Lock for CuttingLock {
    async fn lost(&mut self) -> PubsubError {
        let reason = self.lost.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        reason.unwrap_or_else(lost)
    }
}

impl Drop for CuttingLock {
    fn drop(&mut self) {
        self.left.cancel();
    }
}
