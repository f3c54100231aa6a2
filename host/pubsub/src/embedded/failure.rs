//! A commit thread that ends by a fault.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;

use super::EmbeddedBroker;
use super::Shared;
use super::log::Log;
use super::writer::Writer;
use crate::supervise::panic_text;

/// Why the commit thread ended, once it has by a fault.
pub(super) type Failed = watch::Sender<Option<String>>;

impl EmbeddedBroker {
    /// Waits until the broker has failed for good, and returns the reason; never returns for one that is closed. From then on every call gets
    /// `Unavailable`, and what was waiting for an answer gets `OutcomeUnknown`: open the folder again to go on with what is on the disk.
    ///
    /// # Cancel safety
    /// Yes.
    pub async fn failed(&self) -> String {
        let mut failed = self.shared.failed.subscribe();
        let reason = failed.wait_for(Option::is_some).await.expect("its sender lives as long as the broker").clone();
        reason.unwrap_or_default()
    }

    /// Makes the commit thread panic with its next commit: for tests of the whole process, and not in release builds.
    #[cfg(any(test, debug_assertions))]
    #[doc(hidden)]
    pub fn break_commit_thread(&self) {
        self.shared.panics_next.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// Whether the broker has failed for good.
    pub fn has_failed(&self) -> bool {
        self.shared.failed.borrow().is_some()
    }
}

/// Starts the commit thread.
pub(super) fn start(shared: Arc<Shared>, log: Log) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("weir-log".to_owned()).spawn(move || {
        let writer = Writer::new(shared.clone(), log);
        // The writer closes everything when it is dropped, so no caller waits for a thread that is gone.
        if let Err(payload) = std::panic::catch_unwind(AssertUnwindSafe(|| writer.run())) {
            let reason = panic_text(&*payload);
            tracing::error!(error = reason, "commit thread ended, nothing is stored any more");
            shared.failed.send_replace(Some(reason));
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backend::{Backend, ConsumerOptions, Inspect, QueueSpec};
    use crate::embedded::EmbeddedOptions;
    use crate::error::PubsubError;
    use crate::message::Message;
    use crate::topic::{Queue, Topic};

    async fn soon<T>(what: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(20), what).await.expect("it should have happened by now")
    }

    #[tokio::test]
    async fn a_commit_thread_that_panics_is_reported_and_no_caller_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let broker = EmbeddedBroker::open(folder.path(), EmbeddedOptions::default()).unwrap();
        let topic: Topic = "flow:tg:a".parse().unwrap();
        let queue = Queue::new(topic.clone(), "s".parse().unwrap()).unwrap();
        broker.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        let producer = broker.producer(&topic).await.unwrap();
        producer.publish_confirmed(Message::new("kept")).await.unwrap();
        let reader = broker.consumer(&topic, queue.subscription(), ConsumerOptions::default()).await.unwrap();
        let held = reader.receive().await.unwrap();
        assert!(!broker.has_failed());

        broker.break_commit_thread();
        let (published, settled, received) = soon(async {
            tokio::join!(producer.publish_confirmed(Message::new("lost")), broker.settle(&held.receipt, Vec::new()), reader.receive())
        })
        .await;
        let is_told = |error: &PubsubError| matches!(error, PubsubError::OutcomeUnknown { .. } | PubsubError::Unavailable { .. });
        assert!(matches!(published, Err(PubsubError::OutcomeUnknown { .. })), "{published:?}");
        assert!(is_told(&settled.unwrap_err().error) && is_told(&received.unwrap_err()));
        assert_eq!(soon(broker.failed()).await, "panic: ordered by a test");
        assert!(broker.has_failed());

        let later = soon(async {
            [
                producer.publish_confirmed(Message::new("later")).await.unwrap_err(),
                broker.settle(&held.receipt, Vec::new()).await.unwrap_err().error,
                broker.give_back(&held.receipt).await.unwrap_err(),
                broker.delete_queue(&queue, crate::backend::Delete::Always).await.unwrap_err(),
                broker.stats(&queue).await.unwrap_err(),
                reader.receive().await.unwrap_err(),
            ]
        });
        for error in later.await {
            assert!(matches!(error, PubsubError::Unavailable { .. }), "{error}");
        }
        soon(broker.close()).await;
        let again = EmbeddedBroker::open(folder.path(), EmbeddedOptions::default()).unwrap();
        assert_eq!(again.opening_report().messages_count, 1);
    }

    #[tokio::test]
    async fn a_broker_that_is_closed_has_not_failed() {
        let folder = tempfile::tempdir().unwrap();
        let broker = EmbeddedBroker::open(folder.path(), EmbeddedOptions::default()).unwrap();
        broker.close().await;
        assert!(!broker.has_failed());
        assert!(tokio::time::timeout(Duration::from_millis(1), broker.failed()).await.is_err());
    }
}
