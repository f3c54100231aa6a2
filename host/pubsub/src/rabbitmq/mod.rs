//! RabbitMQ 3.10 to 4.3, over AMQP 0-9-1.
//!
//! | what | where |
//! |---|---|
//! | names on the wire, messages, URLs, classification of errors | `names`, `envelope`, `address`, `refusal` |
//! | connections, the data received on them, and channels for declarations | `link`, `stream`, `sanitizer`, `cancelled`, `channel_pool` |
//! | creating, finding and deleting queues | `lifecycle` |
//! | publishing | `publisher`, `publish_permits`, `producer` |
//! | consuming shared queues, and settling | `reader`, `held`, `consumers`, `settling`, `acks` |
//! | subscribers and taps | `subscriber` |
//! | locks | `lock` |
//! | inspecting queues | `inspection` |
//! | state shared by all of these | `shared` |
//! | the management API, if there is one: listing queues, policies | `management`, `listing`, `policies` |
//!
//! There are four connections: one for publishing, since under a memory alarm the broker stops reading a connection that publishes, including
//! acknowledgements on it; one for consuming and acknowledging; one for declarations; and one for the declaration to which some brokers respond by
//! closing the connection.

mod acks;
mod address;
mod broker_error;
mod cancelled;
mod channel_pool;
mod consumers;
mod envelope;
mod held;
mod inspection;
mod lifecycle;
mod link;
mod listing;
mod lock;
mod management;
mod names;
mod policies;
mod producer;
mod publish_permits;
mod publisher;
mod reader;
mod sanitizer;
mod settling;
mod shared;
mod stream;
mod subscriber;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::address::Address;
use self::channel_pool::ChannelPool;
use self::consumers::Consumers;
use self::lifecycle::Lifecycle;
use self::link::{ConnectionSettings, Link};
use self::management::Management;
pub use self::management::check_management_url;
use self::producer::TopicProducer;
use self::publish_permits::PublishPermits;
use self::publisher::Publisher;
use self::reader::QueueConsumer;
use self::shared::Shared;
use self::subscriber::Subscriber;
use crate::backend::{
    Backend, Consumer, ConsumerOptions, Delete, Deletion, Inspect, Lock, LockName, Notice, Output, Policy, Producer, Provision, QueueSpec,
    Receipt, Settled, Unsettled,
};
use crate::error::{PubsubError, Result};
use crate::error_text::chain;
use crate::limits::Limits;
use crate::message::Message;
use crate::network::{BUFFERED_COUNT, run_detached};
use crate::tls_files::TlsFiles;
use crate::topic::{Queue, Subscription, Topic};

/// How long a close waits for messages that are being settled.
const CLOSE_TIME: Duration = Duration::from_secs(10);

/// RabbitMQ as a [`Backend`].
pub struct RabbitBroker {
    shared: Arc<Shared>,
}

impl RabbitBroker {
    /// Connects to `amqp://USER:PASSWORD@HOST:PORT,HOST2:PORT2/VHOST`; `amqps` uses TLS. Waits for an unreachable broker, and logs that. `management`
    /// is the URL of the broker's management API; nothing is sent to it yet.
    ///
    /// # Errors
    /// `Refused` for an invalid URL or file, a wrong password, or a virtual host that is missing or not permitted.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn connect(url: &str, limits: Limits, tls: &TlsFiles, management: Option<&str>) -> Result<Arc<Self>> {
        let connection_settings = Arc::new(connection_settings(url, tls)?);
        let vhost = connection_settings.address.nodes.first().map(|node| node.vhost.clone()).unwrap_or_default();
        let management = management
            .map(|url| Management::new(url, &connection_settings.address, connection_settings.authorities.as_deref()))
            .transpose()?;
        let publishing = Arc::new(Link::start(connection_settings.clone(), "publishing"));
        publishing.first().await?;
        let consuming = Arc::new(Link::start(connection_settings.clone(), "consuming"));
        let risky = Link::start(connection_settings.clone(), "declaring transient queues");
        let channels = ChannelPool::over(connection_settings);
        consuming.first().await?;
        channels.link().first().await?;
        let lifecycle = Arc::new(Lifecycle::new(channels, risky));
        let publisher = Publisher::start(publishing.clone(), lifecycle.clone());
        let permits = Arc::new(PublishPermits::of(&publishing));
        let (consumers, closed) = (Consumers::default(), CancellationToken::new());
        let (looks, operations) = (Arc::default(), TaskTracker::new());
        let shared = Shared {
            limits,
            consuming,
            publishing,
            lifecycle,
            publisher,
            permits,
            consumers,
            looks,
            management,
            vhost,
            operations,
            closed,
        };
        Ok(Arc::new(RabbitBroker { shared: Arc::new(shared) }))
    }

    /// Whether no connection is up at present: for tests.
    #[cfg(any(test, debug_assertions))]
    #[doc(hidden)]
    pub fn is_lost_for_test(&self) -> bool {
        [&self.shared.consuming, &self.shared.publishing].into_iter().all(|link| link.up().is_err())
            && self.shared.lifecycle.channels.link().up().is_err()
    }
}

/// Checks the form of a URL; see [`Address::parse`].
pub(crate) fn check_url(url: &str) -> Result<(), String> {
    Address::parse(url).map(|_| ())
}

fn connection_settings(url: &str, tls: &TlsFiles) -> Result<ConnectionSettings> {
    let address = Address::parse(url).map_err(|problem| PubsubError::refused(format!("broker.url: {problem}")))?;
    let read = |field: &str, file: &PathBuf| {
        std::fs::read(file).map_err(|error| {
            let reason = format!("{field}: {} cannot be read: {error}", file.display());
            PubsubError::refused_because(reason, error)
        })
    };
    let authorities = match &tls.ca_file {
        None => None,
        Some(file) => {
            let pem = String::from_utf8(read("broker.ca-file", file)?);
            let not_pem = |error| PubsubError::refused_because(format!("broker.ca-file: {} is not a PEM file", file.display()), error);
            Some(pem.map_err(not_pem)?)
        }
    };
    let identity = match &tls.certificate_files {
        None => None,
        Some((certificate, key)) => Some((read("broker.certificate-file", certificate)?, read("broker.key-file", key)?)),
    };
    if !address.is_encrypted && (authorities.is_some() || identity.is_some()) {
        return Err(PubsubError::refused("broker.ca-file and broker.certificate-file require TLS: use `amqps://` in broker.url"));
    }
    Ok(ConnectionSettings { address, authorities, identity, reached: Notify::new() })
}

#[async_trait]
impl Backend for RabbitBroker {
    fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    fn check(&self, topic: &Topic, message: &Message) -> Result<()> {
        self.shared.limits.check(topic, message)?;
        self.shared.publisher.check(message)
    }

    fn inspect(&self) -> &dyn Inspect {
        &self.shared
    }

    async fn create_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.shared.check_open()?;
        let (shared, spec) = (self.shared.clone(), spec.clone());
        run_detached(&self.shared.operations, "creating a queue", async move { shared.lifecycle.create(&spec).await }).await
    }

    async fn ensure_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.shared.check_open()?;
        let (shared, spec) = (self.shared.clone(), spec.clone());
        run_detached(&self.shared.operations, "creating a queue", async move { shared.lifecycle.ensure(&spec).await }).await
    }

    async fn delete_queue(&self, queue: &Queue, when: Delete) -> Result<Deletion> {
        self.shared.check_open()?;
        let (shared, queue) = (self.shared.clone(), queue.clone());
        // Detached, so that a caller that gives up leaves no queue without its binding.
        let deleting = async move {
            let Shared { lifecycle, consumers, .. } = &*shared;
            let deletion = lifecycle.delete(&queue, when, |queue| consumers.of(queue)).await?;
            if deletion == Deletion::Deleted {
                consumers.queue_is_gone(&queue);
            }
            Ok(deletion)
        };
        run_detached(&self.shared.operations, "a deletion", deleting).await
    }

    async fn queue_exists(&self, queue: &Queue) -> Result<bool> {
        self.shared.check_open()?;
        self.shared.lifecycle.exists(queue).await
    }

    async fn producer(&self, topic: &Topic) -> Result<Box<dyn Producer>> {
        self.shared.check_open()?;
        names::routing_key(topic)?;
        self.shared.lifecycle.exchange(topic.topicspace()).await?;
        Ok(Box::new(TopicProducer {
            topic: topic.clone(),
            limits: self.shared.limits,
            publisher: self.shared.publisher.clone(),
            link: self.shared.publishing.clone(),
            permits: self.shared.permits.clone(),
        }))
    }

    async fn consumer(&self, topic: &Topic, subscription: &Subscription, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        self.shared.check_open()?;
        if !topic.class().has_queues() {
            return Ok(Box::new(Subscriber::open(&self.shared, topic, subscription, BUFFERED_COUNT).await?));
        }
        let queue = Queue::new(topic.clone(), subscription.clone());
        let (shared, queue) = (self.shared.clone(), queue.map_err(PubsubError::not_a_queue)?);
        // Detached, so that a caller that gives up leaves no consumer whose messages nothing settles.
        let opening = async move { QueueConsumer::open(&shared, queue, options).await };
        Ok(Box::new(run_detached(&self.shared.operations, "the start of a consumer", opening).await?))
    }

    fn settle(&self, receipt: &Receipt, outputs: Vec<Output>) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        if !receipt.is_some() {
            return async { Ok(Settled::NoLongerHeld) }.boxed();
        }
        let limits = &self.shared.limits;
        let checked = self.shared.check_open().and_then(|()| limits.check_settle(&outputs));
        let checked = checked.and_then(|()| outputs.iter().try_for_each(|output| limits.check(&output.topic, &output.message)));
        if let Err(error) = checked {
            let unsettled = Unsettled::whole(error, outputs.len());
            return async { Err(unsettled) }.boxed();
        }
        self.shared.consumers.settle(receipt, outputs, &self.shared.publisher)
    }

    async fn requeue(&self, receipt: &Receipt) -> Result<()> {
        self.shared.check_open()?;
        self.shared.consuming.up()?;
        let (shared, receipt) = (self.shared.clone(), *receipt);
        // A requeue that has begun must complete, even if the caller gives up.
        let requeueing = async move {
            shared.consumers.requeue(&receipt).await;
            Ok(())
        };
        run_detached(&self.shared.operations, "requeueing", requeueing).await
    }

    async fn lock(&self, name: &LockName) -> Result<Box<dyn Lock>> {
        self.shared.check_open()?;
        let (shared, name) = (self.shared.clone(), name.clone());
        // Detached, so that a caller that gives up leaves no lock that nothing releases.
        let taking = async move { lock::take(&shared, &name).await };
        Ok(Box::new(run_detached(&self.shared.operations, "taking a lock", taking).await?))
    }

    fn notices(&self) -> Vec<Notice> {
        let is_denied = self.shared.lifecycle.transient_denied() == Some(true);
        let text = "request queues are durable: the broker rejects others (transient_nonexcl_queues)".to_owned();
        is_denied.then_some(Notice { count: None, text }).into_iter().collect()
    }

    async fn policies(&self, topicspace: &str, provision: Provision) -> Result<Vec<Policy>> {
        self.shared.check_open()?;
        let Shared { management, lifecycle, vhost, .. } = &*self.shared;
        match (management, provision) {
            (None, _) => Ok(policies::unknown(vhost, topicspace)),
            (Some(management), Provision::Look) => policies::look(management, lifecycle, topicspace).await,
            (Some(management), Provision::Set) => policies::set(management, lifecycle, topicspace).await,
        }
    }

    fn outage(&self) -> Option<String> {
        let Shared { publishing, consuming, lifecycle, closed, .. } = &*self.shared;
        if closed.is_cancelled() {
            return None;
        }
        let lost = [publishing, consuming, lifecycle.channels.link()].into_iter().find_map(|link| link.up().err());
        let blocked =
            || publishing.blocked().borrow().as_ref().map(|blocked| format!("the broker accepts no messages: {}", blocked.reason));
        lost.map(|error| chain(&error)).or_else(blocked)
    }

    async fn close(&self) {
        self.shared.closed.cancel();
        let shared = self.shared.clone();
        // Detached, since a caller may give up waiting for it.
        let closing = tokio::spawn(async move {
            let consumers = shared.consumers.all();
            for consumer in &consumers {
                consumer.held.end(crate::network::closed());
            }
            let _ = timeout(CLOSE_TIME, join_all(consumers.iter().map(|consumer| consumer.held.quiet()))).await;
            let _ = timeout(CLOSE_TIME, shared.permits.quiet()).await;
            shared.operations.close();
            let _ = timeout(CLOSE_TIME, shared.operations.wait()).await;
            shared.publishing.close().await;
            shared.consuming.close().await;
            shared.lifecycle.close().await;
        });
        let _ = closing.await;
    }
}
