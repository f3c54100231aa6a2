//! The brokers that the promises are tried on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tempfile::TempDir;
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions};
use weir_pubsub::{Backend, Queue};

use crate::cutting::Cutting;

/// How a broker is started, stopped and started again, and how the connection to it is lost.
///
/// A broker without connections and users names the promises about losses, blocked publishers and rights as its exceptions, and leaves the
/// methods about them as they are.
pub trait Broker: Send {
    /// Opens it, or opens it again after a [`Broker::close`].
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn Backend>>;

    /// Makes what a topicspace needs on the broker, once it is open.
    fn prepare<'a>(&'a mut self, _topicspace: &'a str) -> BoxFuture<'a, ()> {
        std::future::ready(()).boxed()
    }

    /// Whether requests wait in a queue for whom they are meant, which the promise
    /// [`consuming::requests_wait_in_a_queue_of_their_own`](super::consuming::requests_wait_in_a_queue_of_their_own) is about. Where they do not,
    /// [`BrokerFixture::queue_classes`](super::Bed::queue_classes) leaves them out.
    fn has_request_queues(&self) -> bool {
        true
    }

    /// Opens it once more, as another process would, where processes can share it.
    fn beside(&self) -> BoxFuture<'_, Option<Arc<dyn Backend>>> {
        std::future::ready(None).boxed()
    }

    /// Ends it in an orderly way; durable messages stay.
    fn close(&mut self) -> BoxFuture<'_, ()>;

    /// Cuts the connection between the open backend and its broker until [`Broker::reconnect`].
    fn disconnect(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Cuts the connection on which is published, and no other; the backend may connect again at once.
    fn lose_publishing(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Cuts the connection on which is consumed, and no other; the backend may connect again at once.
    fn lose_consuming(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Lets the backend connect again.
    fn reconnect(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Lets nothing more pass between the backend and its broker, while their connections stay open, until [`Broker::release`].
    fn hold(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Lets everything pass again; what was kept is lost with its connections.
    fn release(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// What subscribers and taps may leave on the broker: the names of all that a user of it can see; `None` where that is what the backend lists.
    fn visible(&self) -> BoxFuture<'_, Option<Vec<String>>> {
        std::future::ready(None).boxed()
    }

    /// Ends the broker beneath the open backend, and starts it again.
    fn restart_beneath(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Lets the broker block its publishers until [`Broker::unblock`], as under a memory alarm.
    fn block(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Lets the publishers go on.
    fn unblock(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Takes all rights from the backend's user until [`Broker::allow`].
    fn deny(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Gives the rights back.
    fn allow(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Takes the binding of a queue to its topic away, as an operator may.
    fn unbind(&mut self, _queue: &Queue) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Keeps the broker from reading messages until [`Broker::go_on`].
    fn stall(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("a broker whose messages cannot be kept from being read has the promise about that among its exceptions")
    }

    /// Lets it read again.
    fn go_on(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("a broker whose messages cannot be kept from being read has the promise about that among its exceptions")
    }
}

const NO_CONNECTION: &str = "a broker without a connection has the promises about losses among its exceptions";

/// The size of a file of the embedded log: so small that a test fills several.
const SEGMENT_BYTES: u64 = 1 << 20;

/// The embedded broker in a folder of its own.
pub struct Embedded {
    folder: TempDir,
    options: EmbeddedOptions,
    open: Option<Arc<EmbeddedBroker>>,
}

impl Embedded {
    /// For one promise, as every other.
    pub fn of(_promise: &str) -> Self {
        Self::new()
    }

    /// In a new folder, with a high mark that a test can reach: 8 MiB.
    pub fn new() -> Self {
        Embedded::with(EmbeddedOptions { queue_high_bytes: 8 << 20, segment_bytes: SEGMENT_BYTES, ..EmbeddedOptions::default() })
    }

    fn with(options: EmbeddedOptions) -> Self {
        Embedded { folder: tempfile::tempdir().unwrap(), options, open: None }
    }

    /// The files of its log, and where they are while they cannot be read.
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
            // A folder in place of a file can be opened and not be read.
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

/// How long a publisher waits that is blocked.
const LONGEST_BLOCK: Duration = Duration::from_millis(300);

/// Stands for the brokers that are reached over a network: see [`Cutting`].
pub struct Network {
    broker: Embedded,
    open: Option<Arc<Cutting>>,
}

impl Network {
    /// For one promise, as every other.
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
