//! The setup of all these tests.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_config::protocol::{Notify, Response};
use weir_config::{Change, ConfigClient, ConfigService, Follower, FollowerHandle, Store};
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions, SyncMode};
use weir_pubsub::{Backend, Consumer, ConsumerOptions, Limits, Message, Requester};

/// For what must happen at all; nothing here measures time.
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) async fn within_deadline<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("it should have happened by now")
}

/// A broker, and a folder for a store.
pub(super) struct ConfigFixture {
    pub(super) folder: TempDir,
    pub(super) backend: Arc<dyn Backend>,
}

impl ConfigFixture {
    pub(super) fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub(super) fn with_limits(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { sync: SyncMode::None, ..EmbeddedOptions::default() };
        let backend = EmbeddedBroker::open_limited(&folder.path().join("queues"), limits, options).unwrap();
        ConfigFixture { folder, backend }
    }

    pub(super) async fn store(&self) -> Store {
        Store::open(&self.folder.path().join("config.sqlite")).await.unwrap()
    }

    pub(super) async fn service(&self) -> ConfigService {
        ConfigService::start(self.backend.clone(), "tg", self.store().await).await.unwrap()
    }

    pub(super) async fn client(&self) -> ConfigClient {
        ConfigClient::connect(self.backend.clone(), "tg").await.unwrap()
    }

    /// A client with a short time-out.
    pub(super) async fn hasty_client(&self) -> ConfigClient {
        ConfigClient::connect_with(self.backend.clone(), "tg", Duration::from_millis(300)).await.unwrap()
    }

    pub(super) async fn follower(&self) -> Follower {
        Follower::new(self.backend.clone(), "tg", self.client().await).unwrap()
    }

    pub(super) async fn notifies(&self) -> Notifies {
        let topic = "notify:tg:config".parse().unwrap();
        Notifies(self.backend.consumer(&topic, &"test".parse().unwrap(), ConsumerOptions::default()).await.unwrap())
    }

    pub(super) async fn raw(&self) -> Raw {
        let topic = |class: &str| format!("{class}:tg:config").parse().unwrap();
        Raw(Requester::connect(self.backend.clone(), &topic("request"), &topic("response"), &"raw".parse().unwrap()).await.unwrap())
    }
}

/// The notifications of the service.
pub(super) struct Notifies(Box<dyn Consumer>);

impl Notifies {
    pub(super) async fn next(&self) -> Notify {
        serde_json::from_slice(&self.next_message().await.body).unwrap()
    }

    pub(super) async fn next_message(&self) -> Message {
        within_deadline(self.0.receive()).await.unwrap().message
    }

    /// A notification that has already arrived, without waiting.
    pub(super) fn now(&self) -> Option<Notify> {
        let delivery = self.0.receive().now_or_never()?.unwrap();
        Some(serde_json::from_slice(&delivery.message.body).unwrap())
    }
}

/// Sends bodies unchanged.
pub(super) struct Raw(pub(super) Requester);

impl Raw {
    pub(super) async fn message(&self, body: &str) -> Message {
        self.0.request(Message::new(body.to_owned()), DEADLINE).await.unwrap()
    }

    pub(super) async fn ask(&self, body: &str) -> Response {
        serde_json::from_slice(&self.message(body).await.body).unwrap()
    }

    /// The type and message of an answered error; the other fields must be at their defaults.
    pub(super) async fn error(&self, body: &str) -> (String, String) {
        let mut response = self.ask(body).await;
        let error = response.error.take().unwrap_or_else(|| panic!("{body} was no error"));
        assert_eq!(response, Response::default());
        (error.kind, error.message)
    }
}

/// A handler that records what it was called with.
pub(super) struct Seen(mpsc::Receiver<Change>);

pub(super) type Handled = std::future::Ready<Result<(), String>>;

pub(super) fn recorder() -> (Seen, impl Fn(Change) -> Handled + Send + Sync + 'static) {
    let (sender, receiver) = mpsc::channel(1000);
    let handler = move |change| {
        sender.try_send(change).expect("a test makes few changes");
        std::future::ready(Ok(()))
    };
    (Seen(receiver), handler)
}

impl Seen {
    pub(super) async fn next(&mut self) -> Change {
        within_deadline(self.0.recv()).await.expect("the handler is there")
    }

    /// Waits for the call with this value.
    pub(super) async fn until(&mut self, config_type: &str, key: &str, value: Option<&str>) -> Change {
        loop {
            let change = self.next().await;
            if change.get(config_type, key) == value {
                return change;
            }
        }
    }

    /// A call that has already happened, without waiting.
    pub(super) fn now(&mut self) -> Option<Change> {
        self.0.try_recv().ok()
    }
}

/// A running follower, until it is dropped.
pub(super) struct Running {
    pub(super) handle: FollowerHandle,
    task: JoinHandle<()>,
}

pub(super) fn run(follower: Follower) -> Running {
    Running { handle: follower.handle(), task: tokio::spawn(follower.run(CancellationToken::new())) }
}

impl Running {
    pub(super) async fn reaches(&self, version: u64) {
        within_deadline(self.handle.version().wait_for(|known| *known == version)).await.unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
