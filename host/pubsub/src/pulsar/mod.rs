//! Apache Pulsar, over its binary protocol and its admin API.
//!
//! | what | where |
//! |---|---|
//! | names on the wire, messages, URLs, classification of errors | `names`, `envelope`, `address`, `refusal`, `failure` |
//! | commands and frames of the binary protocol | `proto`, `frame` |
//! | connections | `connection_settings`, `tls`, `wire`, `link` |
//! | the admin API, and the check that it belongs to the broker | `admin`, `answer`, `api_url`, `cluster_check` |
//! | creating, finding and deleting queues | `lifecycle` |
//! | publishing | `publishing`, `publisher`, `session`, `producer` |
//! | consuming queues, and settling | `reader`, `held`, `subscription`, `consumers`, `settling` |
//! | subscribers and taps | `subscriber` |
//! | locks | `lock` |
//! | inspecting queues, listing them | `inspection`, `positions`, `listing` |
//! | tenants, namespaces and their policies | `policies`, `restrictions` |
//! | state shared by all of these | `shared` |
//!
//! There are two connections to each node for publishing, since a node that is overloaded, or that limits the rate of a topic, stops reading from
//! connections that publish: one is for messages of flows, one for all others, so that services respond meanwhile. A third one is for consuming and
//! acknowledging.

mod address;
mod admin;
mod answer;
mod api_url;
mod broker_error;
mod cluster_check;
mod connection_settings;
mod consumers;
mod envelope;
mod failure;
mod frame;
mod held;
mod inspection;
mod lifecycle;
mod link;
mod listing;
mod lock;
mod names;
mod policies;
mod positions;
mod producer;
mod proto;
mod publisher;
mod publishing;
mod reader;
mod restrictions;
mod session;
mod settling;
mod shared;
mod subscriber;
mod subscription;
mod tls;
mod topic_limits;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::address::Address;
use self::admin::Admin;
pub use self::api_url::check_pulsar_admin_url;
use self::cluster_check::ClusterCheck;
use self::connection_settings::ConnectionSettings;
use self::consumers::Consumers;
use self::lifecycle::Lifecycle;
use self::link::Link;
use self::names::TopicName;
use self::producer::TopicProducer;
use self::publisher::Publishers;
use self::publishing::Publishing;
use self::reader::QueueConsumer;
use self::shared::Shared;
use self::subscriber::Subscriber;
use crate::backend::{
    Backend, Consumer, ConsumerOptions, Delete, Deletion, Inspect, Lock, LockName, Output, Policy, Producer, Provision, QueueSpec, Receipt,
    Settled, Unsettled,
};
use crate::error::{PubsubError, Result};
use crate::error_text::chain;
use crate::limits::Limits;
use crate::message::Message;
use crate::network::run_detached;
use crate::tls_files::TlsFiles;
use crate::topic::{Queue, Subscription, Topic};

/// How long a close waits for messages that are being settled, and then for published messages.
const CLOSE_TIME: Duration = Duration::from_secs(10);

/// Settings of a connection to Pulsar beside its URL and the files for TLS.
#[derive(Clone, Debug, Default)]
pub struct PulsarSettings {
    /// The URL of the admin API, which is required.
    pub admin: Option<String>,
    /// A file with a token, read for each connection and each request.
    pub token_file: Option<PathBuf>,
    /// How long to wait for an unreachable broker; `None` to wait forever.
    pub patience: Option<Duration>,
}

/// Apache Pulsar as a [`Backend`].
pub struct PulsarBroker {
    shared: Arc<Shared>,
}

impl PulsarBroker {
    /// Connects to `pulsar://HOST:PORT,HOST2:PORT2`; `pulsar+ssl` uses TLS. Waits for an unreachable broker, and logs that.
    ///
    /// # Errors
    /// `Refused` for an invalid URL or file, or a wrong token; `Unavailable` after the `patience` of the settings.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn connect(url: &str, limits: Limits, tls: &TlsFiles, settings: &PulsarSettings) -> Result<Arc<Self>> {
        let connection_settings = Arc::new(ConnectionSettings::new(url, tls, settings.token_file.as_deref())?);
        let admin = Arc::new(Admin::new(settings.admin.as_deref(), &connection_settings)?);
        if connection_settings.address.nodes.iter().any(|node| admin.is_at(&node.host, node.port)) {
            let reason = "broker.url and broker.pulsar-admin name the same address: the broker itself has port 6650 (with TLS 6651), its admin \
                          API 8080 (with https:// 8443)";
            return Err(PubsubError::refused(reason));
        }
        let publishing = Arc::new(Publishing::start(&connection_settings, settings.patience).await?);
        let consuming = Arc::new(Link::start(connection_settings, "consuming"));
        consuming.first(settings.patience).await?;
        let lifecycle = Arc::new(Lifecycle::new(admin.clone(), publishing.others.link.clone()));
        let publishers = Arc::new(Publishers::new(publishing.clone(), lifecycle.clone()));
        let consumers = Consumers::default();
        let (looks, pumps, operations, closed) = (Arc::default(), TaskTracker::new(), TaskTracker::new(), CancellationToken::new());
        let cluster_check = ClusterCheck::default();
        let shared = Shared {
            limits,
            consuming,
            publishing,
            admin,
            cluster_check,
            lifecycle,
            publishers,
            consumers,
            looks,
            pumps,
            operations,
            closed,
        };
        Ok(Arc::new(PulsarBroker { shared: Arc::new(shared) }))
    }

    /// Whether no connection is up at present: for tests.
    #[cfg(any(test, debug_assertions))]
    #[doc(hidden)]
    pub fn is_lost_for_test(&self) -> bool {
        let Shared { consuming, publishing, .. } = &*self.shared;
        publishing.links().into_iter().chain([consuming]).all(|link| link.up().is_err())
    }
}

/// Checks the form of a URL; see [`Address::parse`].
pub(crate) fn check_url(url: &str) -> Result<(), String> {
    Address::parse(url).map(|_| ())
}

#[async_trait]
impl Backend for PulsarBroker {
    fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    fn check(&self, topic: &Topic, message: &Message) -> Result<()> {
        self.shared.limits.check(topic, message)?;
        self.shared.publishers.check(topic, message)
    }

    fn inspect(&self) -> &dyn Inspect {
        &self.shared
    }

    async fn create_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.shared.check_up()?;
        let (shared, spec) = (self.shared.clone(), spec.clone());
        run_detached(&self.shared.operations, "creating a queue", async move { shared.lifecycle.create(&spec).await }).await
    }

    async fn ensure_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.shared.check_up()?;
        let (shared, spec) = (self.shared.clone(), spec.clone());
        run_detached(&self.shared.operations, "creating a queue", async move { shared.lifecycle.ensure(&spec).await }).await
    }

    async fn delete_queue(&self, queue: &Queue, when: Delete) -> Result<Deletion> {
        self.shared.check_up()?;
        let (shared, queue) = (self.shared.clone(), queue.clone());
        let deleting = async move {
            let Shared { lifecycle, consumers, publishers, .. } = &*shared;
            let is_looked_at = when == Delete::IfEmpty && queue.topic().class().is_durable();
            let _quiesced = if is_looked_at { Some(publishers.quiesce(queue.topic()).await?) } else { None };
            lifecycle.delete(&queue, when, || consumers.held_count(&queue), || consumers.queue_is_gone(&queue)).await
        };
        run_detached(&self.shared.operations, "a deletion", deleting).await
    }

    async fn queue_exists(&self, queue: &Queue) -> Result<bool> {
        self.shared.check_up()?;
        self.shared.lifecycle.exists(queue).await
    }

    async fn producer(&self, topic: &Topic) -> Result<Box<dyn Producer>> {
        self.shared.check_open()?;
        let topic_name = TopicName::of(topic)?;
        let Shared { limits, publishers, publishing, admin, cluster_check, .. } = &*self.shared;
        cluster_check.check(&publishing.others.link, admin, &topic_name.tenant).await?;
        let (publishers, channel) = (publishers.clone(), publishing.of(topic).clone());
        Ok(Box::new(TopicProducer { topic: topic.clone(), limits: *limits, publishers, channel }))
    }

    async fn consumer(&self, topic: &Topic, subscription: &Subscription, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        self.shared.check_open()?;
        let (shared, topic, subscription) = (self.shared.clone(), topic.clone(), subscription.clone());
        // Detached, so that a caller that gives up leaves no consumer whose messages nothing settles, and no subscription that nothing reads.
        if !topic.class().has_queues() {
            let opening = async move { Subscriber::open(&shared, &topic, &subscription).await };
            return Ok(Box::new(run_detached(&self.shared.operations, "the start of a subscription", opening).await?));
        }
        let queue = Queue::new(topic, subscription).map_err(PubsubError::not_a_queue)?;
        let opening = async move { QueueConsumer::open(&shared, queue, options).await };
        Ok(Box::new(run_detached(&self.shared.operations, "the start of a consumer", opening).await?))
    }

    fn settle(&self, receipt: &Receipt, outputs: Vec<Output>) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        if !receipt.is_some() {
            return async { Ok(Settled::NoLongerHeld) }.boxed();
        }
        let limits = &self.shared.limits;
        let checked = self.shared.check_open().and_then(|()| limits.check_settle(&outputs));
        let checked = checked.and_then(|()| outputs.iter().try_for_each(|output| self.check(&output.topic, &output.message)));
        if let Err(error) = checked {
            let unsettled = Unsettled::whole(error, outputs.len());
            return async { Err(unsettled) }.boxed();
        }
        self.shared.consumers.settle(receipt, outputs, &self.shared.publishers)
    }

    async fn requeue(&self, receipt: &Receipt) -> Result<()> {
        self.shared.check_up()?;
        let (shared, receipt) = (self.shared.clone(), *receipt);
        // A requeue that has begun must complete, even if the caller gives up.
        let requeueing = async move {
            shared.consumers.requeue(&receipt).await;
            Ok(())
        };
        run_detached(&self.shared.operations, "requeueing", requeueing).await
    }

    async fn lock(&self, name: &LockName) -> Result<Box<dyn Lock>> {
        self.shared.check_up()?;
        let (shared, name) = (self.shared.clone(), name.clone());
        // Detached, so that a caller that gives up leaves no lock that nothing releases.
        let taken = run_detached(&self.shared.operations, "taking a lock", async move { lock::take(&shared, &name).await });
        Ok(Box::new(taken.await?))
    }

    async fn policies(&self, topicspace: &str, provision: Provision) -> Result<Vec<Policy>> {
        self.shared.check_open()?;
        policies::policies(&self.shared.admin, topicspace, provision).await
    }

    fn outage(&self) -> Option<String> {
        let Shared { publishing, consuming, closed, .. } = &*self.shared;
        if closed.is_cancelled() {
            return None;
        }
        publishing.links().into_iter().chain([consuming]).find_map(|link| link.up().err()).map(|error| chain(&error))
    }

    async fn close(&self) {
        self.shared.closed.cancel();
        let shared = self.shared.clone();
        // Detached, since a caller may give up waiting for it.
        let closing = tokio::spawn(async move {
            for consumer in shared.consumers.all() {
                consumer.held.end(crate::network::closed());
            }
            shared.pumps.close();
            let _ = timeout(CLOSE_TIME, shared.pumps.wait()).await;
            let _ = timeout(CLOSE_TIME, shared.publishers.close()).await;
            shared.operations.close();
            let _ = timeout(CLOSE_TIME, shared.operations.wait()).await;
            for link in shared.publishing.links() {
                link.close().await;
            }
            shared.consuming.close().await;
        });
        let _ = closing.await;
    }
}
