//! The brokers that the promises are tried on.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tempfile::TempDir;
use weir_pubsub::Backend;
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions};

use crate::cutting::Cutting;

/// How a broker is started, stopped and started again, and how the connection to it is lost.
///
/// A broker without a connection names the promises about losses as its exceptions, and leaves the last three methods as they are.
pub trait Broker: Send {
    /// Opens it, or opens it again after a [`Broker::close`].
    fn open(&mut self) -> BoxFuture<'_, Arc<dyn Backend>>;

    /// Ends it in an orderly way; durable messages stay.
    fn close(&mut self) -> BoxFuture<'_, ()>;

    /// Cuts the connection between the open backend and its broker until [`Broker::reconnect`].
    fn disconnect(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Lets the backend connect again.
    fn reconnect(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }

    /// Ends the broker beneath the open backend, and starts it again.
    fn restart_beneath(&mut self) -> BoxFuture<'_, ()> {
        unreachable!("{NO_CONNECTION}")
    }
}

const NO_CONNECTION: &str = "a broker without a connection has the promises about losses among its exceptions";

/// The embedded broker in a folder of its own.
pub struct Embedded {
    folder: TempDir,
    options: EmbeddedOptions,
    open: Option<Arc<EmbeddedBroker>>,
}

impl Embedded {
    /// In a new folder, with a high mark that a test can reach: 8 MiB.
    pub fn new() -> Self {
        Embedded::with(EmbeddedOptions { queue_high_bytes: 8 << 20, ..EmbeddedOptions::default() })
    }

    fn with(options: EmbeddedOptions) -> Self {
        Embedded { folder: tempfile::tempdir().unwrap(), options, open: None }
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
}

/// Stands for the brokers that are reached over a network: see [`Cutting`].
pub struct Network {
    broker: Embedded,
    open: Option<Arc<Cutting>>,
}

impl Network {
    /// Over an embedded broker in a new folder, without a high mark.
    pub fn new() -> Self {
        let options = EmbeddedOptions { queue_high_bytes: u64::MAX >> 1, ..EmbeddedOptions::default() };
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

    fn restart_beneath(&mut self) -> BoxFuture<'_, ()> {
        async { self.connection().restart().await }.boxed()
    }
}
