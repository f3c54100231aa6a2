//! How many messages of producers may be under way, and what a message hears that gets no place among them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::link::{Blocked, Link};
use crate::error::{PubsubError, Result};
use crate::network::closed;

/// How many messages of producers may be on their way, of all together.
const MAX_IN_FLIGHT_COUNT: usize = 2048;
/// How long a publish waits for its place while the broker takes no messages, or takes them slowly.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// What producers share: how many messages may be under way.
pub(super) struct PublishPermits {
    free: Arc<Semaphore>,
    blocked: watch::Receiver<Option<Blocked>>,
}

impl PublishPermits {
    pub(super) fn of(link: &Link) -> Self {
        PublishPermits { free: Arc::new(Semaphore::new(MAX_IN_FLIGHT_COUNT)), blocked: link.blocked() }
    }

    /// Waits for a place.
    pub(super) async fn take(&self) -> Result<OwnedSemaphorePermit> {
        let mut blocked = self.blocked.clone();
        let permit = async {
            // What is given to a broker that takes nothing would be sent long after its sender gave up.
            let _ = blocked.wait_for(Option::is_none).await;
            self.free.clone().acquire_owned().await
        };
        match timeout(PERMIT_TIMEOUT, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(no_permit(self.blocked.borrow().as_ref())),
        }
    }

    /// Waits until nothing is under way.
    pub(super) async fn quiet(&self) {
        let _ = self.free.acquire_many(MAX_IN_FLIGHT_COUNT as u32).await;
    }
}

/// Why a message is not sent.
pub(super) fn no_permit(blocked: Option<&Blocked>) -> PubsubError {
    PubsubError::unavailable(match blocked {
        Some(Blocked { reason, .. }) => format!("the broker accepts no messages ({reason}): free memory or disk space on its nodes"),
        None => format!("the broker confirms too slowly: {MAX_IN_FLIGHT_COUNT} messages are unconfirmed"),
    })
}
