//! The limit on producers' messages in flight, and the error for a message that gets no permit.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::link::{Blocked, Link};
use crate::error::{PubsubError, Result};
use crate::network::closed;

/// The maximum number of producers' messages in flight, all producers together.
const MAX_IN_FLIGHT_COUNT: usize = 2048;
/// How long a publish waits for its permit while the broker accepts no messages, or accepts them slowly.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The limit shared by producers.
pub(super) struct PublishPermits {
    free: Arc<Semaphore>,
    blocked: watch::Receiver<Option<Blocked>>,
}

impl PublishPermits {
    pub(super) fn of(link: &Link) -> Self {
        PublishPermits { free: Arc::new(Semaphore::new(MAX_IN_FLIGHT_COUNT)), blocked: link.blocked() }
    }

    /// Waits for a permit.
    pub(super) async fn take(&self) -> Result<OwnedSemaphorePermit> {
        let mut blocked = self.blocked.clone();
        let permit = async {
            // A blocked broker would store the message long after its sender gave up.
            let _ = blocked.wait_for(Option::is_none).await;
            self.free.clone().acquire_owned().await
        };
        match timeout(PERMIT_TIMEOUT, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(no_permit(self.blocked.borrow().as_ref())),
        }
    }

    /// Waits until nothing is in flight.
    pub(super) async fn quiet(&self) {
        let _ = self.free.acquire_many(MAX_IN_FLIGHT_COUNT as u32).await;
    }
}

/// Why a message was not sent.
pub(super) fn no_permit(blocked: Option<&Blocked>) -> PubsubError {
    PubsubError::unavailable(match blocked {
        Some(Blocked { reason, .. }) => format!("the broker accepts no messages ({reason}): free memory or disk space on its nodes"),
        None => format!("the broker confirms too slowly: {MAX_IN_FLIGHT_COUNT} messages are unconfirmed"),
    })
}
