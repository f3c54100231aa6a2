//! RabbitMQ 3.10 to 4.3, over AMQP 0-9-1.
//!
//! | what | where |
//! |---|---|
//! | names on the wire, messages, URLs, the meaning of errors | `names`, `envelope`, `address`, `refusal` |
//! | connections, and channels for declaring | `link`, `scratch` |
//! | making, finding and deleting queues | `lifecycle` |
//! | publishing | `lane`, `producer` |
//! | reading shared queues, and settling | `reader`, `held`, `consumers`, `settling`, `acks` |
//! | subscribers and taps | `subscriber` |
//! | looking into queues | `looking` |
//!
//! One connection is for publishing, since the broker stops reading one that publishes under a memory alarm, with all acknowledgements on it;
//! one for consuming and acknowledging; one for declaring; and one for the declaration that some brokers answer by closing the connection.

mod acks;
mod address;
mod consumers;
mod envelope;
mod held;
mod lane;
mod lifecycle;
mod link;
mod looking;
mod names;
mod producer;
mod reader;
mod refusal;
mod scratch;
mod settling;
mod subscriber;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::address::Address;
use self::consumers::Consumers;
use self::lane::Lane;
use self::lifecycle::Lifecycle;
use self::link::{Link, Way};
use self::producer::{Places, TopicProducer};
use self::reader::QueueConsumer;
use self::scratch::Scratch;
use self::subscriber::{BUFFERED_COUNT, Subscriber};
use crate::backend::{
    Backend, Consumer, ConsumerOptions, Delete, Deletion, Inspect, Notice, Output, Producer, QueueSpec, Receipt, Settled, Unsettled,
};
use crate::error::{PubsubError, Result};
use crate::limits::Limits;
use crate::telling::chain;
use crate::topic::{Queue, Subscription, Topic};

/// How long a close waits for what is being settled.
const CLOSE_TIME: Duration = Duration::from_secs(10);

/// Files for TLS, which only `amqps` uses.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// Certificate authorities in PEM; those of the system where there are none.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate and its key, in PEM.
    pub certificate_files: Option<(PathBuf, PathBuf)>,
}

/// RabbitMQ as a [`Backend`].
pub struct RabbitBroker {
    shared: Arc<Shared>,
}

/// What the parts of one backend share.
struct Shared {
    limits: Limits,
    consuming: Arc<Link>,
    publishing: Arc<Link>,
    lifecycle: Arc<Lifecycle>,
    lane: Lane,
    places: Arc<Places>,
    consumers: Consumers,
    /// Held by who looks at messages by taking them.
    looks: Arc<tokio::sync::Mutex<()>>,
    closed: CancellationToken,
}

impl RabbitBroker {
    /// Connects to `amqp://USER:PASSWORD@HOST:PORT,HOST2:PORT2/VHOST`; `amqps` is for TLS. A broker that cannot be reached is waited for, which
    /// is logged.
    ///
    /// # Errors
    /// `Refused` for a URL or a file that cannot be used, a wrong password, or a virtual host that is missing or not permitted.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn connect(url: &str, limits: Limits, tls: &TlsFiles) -> Result<Arc<Self>> {
        let way = Arc::new(way(url, tls)?);
        let publishing = Arc::new(Link::start(way.clone(), "publishing"));
        publishing.first().await?;
        let consuming = Arc::new(Link::start(way.clone(), "consuming"));
        let daring = Link::start(way.clone(), "declaring transient queues");
        let scratch = Scratch::over(way);
        consuming.first().await?;
        scratch.link().first().await?;
        let lifecycle = Arc::new(Lifecycle::new(scratch, daring));
        let lane = Lane::start(publishing.clone(), lifecycle.clone());
        let places = Arc::new(Places::of(&publishing));
        let (consumers, closed) = (Consumers::default(), CancellationToken::new());
        let shared = Shared { limits, consuming, publishing, lifecycle, lane, places, consumers, looks: Arc::default(), closed };
        Ok(Arc::new(RabbitBroker { shared: Arc::new(shared) }))
    }

    /// Whether no connection is there at the moment: for tests.
    #[cfg(any(test, debug_assertions))]
    #[doc(hidden)]
    pub fn is_lost_for_test(&self) -> bool {
        [&self.shared.consuming, &self.shared.publishing].into_iter().all(|link| link.up().is_err())
            && self.shared.lifecycle.scratch.link().up().is_err()
    }

    fn check_open(&self) -> Result<()> {
        if self.shared.closed.is_cancelled() { Err(link::closed()) } else { Ok(()) }
    }
}

/// Checks the form of a URL; see [`Address::parse`].
pub(crate) fn check_url(url: &str) -> Result<(), String> {
    Address::parse(url).map(|_| ())
}

/// The virtual host of a valid URL.
pub(crate) fn vhost(url: &str) -> Option<String> {
    Address::parse(url).ok()?.nodes.first().map(|node| node.vhost.clone())
}

fn way(url: &str, tls: &TlsFiles) -> Result<Way> {
    let refused = |reason: String| PubsubError::Refused { reason, source: None };
    let address = Address::parse(url).map_err(|problem| refused(format!("broker.url: {problem}")))?;
    let read = |field: &str, file: &PathBuf| {
        std::fs::read(file).map_err(|error| refused(format!("{field}: {} cannot be read: {error}", file.display())))
    };
    let authorities = match &tls.ca_file {
        None => None,
        Some(file) => {
            let pem = String::from_utf8(read("broker.ca-file", file)?);
            Some(pem.map_err(|_| refused(format!("broker.ca-file: {} is not a file in PEM", file.display())))?)
        }
    };
    let identity = match &tls.certificate_files {
        None => None,
        Some((certificate, key)) => Some((read("broker.certificate-file", certificate)?, read("broker.key-file", key)?)),
    };
    if !address.is_encrypted && (authorities.is_some() || identity.is_some()) {
        return Err(refused("broker.ca-file and broker.certificate-file are for TLS: write `amqps://` in broker.url".to_owned()));
    }
    Ok(Way { address, authorities, identity })
}

#[async_trait]
impl Backend for RabbitBroker {
    fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    fn inspect(&self) -> &dyn Inspect {
        self
    }

    async fn create_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.check_open()?;
        self.shared.lifecycle.create(spec).await
    }

    async fn ensure_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.check_open()?;
        self.shared.lifecycle.ensure(spec).await
    }

    async fn delete_queue(&self, queue: &Queue, when: Delete) -> Result<Deletion> {
        self.check_open()?;
        self.shared.lifecycle.delete(queue, when, &self.shared.consumers).await
    }

    async fn queue_exists(&self, queue: &Queue) -> Result<bool> {
        self.check_open()?;
        self.shared.lifecycle.exists(queue).await
    }

    async fn producer(&self, topic: &Topic) -> Result<Box<dyn Producer>> {
        self.check_open()?;
        names::routing_key(topic)?;
        self.shared.lifecycle.exchange(topic.topicspace()).await?;
        Ok(Box::new(TopicProducer {
            topic: topic.clone(),
            limits: self.shared.limits,
            lane: self.shared.lane.clone(),
            link: self.shared.publishing.clone(),
            places: self.shared.places.clone(),
        }))
    }

    async fn consumer(&self, topic: &Topic, subscription: &Subscription, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        self.check_open()?;
        if !topic.class().has_queues() {
            return Ok(Box::new(Subscriber::open(&self.shared, topic, subscription, BUFFERED_COUNT).await?));
        }
        let queue = Queue::new(topic.clone(), subscription.clone());
        let queue = queue.map_err(|error| PubsubError::Refused { reason: error.to_string(), source: None })?;
        Ok(Box::new(QueueConsumer::open(&self.shared, queue, options).await?))
    }

    fn settle(&self, receipt: &Receipt, outputs: Vec<Output>) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        if !receipt.is_some() {
            return async { Ok(Settled::NoLongerHeld) }.boxed();
        }
        let limits = &self.shared.limits;
        let checked = self.check_open().and_then(|()| limits.check_settle(&outputs));
        let checked = checked.and_then(|()| outputs.iter().try_for_each(|output| limits.check(&output.topic, &output.message)));
        if let Err(error) = checked {
            let unsettled = Unsettled::whole(error, outputs.len());
            return async { Err(unsettled) }.boxed();
        }
        self.shared.consumers.settle(receipt, outputs, &self.shared.lane)
    }

    async fn give_back(&self, receipt: &Receipt) -> Result<()> {
        self.check_open()?;
        self.shared.consuming.up()?;
        self.shared.consumers.give_back(receipt).await;
        Ok(())
    }

    fn notices(&self) -> Vec<Notice> {
        let is_denied = self.shared.lifecycle.transient_denied() == Some(true);
        let text = "request queues are durable: the broker denies others (transient_nonexcl_queues)".to_owned();
        is_denied.then_some(Notice { count: None, text }).into_iter().collect()
    }

    fn trouble(&self) -> Option<String> {
        let Shared { publishing, consuming, lifecycle, closed, .. } = &*self.shared;
        if closed.is_cancelled() {
            return None;
        }
        let lost = [publishing, consuming, lifecycle.scratch.link()].into_iter().find_map(|link| link.up().err());
        let blocked = || publishing.blocked().borrow().as_ref().map(|blocked| format!("the broker takes no messages: {}", blocked.reason));
        lost.map(|error| chain(&error)).or_else(blocked)
    }

    async fn close(&self) {
        self.shared.closed.cancel();
        let shared = self.shared.clone();
        // A caller may give up waiting for it.
        let closing = tokio::spawn(async move {
            let consumers = shared.consumers.all();
            for consumer in &consumers {
                consumer.held.end(link::closed());
            }
            let _ = timeout(CLOSE_TIME, join_all(consumers.iter().map(|consumer| consumer.held.quiet()))).await;
            let _ = timeout(CLOSE_TIME, shared.places.quiet()).await;
            shared.publishing.close().await;
            shared.consuming.close().await;
            shared.lifecycle.close().await;
        });
        let _ = closing.await;
    }
}
