//! Creation, lookup and deletion of queues: a topic and its subscriptions, by the admin API. Operations on one topic are serialized: a topic created
//! and deleted at the same time can end up in a state in which the broker neither uses nor deletes it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use super::admin::{Admin, Begin, Created, Quota};
use super::broker_error::BrokerErrorKind;
use super::link::Link;
use super::names::{TopicName, is_queue};
use super::session::Session;
use super::wire::Failure;
use crate::backend::{Backlog, Delete, Deletion, Overflow, QueueSpec};
use crate::error::{PubsubError, Result};
use crate::lock::lock;
use crate::network::KeyedLocks;
use crate::topic::{Class, Queue, Topic};

/// Bounds as topic policies.
pub(super) const DROP_OLDEST: &str = "consumer_backlog_eviction";
const REFUSE: &str = "producer_exception";
/// The policies that refuse publishes.
pub(super) const REFUSING: [&str; 2] = [REFUSE, "producer_request_hold"];
/// How often an unexpected bound is read again: policies reach all nodes with a delay.
const MAX_CHECKS_COUNT: u32 = 10;
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Cached knowledge about the broker's queues, and the mutexes for changing them.
pub(super) struct Lifecycle {
    pub(super) admin: Arc<Admin>,
    publishing: Arc<Link>,
    locks: KeyedLocks<TopicName>,
    /// Tenants whose topics were requested.
    tenants: Mutex<BTreeSet<String>>,
}

/// How to treat a queue that exists with another bound.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnMismatch {
    Refuse,
    Change,
}

impl Lifecycle {
    pub(super) fn new(admin: Arc<Admin>, publishing: Arc<Link>) -> Self {
        Lifecycle { admin, publishing, locks: KeyedLocks::default(), tenants: Mutex::default() }
    }

    /// The tenants of the queues found so far.
    pub(super) fn tenants(&self) -> Vec<String> {
        lock(&self.tenants).iter().cloned().collect()
    }

    /// Locks a topic for a change.
    pub(super) async fn lock_topic(&self, topic_name: &TopicName) -> OwnedMutexGuard<()> {
        self.locks.take(topic_name).await
    }

    pub(super) async fn create(&self, spec: &QueueSpec) -> Result<()> {
        self.make(spec, OnMismatch::Refuse).await
    }

    pub(super) async fn ensure(&self, spec: &QueueSpec) -> Result<()> {
        self.make(spec, OnMismatch::Change).await
    }

    async fn make(&self, spec: &QueueSpec, on_mismatch: OnMismatch) -> Result<()> {
        let queue = &spec.queue;
        if !queue.topic().class().has_queues() {
            return Ok(());
        }
        let topic_name = TopicName::of(queue.topic())?;
        let _lock = self.lock_topic(&topic_name).await;
        let made = self.admin.make_topic(&topic_name).await?;
        if queue.topic().class() == Class::Request {
            return match spec.overflow {
                Overflow::None => Ok(()),
                _ => Err(PubsubError::Unsupported { what: "limits of request queues" }),
            };
        }
        lock(&self.tenants).insert(topic_name.tenant.clone());
        // A topic without a queue is new too: the process creating it was stopped in between.
        let is_new = made == Created::New || self.queues(&topic_name).await?.is_none_or(|queues| queues.is_empty());
        self.bound(spec, &topic_name, is_new, on_mismatch).await?;
        // The broker still keeps some messages that the topic's existing queues have acknowledged.
        let begin = if is_new { Begin::Oldest } else { Begin::Newest };
        let subscribed = self.admin.make_subscription(&topic_name, queue.subscription().as_str(), begin).await?;
        if made == Created::Existed && is_new && subscribed == Created::New {
            let reason = "the topic existed without a queue";
            tracing::warn!(%queue, reason, "queue created again from the oldest stored message; acknowledged messages may be redelivered");
        }
        Ok(())
    }

    /// Checks or sets the bound of a topic, which all its queues share.
    async fn bound(&self, spec: &QueueSpec, topic_name: &TopicName, is_new: bool, on_mismatch: OnMismatch) -> Result<()> {
        let wanted = quota(spec.overflow);
        if is_new {
            return match wanted {
                Some(wanted) => self.set_quota(topic_name, &wanted).await,
                None => Ok(()),
            };
        }
        let found = self.settled_quota(topic_name, wanted.as_ref()).await?;
        match (&found, &wanted) {
            (found, wanted) if found == wanted => Ok(()),
            // Ensuring a queue without a bound keeps an existing bound.
            (Some(_), None) if on_mismatch == OnMismatch::Change => Ok(()),
            (None, Some(wanted)) | (Some(Quota { .. }), Some(wanted))
                if on_mismatch == OnMismatch::Change && is_refusing(&found, wanted) =>
            {
                self.set_quota(topic_name, wanted).await
            }
            _ => Err(PubsubError::QueueMismatch {
                queue: spec.queue.clone(),
                difference: format!("it has {}, but {} was requested", quota_text(found.as_ref()), quota_text(wanted.as_ref())),
            }),
        }
    }

    /// The bound of a topic, read again for a while unless it is the wanted one.
    async fn settled_quota(&self, topic_name: &TopicName, wanted: Option<&Quota>) -> Result<Option<Quota>> {
        let mut looks_count = MAX_CHECKS_COUNT;
        loop {
            let found = self.admin.quota(topic_name).await?;
            looks_count -= 1;
            if found.as_ref() == wanted || looks_count == 0 {
                return Ok(found);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Sets a bound, and waits until the broker reports it.
    async fn set_quota(&self, topic_name: &TopicName, wanted: &Quota) -> Result<()> {
        self.admin.set_quota(topic_name, Some(wanted)).await?;
        match self.settled_quota(topic_name, Some(wanted)).await? {
            Some(found) if found == *wanted => Ok(()),
            _ => {
                Err(PubsubError::unavailable(format!("the broker has accepted the limit of {} but does not show it yet", topic_name.url())))
            }
        }
    }

    /// The subscriptions of a topic that are queues; `None` if the topic does not exist.
    pub(super) async fn queues(&self, topic_name: &TopicName) -> Result<Option<Vec<String>>> {
        let found = self.admin.subscriptions(topic_name).await?;
        if found.is_some() {
            lock(&self.tenants).insert(topic_name.tenant.clone());
        }
        Ok(found.map(|found| found.into_iter().filter(|subscription| is_queue(subscription)).collect()))
    }

    /// Whether a topic has a queue; a `request` topic is its own queue.
    pub(super) async fn is_consumed(&self, topic: &Topic, topic_name: &TopicName) -> Result<bool> {
        let queues = self.queues(topic_name).await?;
        Ok(queues.is_some_and(|queues| topic.class() == Class::Request || !queues.is_empty()))
    }

    pub(super) async fn exists(&self, queue: &Queue) -> Result<bool> {
        if !queue.topic().class().has_queues() {
            return Ok(false);
        }
        let topic_name = TopicName::of(queue.topic())?;
        let queues = self.queues(&topic_name).await?;
        let is_it = |name: &String| name == queue.subscription().as_str();
        Ok(queues.is_some_and(|queues| queue.topic().class() == Class::Request || queues.iter().any(is_it)))
    }

    /// # Errors
    /// `QueueNotFound` if the queue does not exist.
    pub(super) async fn check_exists(&self, queue: &Queue) -> Result<()> {
        if self.exists(queue).await? { Ok(()) } else { Err(PubsubError::no_queue(queue)) }
    }

    /// Deletes a queue, and its topic with the last one. `held_count` returns how many of its requests this process holds; `deleted` is called after
    /// the deletion, before the queue can be created again.
    ///
    /// # Cancel safety
    /// None: a topic may be left without a queue. Callers run this in a task of its own.
    pub(super) async fn delete(
        &self,
        queue: &Queue,
        when: Delete,
        held_count: impl Fn() -> u64,
        deleted: impl FnOnce(),
    ) -> Result<Deletion> {
        if !queue.topic().class().has_queues() {
            return Ok(Deletion::Deleted);
        }
        let topic_name = TopicName::of(queue.topic())?;
        let _lock = self.lock_topic(&topic_name).await;
        let Some(queues) = self.queues(&topic_name).await? else { return Ok(Deletion::Deleted) };
        let is_there = queue.topic().class() == Class::Request || queues.iter().any(|name| name == queue.subscription().as_str());
        let deletion = match when {
            Delete::IfEmpty if is_there => self.delete_if_empty(queue, &topic_name, &queues, held_count()).await?,
            _ => self.delete_one(queue, &topic_name, &queues).await.map(|()| Deletion::Deleted)?,
        };
        if deletion == Deletion::Deleted {
            deleted();
        }
        Ok(deletion)
    }

    async fn delete_if_empty(&self, queue: &Queue, topic_name: &TopicName, queues: &[String], held_count: u64) -> Result<Deletion> {
        let fence = self.fence(topic_name).await?;
        let newest = if fence.is_none() { self.newest(topic_name).await? } else { None };
        let deletion = match self.backlog(queue, topic_name, held_count).await? {
            Some(backlog) => Deletion::NotEmpty(vec![backlog]),
            None => match self.delete_watched(queue, topic_name, queues, newest).await? {
                Some(backlog) => Deletion::NotEmpty(vec![backlog]),
                None => self.delete_one(queue, topic_name, queues).await.map(|()| Deletion::Deleted)?,
            },
        };
        if let Some(fence) = fence {
            fence.close().await;
        }
        Ok(deletion)
    }

    /// Deletes the queue of a topic that other processes may be publishing on. If they published since the inspection, the queue is created again
    /// with those messages.
    async fn delete_watched(
        &self,
        queue: &Queue,
        topic_name: &TopicName,
        queues: &[String],
        newest: Option<String>,
    ) -> Result<Option<Backlog>> {
        let Some(newest) = newest else { return Ok(None) };
        self.admin.delete_subscription(topic_name, queue.subscription().as_str()).await?;
        let now = self.newest(topic_name).await?;
        if now.as_ref() == Some(&newest) || now.is_none() {
            return Ok(None);
        }
        self.admin.make_subscription_behind(topic_name, queue.subscription().as_str(), &newest).await?;
        tracing::debug!(%queue, others_count = queues.len(), "messages were published during the inspection of the queue");
        Ok(Some(Backlog { queue: queue.clone(), count: None }))
    }

    /// The position of the newest message of a topic; `None` if the broker does not store its messages.
    async fn newest(&self, topic_name: &TopicName) -> Result<Option<String>> {
        if !topic_name.is_persistent {
            return Ok(None);
        }
        Ok(self.admin.internal_stats(topic_name).await?.map(|stats| stats.last_confirmed_entry))
    }

    async fn delete_one(&self, queue: &Queue, topic_name: &TopicName, queues: &[String]) -> Result<()> {
        let name = queue.subscription().as_str();
        if queue.topic().class() == Class::Request {
            return match self.has_other_readers(topic_name, name).await? {
                true => Ok(()),
                false => self.admin.delete_topic(topic_name).await,
            };
        }
        if queues.iter().any(|queue| queue == name) {
            self.admin.delete_subscription(topic_name, name).await?;
        }
        // Queues that others created meanwhile stay.
        if self.queues(topic_name).await?.is_some_and(|left| left.is_empty()) {
            // If this fails, nothing can be published to the topic, and a repeated deletion finds it.
            return match self.admin.delete_topic(topic_name).await {
                // Another program created it as a partitioned topic.
                Err(_) if self.admin.is_partitioned(topic_name).await? => Ok(()),
                deleted => deleted,
            };
        }
        Ok(())
    }

    async fn has_other_readers(&self, topic_name: &TopicName, name: &str) -> Result<bool> {
        let stats = self.admin.stats(topic_name).await?.unwrap_or_default();
        Ok(stats.subscriptions.iter().any(|(other, stats)| is_queue(other) && other != name && !stats.consumers.is_empty()))
    }

    /// Prevents other processes from starting to publish on a topic until the returned session is closed: a message published while a queue is
    /// inspected is then either counted or refused. `None` if some are already publishing, and for requests, which are not stored.
    async fn fence(&self, topic_name: &TopicName) -> Result<Option<Session>> {
        if !topic_name.is_persistent {
            return Ok(None);
        }
        match Session::exclusive(&self.publishing, &topic_name.url(), None).await {
            Ok(session) => Ok(Some(session)),
            // No fence either without the permission to publish, or if the topic is full.
            Err(Failure::Refused(refusal)) if refusal.kind != BrokerErrorKind::Passing => Ok(None),
            Err(failure) => Err(failure.plain()),
        }
    }

    /// The backlog of a queue; `None` if it is empty.
    async fn backlog(&self, queue: &Queue, topic_name: &TopicName, held_count: u64) -> Result<Option<Backlog>> {
        let Some(stats) = self.admin.stats(topic_name).await? else { return Ok(None) };
        let found = stats.subscriptions.get(queue.subscription().as_str());
        let counted = found.map_or(0, |stats| u64::try_from(stats.msg_backlog).unwrap_or(0));
        // The broker stores no requests.
        let count = if topic_name.is_persistent { counted } else { held_count };
        Ok((count > 0).then(|| Backlog { queue: queue.clone(), count: Some(count) }))
    }
}

fn quota(overflow: Overflow) -> Option<Quota> {
    let (bytes, policy) = match overflow {
        Overflow::None => return None,
        Overflow::DropOldest { bytes } => (bytes, DROP_OLDEST),
        Overflow::Refuse { bytes } => (bytes, REFUSE),
    };
    Some(Quota { limit_bytes: i64::try_from(bytes).unwrap_or(i64::MAX), policy: policy.to_owned() })
}

/// Whether a refusing bound is wanted, in place of none or of another refusing one.
fn is_refusing(found: &Option<Quota>, wanted: &Quota) -> bool {
    wanted.policy == REFUSE && found.as_ref().is_none_or(|found| found.policy == REFUSE)
}

fn quota_text(quota: Option<&Quota>) -> String {
    match quota {
        None => "no limit".to_owned(),
        Some(Quota { limit_bytes, policy }) => format!("a limit of {limit_bytes} bytes ({policy})"),
    }
}

/// The bound above which a topic refuses messages, if any; the broker checks it when a producer starts.
pub(super) fn refuses(quota: Option<&Quota>) -> Option<u64> {
    quota.filter(|quota| REFUSING.contains(&quota.policy.as_str())).and_then(|quota| u64::try_from(quota.limit_bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_policies() {
        assert_eq!(quota(Overflow::None), None);
        let refusing = quota(Overflow::Refuse { bytes: 7 });
        assert_eq!(refuses(refusing.as_ref()), Some(7));
        let holding = Quota { limit_bytes: 7, policy: "producer_request_hold".to_owned() };
        assert_eq!(refuses(Some(&holding)), Some(7));
        assert_eq!(refuses(Some(&Quota { limit_bytes: -1, ..holding })), None);
        assert_eq!(refuses(quota(Overflow::DropOldest { bytes: 7 }).as_ref()), None);
        assert_eq!(quota_text(refusing.as_ref()), "a limit of 7 bytes (producer_exception)");
    }
}
