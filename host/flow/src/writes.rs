//! All writes of the flow service to the configuration: the only file of this crate that calls the client's write operation. Each write has the
//! condition that this service still leads.
//!
//! A lock is not a fence: a suspended process may have lost it to another one without noticing. So each new leader writes its own id to the
//! configuration, and a write with another id has no effect. The broker has no such condition: before it creates or deletes a queue, the service
//! checks that it still leads, unless that was confirmed a moment ago ([`Writes::confirm`]).

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_config::names::{FLOW_SERVICE_TYPE, LEADER_KEY};
use weir_config::protocol::Key;
use weir_config::{Batch, ConfigClient, ConfigError, Result, Versioned};
use weir_pubsub::{Backend, MessageId};

/// Space reserved in a request that was checked before, for marks of queues, a longer status, and additions of this file.
const REQUEST_ROOM_BYTES: usize = 256 << 10;
/// How long a confirmation that this service leads is valid: less than a broker and a standby service together need until another one leads, unless
/// the connection is lost at the same moment.
const FRESH_TIME: Duration = Duration::from_secs(1);

/// Writes configuration as the leading service.
pub(crate) struct Writes {
    backend: Arc<dyn Backend>,
    config: ConfigClient,
    /// The id in the configuration while this service leads. `None` on a broker that no other process can use: then start-up writes nothing, and
    /// needs no space on a full disk.
    leader: Option<String>,
    /// The time of the last successful check that it leads.
    confirmed: Mutex<Instant>,
    fenced: CancellationToken,
}

impl Writes {
    /// Makes this service the leader: later writes of an earlier one have no effect. The caller has the lock.
    ///
    /// # Errors
    /// As [`ConfigClient::apply`].
    pub(crate) async fn lead(backend: Arc<dyn Backend>, config: ConfigClient) -> Result<Self> {
        let leader = backend.is_shared().then(|| format!("\"{}\"", MessageId::random(&mut rand::rng())));
        let asked = Instant::now();
        if let Some(leader) = &leader {
            send(&config, Batch::new().put(FLOW_SERVICE_TYPE, LEADER_KEY, leader).with_reserve()).await?;
        }
        Ok(Writes { backend, config, leader, confirmed: Mutex::new(asked), fenced: CancellationToken::new() })
    }

    /// Waits until another service is found to lead.
    ///
    /// # Cancel safety
    /// Yes.
    pub(crate) async fn fenced(&self) {
        self.fenced.cancelled().await;
    }

    /// Writes a batch atomically. Once another service leads, nothing is written and this never returns: its caller is dropped with all operations of
    /// this service.
    ///
    /// # Errors
    /// As [`ConfigClient::apply`]; a conflict is one of the batch's own conditions.
    ///
    /// # Cancel safety
    /// The batch may still be written, completely or not at all.
    pub(crate) async fn write(&self, batch: Batch) -> Result<()> {
        let asked = Instant::now();
        match send(&self.config, self.with_leader_condition(batch)).await {
            Ok(()) => {
                self.note(asked);
                Ok(())
            }
            // The failed condition is one of the batch's or that this service leads: the stored id distinguishes them.
            Err(conflict @ ConfigError::Conflict { .. }) => {
                self.version().await?;
                Err(conflict)
            }
            Err(error) => Err(error),
        }
    }

    /// The current version of the configuration, if this service leads. Never returns once another one does.
    ///
    /// # Errors
    /// As [`ConfigClient::get`].
    pub(crate) async fn version(&self) -> Result<u64> {
        let asked = Instant::now();
        let key = Key { config_type: FLOW_SERVICE_TYPE.to_owned(), key: LEADER_KEY.to_owned() };
        let Versioned { version, value } = self.config.get(&[key]).await?;
        if self.leader.is_some() && value.first().and_then(|leader| leader.value.as_ref()) != self.leader.as_ref() {
            match self.fence().await {}
        }
        self.note(asked);
        Ok(version)
    }

    /// Returns if this service led a moment ago; call it right before the broker creates or deletes a queue. Never returns once another service
    /// leads.
    ///
    /// # Errors
    /// As [`ConfigClient::get`]: it is unknown whether it leads.
    pub(crate) async fn confirm(&self) -> Result<()> {
        if self.leader.is_none() {
            return Ok(());
        }
        loop {
            let confirmed = *self.confirmed();
            if confirmed.elapsed() < FRESH_TIME {
                return Ok(());
            }
            self.version().await?;
        }
    }

    /// Returns if this service leads now; call it before answering a request with data that was read without a later write. Never returns once
    /// another service leads.
    ///
    /// # Errors
    /// As [`ConfigClient::get`]: it is unknown whether it leads.
    pub(crate) async fn confirm_now(&self) -> Result<()> {
        if self.leader.is_none() {
            return Ok(());
        }
        self.version().await.map(|_| ())
    }

    /// Records that this service led at the time of the check.
    fn note(&self, asked: Instant) {
        let mut confirmed = self.confirmed();
        *confirmed = asked.max(*confirmed);
    }

    /// Never held during a request, which takes as long as the config service does, while others are answered.
    fn confirmed(&self) -> MutexGuard<'_, Instant> {
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fence(&self) -> Infallible {
        self.fenced.cancel();
        std::future::pending().await
    }

    /// Checks that a batch can be written in one request. Check the batch that undoes a change before writing the change.
    ///
    /// # Errors
    /// `Refused`, with the figure that is too large.
    pub(crate) fn check_fits(&self, batch: &Batch) -> Result<()> {
        self.with_leader_condition(batch.clone()).check_fits(self.backend.limits().max_message_bytes.saturating_sub(REQUEST_ROOM_BYTES))
    }

    /// A batch with the condition that all writes have in common.
    fn with_leader_condition(&self, batch: Batch) -> Batch {
        match &self.leader {
            Some(leader) => batch.on_condition(FLOW_SERVICE_TYPE, LEADER_KEY, Some(leader.clone())),
            None => batch,
        }
    }
}

async fn send(config: &ConfigClient, batch: Batch) -> Result<()> {
    config.apply(batch).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use weir_config::names::CONFIG_SERVICE;
    use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions};
    use weir_pubsub::{CORRELATION_ID, ConsumerOptions, Message, QueueSpec};

    use super::*;

    #[tokio::test]
    async fn a_write_does_not_wait_for_a_question_that_has_no_answer_yet() {
        let folder = tempfile::tempdir().unwrap();
        let backend: Arc<dyn Backend> = EmbeddedBroker::open(folder.path(), EmbeddedOptions::default()).unwrap();
        let queue = CONFIG_SERVICE.requests("tg").unwrap();
        backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
        let requests = backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap();
        let answers = backend.producer(&CONFIG_SERVICE.responses("tg").unwrap()).await.unwrap();
        let config = ConfigClient::connect(backend.clone(), "tg").await.unwrap();
        let writes = Arc::new(Writes::lead(backend, config).await.unwrap());
        let asking = tokio::spawn({
            let writes = writes.clone();
            async move { writes.version().await }
        });
        // The request is not answered.
        requests.receive().await.unwrap();
        let write = tokio::spawn(async move { writes.write(Batch::new().put("t", "k", "v")).await });
        let request = requests.receive().await.unwrap();
        let id = request.message.properties.get(CORRELATION_ID).unwrap();
        answers.publish_confirmed(Message::new("{}").with(CORRELATION_ID, id)).await.unwrap();
        write.await.unwrap().unwrap();
        assert!(!asking.is_finished(), "the write waited for the question");
    }
}
