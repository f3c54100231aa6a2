//! The brokers on which the promises are tested.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tempfile::TempDir;
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions};
use weir_pubsub::{Backend, Queue};

use crate::cutting::Cutting;

/// How a broker is started, stopped and restarted, and how the connection to it is lost.
///
/// A broker without connections and users lists the promises about losses, blocked publishers and permissions as its exceptions, and keeps
/// the default methods for them.
pub trait Broker: Send {
    /// Opens it, or reopens it after a [`Broker::close`].
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn Backend>>;

    /// Creates what a topicspace needs on the broker, once it is open.
    fn prepare<'a>(&'a mut self, _topicspace: &'a str) -> BoxFuture<'a, ()> {
        std::future::ready(()).boxed()
    }

    /// Whether requests wait in a queue for their responders, as the promise
    /// [`consuming::requests_wait_in_a_queue_of_their_own`](super::consuming::requests_wait_in_a_queue_of_their_own) requires. If not,
    /// [`BrokerFixture::queue_classes`](super::BrokerFixture::queue_classes) omits them.
    fn has_request_queues(&self) -> bool {
        true
    }

    /// Opens it a second time, as another process would, if processes can share it.
    fn beside(&self) -> BoxFuture<'_, Option<Arc<dyn Backend>>> {
        std::future::ready(None).boxed()
    }

    /// Closes it gracefully; durable messages stay.
    fn close(&mut self) -> BoxFuture<'_, ()>;

    /// Cuts the connection between the open backend and its broker until [`Broker::reconnect`].
    fn disconnect(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Cuts the publishing connection only; the backend may reconnect immediately.
    fn lose_publishing(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Cuts the consuming connection only; the backend may reconnect immediately.
    fn lose_consuming(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Lets the backend reconnect.
    fn reconnect(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Holds all traffic between the backend and its broker, with their connections open, until [`Broker::release`].
    fn hold(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Forwards traffic again; what was held is lost with its connections.
    fn release(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// What subscribers and taps may leave on the broker: the names of everything its user can see; `None` if that is what the backend
    /// lists.
    fn visible(&self) -> BoxFuture<'_, Option<Vec<String>>> {
        std::future::ready(None).boxed()
    }

    /// Restarts the broker beneath the open backend.
    fn restart_beneath(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Makes the broker block its publishers until [`Broker::unblock`], as under a memory alarm.
    fn block(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Unblocks the publishers.
    fn unblock(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Revokes all permissions of the backend's user until [`Broker::allow`].
    fn deny(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Restores the permissions.
    fn allow(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Removes the binding of a queue to its topic, as an operator may.
    fn unbind(&mut self, _queue: &Queue) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Keeps the broker from reading messages until [`Broker::go_on`].
    fn stall(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("a broker whose messages cannot be kept from being read has the promise about that among its exceptions")
    }

    /// Makes messages readable again.
    fn go_on(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("a broker whose messages cannot be kept from being read has the promise about that among its exceptions")
    }
}

const NO_CONNECTION: &str = "a broker without a connection has the promises about losses among its exceptions";

/// The size of a log file of the embedded broker: so small that a test fills several.
const SEGMENT_BYTES: u64 = 1 << 20;

/// The embedded broker in its own folder.
pub struct Embedded {
    folder: TempDir,
    options: EmbeddedOptions,
    open: Option<Arc<EmbeddedBroker>>,
}

impl Embedded {
    /// For one promise, the same for all.
    pub fn of(_promise: &str) -> Self {
        Self::new()
    }

    /// In a new folder, with a high mark of 8 MiB, which a test can reach.
    pub fn new() -> Self {
        Embedded::with(EmbeddedOptions { queue_high_bytes: 8 << 20, segment_bytes: SEGMENT_BYTES, ..EmbeddedOptions::default() })
    }

    fn with(options: EmbeddedOptions) -> Self {
        Embedded { folder: tempfile::tempdir().unwrap(), options, open: None }
    }

    /// Its log files, and where they are while they cannot be read.
    fn files(&self) -> Vec<(PathBuf, PathBuf)> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let logs = entries.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.map(|path| (path.clone(), path.with_extension("aside"))).collect()
    }
}

impl Default for Embedded {
    fn default() -> Self {
        Self::new()
    }
}

impl Broker for Embedded {
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn Backend>> {
        async {
            let broker = EmbeddedBroker::open(self.folder.path(), self.options.clone()).unwrap();
            self.open = Some(broker.clone());
            broker as Arc<dyn Backend>
        }
        .boxed()
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        async {
            if let Some(broker) = self.open.take() {
                broker.close().await;
            }
        }
        .boxed()
    }

    fn stall(&mut self) -> BoxFuture<'_, ()> {
        for (path, aside) in self.files() {
            std::fs::rename(&path, aside).unwrap();
            // A folder in place of a file can be opened but not read.
            std::fs::create_dir(path).unwrap();
        }
        std::future::ready(()).boxed()
    }

    fn go_on(&mut self) -> BoxFuture<'_, ()> {
        for (path, aside) in self.files().into_iter().filter(|(_, aside)| aside.exists()) {
            std::fs::remove_dir(&path).unwrap();
            std::fs::rename(aside, path).unwrap();
        }
        std::future::ready(()).boxed()
    }
}

/// How long a blocked publisher waits.
const LONGEST_BLOCK: Duration = Duration::from_millis(300);

/// Represents the brokers reached over a network: see [`Cutting`].
pub struct Network {
    broker: Embedded,
    open: Option<Arc<Cutting>>,
}

impl Network {
    /// For one promise, the same for all.
    pub fn of(_promise: &str) -> Self {
        Self::new()
    }

    /// Over an embedded broker in a new folder, without a high mark.
    pub fn new() -> Self {
        let options = EmbeddedOptions { queue_high_bytes: u64::MAX >> 1, segment_bytes: SEGMENT_BYTES, ..EmbeddedOptions::default() };
        Network { broker: Embedded::with(options), open: None }
    }

    fn connection(&self) -> &Cutting {
        self.open.as_ref().unwrap()
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl Broker for Network {
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn Backend>> {
        async {
            let cutting = Cutting::over(self.broker.open().await);
            self.open = Some(cutting.clone());
            cutting as Arc<dyn Backend>
        }
        .boxed()
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        async {
            if let Some(cutting) = self.open.take() {
                cutting.close().await;
            }
            self.broker.close().await;
        }
        .boxed()
    }

    fn disconnect(&mut self) -> BoxFuture<'_, ()> {
        async { self.connection().down() }.boxed()
    }

    fn reconnect(&mut self) -> BoxFuture<'_, ()> {
        async { self.connection().up() }.boxed()
    }

    fn lose_publishing(&mut self) -> BoxFuture<'_, ()> {
        async { self.connection().cut_publishing() }.boxed()
    }

    fn lose_consuming(&mut self) -> BoxFuture<'_, ()> {
        async { self.connection().cut_consuming() }.boxed()
    }

    fn restart_beneath(&mut self) -> BoxFuture<'_, ()> {
        async { self.connection().restart().await }.boxed()
    }

    fn block(&mut self) -> BoxFuture<'_, ()> {
        async { self.connection().block(LONGEST_BLOCK) }.boxed()
    }

    fn unblock(&mut self) -> BoxFuture<'_, ()> {
        async { self.connection().unblock() }.boxed()
    }

    fn deny(&mut self) -> BoxFuture<'_, ()> {
        async { self.connection().deny() }.boxed()
    }

    fn allow(&mut self) -> BoxFuture<'_, ()> {
        async { self.connection().allow() }.boxed()
    }

    fn unbind(&mut self, queue: &Queue) -> BoxFuture<'_, ()> {
        self.connection().unbind(queue);
        std::future::ready(()).boxed()
    }

    fn stall(&mut self) -> BoxFuture<'_, ()> {
        self.broker.stall()
    }

    fn go_on(&mut self) -> BoxFuture<'_, ()> {
        self.broker.go_on()
    }
}
