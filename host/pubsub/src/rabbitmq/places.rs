//! How many messages of producers may be under way, and what a message hears that gets no place among them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::link::{Blocked, Link};
use crate::error::{PubsubError, Result};
use crate::network::closed;

/// How many messages of producers may be on their way, of all together.
const UNDER_WAY_COUNT: usize = 2048;
/// How long a publish waits for its place while the broker takes no messages, or takes them slowly.
const PLACE_TIME: Duration = Duration::from_secs(10);

/// What producers share: how many messages may be under way.
pub(super) struct Places {
    free: Arc<Semaphore>,
    blocked: watch::Receiver<Option<Blocked>>,
}

impl Places {
    pub(super) fn of(link: &Link) -> Self {
        Places { free: Arc::new(Semaphore::new(UNDER_WAY_COUNT)), blocked: link.blocked() }
    }

    /// Waits for a place.
    pub(super) async fn take(&self) -> Result<OwnedSemaphorePermit> {
        let mut blocked = self.blocked.clone();
        let place = async {
            // What is given to a broker that takes nothing would be sent long after its sender gave up.
            let _ = blocked.wait_for(Option::is_none).await;
            self.free.clone().acquire_owned().await
        };
        match timeout(PLACE_TIME, place).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(no_place(self.blocked.borrow().as_ref())),
        }
    }

    /// Waits until nothing is under way.
    pub(super) async fn quiet(&self) {
        let _ = self.free.acquire_many(UNDER_WAY_COUNT as u32).await;
    }
}

/// Why a message is not sent.
pub(super) fn no_place(blocked: Option<&Blocked>) -> PubsubError {
    PubsubError::unavailable(match blocked {
        Some(Blocked { reason, .. }) => format!("the broker accepts no messages ({reason}): free memory or disk space on its nodes"),
        None => format!("the broker confirms too slowly: {UNDER_WAY_COUNT} messages are unconfirmed"),
    })
}
