//! Locks: an exclusive producer of a topic that serves no other purpose. Nothing is published to it, and it is deleted with its last client.
//!
//! Not an exclusive consumer: if one subscribes at the moment another ends, the broker forgets it, and then admits a second one (4.0.7).

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::broker_error::BrokerErrorKind;
use super::names::TopicName;
use super::session::Session;
use super::shared::Shared;
use super::subscription::process;
use super::wire::{Ended, Failure, ProducerEvent};
use crate::backend::{LockHolder, LockName};
use crate::error::{PubsubError, Result};
use crate::error_text::shown;
use crate::network::{HeldLock, LockState, closed};

/// Takes the lock, on the connection for consuming, so that a service that loses its requests loses its lock too.
pub(super) async fn take(shared: &Arc<Shared>, name: &LockName) -> Result<HeldLock> {
    shared.check_up()?;
    let topic_name = TopicName::of_lock(name)?;
    // One at a time: concurrent calls would create the topic several times.
    let _lock = shared.lifecycle.lock_topic(&topic_name).await;
    let url = topic_name.url();
    let take = || Session::exclusive(&shared.consuming, &url, Some(format!("{} {:08x}", process(), rand::random::<u32>())));
    let taken = match take().await {
        Err(Failure::Refused(refusal)) if refusal.kind == BrokerErrorKind::NotFound => {
            shared.admin.make_topic(&topic_name).await?;
            take().await
        }
        taken => taken,
    };
    let session = taken.map_err(|failure| match failure {
        Failure::Refused(refusal) if refusal.kind == BrokerErrorKind::Fenced => PubsubError::LockHeld { lock: name.clone() },
        failure => failure.plain(),
    })?;
    let (held, lock_state) = HeldLock::new();
    shared.pumps.spawn(keep(shared.closed.clone(), session, lock_state));
    Ok(held)
}

/// The task of a held lock.
async fn keep(closing: CancellationToken, mut session: Session, lock_state: LockState) {
    let reason = loop {
        tokio::select! {
            biased;
            () = lock_state.left.cancelled() => break None,
            () = closing.cancelled() => break Some(closed()),
            heard = session.events.recv() => match heard {
                Some(ProducerEvent::Stored(_) | ProducerEvent::Refused(..)) => {}
                Some(ProducerEvent::Closed) => {
                    let ended = Ended("its topic is moving to another node, or an administrator closed it".to_owned());
                    break Some(PubsubError::unavailable_because("the broker closed the lock", ended));
                }
                None => break Some(session.wire.reason()),
            },
        }
    };
    if reason.is_some() {
        lock_state.losing.send_replace(reason);
    }
    session.close().await;
}

/// Which process holds the lock, as far as the broker reports it.
pub(super) async fn holder(shared: &Shared, name: &LockName) -> Result<Option<LockHolder>> {
    shared.check_up()?;
    let stats = shared.admin.stats(&TopicName::of_lock(name)?).await?.unwrap_or_default();
    Ok(stats.publishers.first().map(|holder| {
        let at = if holder.address.is_empty() { String::new() } else { format!(" ({})", shown(&holder.address)) };
        // Without the number that makes the name unique.
        let process = holder.producer_name.rsplit_once(' ').map_or(holder.producer_name.as_str(), |(process, _)| process);
        LockHolder { process: Some(format!("{}{at}", shown(process))) }
    }))
}
