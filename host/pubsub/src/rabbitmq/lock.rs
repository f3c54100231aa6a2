//! Locks: an exclusive consumer of a queue that serves no other purpose. It is declared a classic queue, whatever the virtual host's default, since
//! quorum queues ignore exclusivity. It is bound to nothing and never deleted.

use std::sync::Arc;

use futures_util::StreamExt;
use lapin::Channel;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde::Deserialize;
use tokio::time::timeout;

use super::broker_error::{BrokerError, BrokerErrorKind};
use super::channel_pool::{CALL_TIME, call, open};
use super::management::Management;
use super::names;
use super::shared::Shared;
use crate::backend::{LockHolder, LockName};
use crate::error::{PubsubError, Result};
use crate::network::{HeldLock, LockState, closed};

/// Takes the lock, on a channel of the connection for consuming, so that a service that loses its requests loses its lock too.
pub(super) async fn take(shared: &Arc<Shared>, name: &LockName) -> Result<HeldLock> {
    let queue = names::lock(name)?;
    let refused = |refusal| refused(name, &shared.vhost, refusal);
    shared.lifecycle.declare_lock(&queue, of_its_own(), arguments()).await?.map_err(refused)?;
    let up = shared.consuming.up()?;
    let channel = open(&shared.consuming, &up).await?;
    let exclusive = BasicConsumeOptions { exclusive: true, no_ack: true, ..BasicConsumeOptions::default() };
    let consumed = channel.basic_consume(queue, tag()?, exclusive, FieldTable::default());
    let stream = call(&shared.consuming, "taking a lock", consumed).await.map_err(refused)?;
    let (held, lock_state) = HeldLock::new();
    let task = LockTask { shared: shared.clone(), channel, link_number: up.number, lock_state };
    tokio::spawn(task.run(stream));
    Ok(held)
}

/// The task of a held lock.
struct LockTask {
    shared: Arc<Shared>,
    channel: Channel,
    link_number: u64,
    lock_state: LockState,
}

impl LockTask {
    async fn run(self, mut stream: lapin::Consumer) {
        let ended = || PubsubError::unavailable("the broker closed the consumer of the lock: its queue or the node of it is gone");
        loop {
            let reason = tokio::select! {
                biased;
                () = self.lock_state.left.cancelled() => break,
                () = self.shared.consuming.gone(self.link_number) => self.shared.consuming.lost(self.link_number).unwrap_or_else(closed),
                delivery = stream.next() => match delivery {
                    // A message was published to it, which does not affect the lock.
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => BrokerError::from(error).plain(),
                    None => self.shared.consuming.lost(self.link_number).unwrap_or_else(ended),
                },
            };
            self.lock_state.losing.send_replace(Some(reason));
            break;
        }
        let _ = timeout(CALL_TIME, self.channel.close(200, "done".into())).await;
    }
}

/// Which process holds the lock, as far as the broker reports it.
pub(super) async fn holder(shared: &Shared, name: &LockName) -> Result<Option<LockHolder>> {
    let queue = names::lock(name)?;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let refused = |refusal| refused(name, &shared.vhost, refusal);
    match shared.lifecycle.declare_lock(&queue, passive, FieldTable::default()).await? {
        Ok(_) => {}
        Err(refusal) if refusal.kind == BrokerErrorKind::NotFound => return Ok(None),
        Err(refusal) => return Err(refused(refusal)),
    }
    // The queue exists, so this creates nothing; unlike a passive declaration it shows whether the queue can be a lock.
    let seen = shared.lifecycle.declare_lock(&queue, of_its_own(), arguments()).await?.map_err(refused)?;
    if seen.consumer_count == 0 {
        return Ok(None);
    }
    let process = match &shared.management {
        Some(management) => process(management, name).await?,
        None => None,
    };
    Ok(Some(LockHolder { process }))
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    consumer_details: Vec<ConsumerDetails>,
}

#[derive(Deserialize)]
struct ConsumerDetails {
    consumer_tag: String,
}

/// The process that the management API reports as the consumer.
async fn process(management: &Management, name: &LockName) -> Result<Option<String>> {
    let details: Option<Details> = management.get(&["queues", &management.vhost, &name.wire_name()], &[]).await?;
    Ok(details
        .and_then(|details| details.consumer_details.into_iter().next())
        .map(|consumer| crate::error_text::shown(&consumer.consumer_tag)))
}

/// The consumer tag, which identifies the machine and the process that hold the lock in the broker's tools.
fn tag() -> Result<ShortString> {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine: String = machine.trim().chars().filter(char::is_ascii_graphic).take(100).collect();
    let machine = if machine.is_empty() { "unknown machine" } else { &machine };
    names::short("the name of a consumer", &format!("process {} on {machine}", std::process::id()))
}

fn of_its_own() -> QueueDeclareOptions {
    QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() }
}

fn arguments() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
    arguments
}

/// Why this process does not get the lock, with the fix.
fn refused(name: &LockName, vhost: &str, refusal: BrokerError) -> PubsubError {
    let text = refusal.text();
    match refusal.kind {
        BrokerErrorKind::Held => PubsubError::LockHeld { lock: name.clone() },
        BrokerErrorKind::Mismatch | BrokerErrorKind::TransientDenied => PubsubError::refused(format!(
            "queue {name} is not the queue of a lock ({text}), so no process can take the lock: delete it with rabbitmqctl delete_queue -p '{vhost}' '{name}'"
        )),
        BrokerErrorKind::NodeDown | BrokerErrorKind::TimedOut => PubsubError::unavailable_because(
            format!(
                "no process can take lock {name} while the node of its queue is down: start that node, or remove it permanently with \
                     rabbitmqctl forget_cluster_node"
            ),
            BrokerReply(text.to_owned()),
        ),
        _ => refusal.plain(),
    }
}

/// The broker's response.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BrokerReply(String);
