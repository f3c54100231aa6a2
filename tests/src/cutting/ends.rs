//! Producers and consumers whose connection can be lost.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use tokio::sync::oneshot;
use weir_pubsub::{Confirm, Consumer, Delivery, Message, Producer, PubsubError, Queue, Result, Topic};

use super::link::{Line, Link};
use super::wire::{in_doubt, lost};

pub(super) struct CuttingProducer {
    pub(super) link: Arc<Link>,
    pub(super) topic: Topic,
    pub(super) inner: Arc<dyn Producer>,
}

#[async_trait]
impl Producer for CuttingProducer {
    async fn publish(&self, message: Message) -> Result<Confirm> {
        let connection = self.link.may_publish().await?;
        // In transit: a loss now happens before the broker has it.
        tokio::task::yield_now().await;
        if self.link.publishing.is_lost(connection) {
            return Ok(Confirm::resolved(Err(in_doubt())));
        }
        self.link.routed(&self.topic)?;
        let loses = self.link.takes_loss(&self.topic);
        let confirm = self.inner.publish(message).await?;
        let (done, outcome) = oneshot::channel();
        let link = self.link.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = link.publishing.loss(connection) => drop(done.send(Err(in_doubt()))),
                stored = confirm => drop(done.send(link.confirmed(connection, loses, stored))),
            }
        });
        Ok(Confirm::waiting(outcome))
    }
}

pub(super) struct CuttingConsumer {
    pub(super) link: Arc<Link>,
    /// `None` on topics without queues.
    pub(super) queue: Option<Queue>,
    pub(super) line: Arc<Line>,
    pub(super) number: u64,
}

impl CuttingConsumer {
    fn inner(&self) -> Result<Arc<dyn Consumer>> {
        self.line.inner.lock().unwrap().clone().ok_or_else(lost)
    }

    async fn stall(&self) -> PubsubError {
        let _ = self.link.is_stalled.subscribe().wait_for(|is_stalled| *is_stalled).await;
        self.link.stalls_count.fetch_add(1, Ordering::SeqCst);
        PubsubError::Stalled { reason: "messages cannot be read for a while".to_owned(), source: None }
    }

    async fn loss(&self) {
        let _ = self.line.is_there.subscribe().wait_for(|is_there| !is_there).await;
    }
}

#[async_trait]
impl Consumer for CuttingConsumer {
    async fn receive(&self) -> Result<Delivery> {
        let inner = self.inner()?;
        let delivery = tokio::select! {
            biased;
            () = self.loss() => return Err(lost()),
            stalled = self.stall() => return Err(stalled),
            delivery = inner.receive() => delivery?,
        };
        self.link.hold(self.queue.as_ref(), self.number, &self.line, delivery)
    }

    async fn readable(&self) -> Result<()> {
        let inner = self.inner()?;
        tokio::select! {
            biased;
            () = self.loss() => Err(lost()),
            stalled = self.stall() => Err(stalled),
            readable = inner.readable() => readable,
        }
    }

    fn set_window(&self, window: NonZeroU32) {
        if let Ok(inner) = self.inner() {
            inner.set_window(window);
        }
    }
}

impl Drop for CuttingConsumer {
    fn drop(&mut self) {
        self.link.held.lock().unwrap().retain(|_, held| held.consumer != self.number);
        self.link.settlers.lock().unwrap().remove(&self.number);
    }
}
