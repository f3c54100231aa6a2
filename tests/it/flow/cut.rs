//! A broker whose connection to the config service can be cut at a chosen moment, and whose locks can be lost silently.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use weir_pubsub::{
    Backend, Confirm, Consumer, ConsumerOptions, Delete, Deletion, Inspect, Limits, Lock, LockName, Message, Output, Producer, PubsubError,
    Queue, QueueSpec, Receipt, Result, Settled, Sharing, Subscription, Topic, Unsettled,
};

/// The state of the line to the config service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Up,
    /// Requests are not sent.
    Down,
    /// One request is executed and its answer is lost; then the line is down.
    Deaf,
}

/// The moment that the line waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    QueueMade,
    QueuesDeleted,
}

#[derive(Debug)]
struct State {
    line: Line,
    next: Option<(Moment, Line)>,
}

/// Forwards everything to another broker.
pub(super) struct Cut {
    inner: Arc<dyn Backend>,
    state: Arc<Mutex<State>>,
    /// Whether locks are granted that the broker does not hold, and queues are never exclusive.
    pretends: AtomicBool,
}

/// A lock that only its holder believes in.
struct Pretended;

#[async_trait]
impl Lock for Pretended {
    async fn lost(&mut self) -> PubsubError {
        std::future::pending().await
    }
}

impl Cut {
    pub(super) fn over(inner: Arc<dyn Backend>) -> Arc<Self> {
        let state = Arc::new(Mutex::new(State { line: Line::Up, next: None }));
        Arc::new(Cut { inner, state, pretends: AtomicBool::new(false) })
    }

    /// The holder of such a lock does not notice that others get it, too: like a process that was suspended.
    pub(super) fn pretending(inner: Arc<dyn Backend>) -> Arc<Self> {
        let cut = Self::over(inner);
        cut.pretends.store(true, Ordering::SeqCst);
        cut
    }

    pub(super) fn set(&self, line: Line) {
        self.state.lock().unwrap().line = line;
    }

    /// Changes the line once something has happened.
    pub(super) fn set_after(&self, moment: Moment, line: Line) {
        self.state.lock().unwrap().next = Some((moment, line));
    }

    fn done(&self, moment: Moment) {
        let mut state = self.state.lock().unwrap();
        if let Some((_, line)) = state.next.take_if(|(at, _)| *at == moment) {
            state.line = line;
        }
    }
}

struct CutProducer {
    inner: Box<dyn Producer>,
    state: Arc<Mutex<State>>,
}

#[async_trait]
impl Producer for CutProducer {
    async fn publish(&self, message: Message) -> Result<Confirm> {
        let line = self.state.lock().unwrap().line;
        if line == Line::Up {
            return self.inner.publish(message).await;
        }
        self.state.lock().unwrap().line = Line::Down;
        if line == Line::Deaf {
            self.inner.publish_confirmed(message).await?;
            return Err(PubsubError::outcome_unknown("cut"));
        }
        Err(PubsubError::unavailable("cut"))
    }
}

#[async_trait]
impl Backend for Cut {
    fn limits(&self) -> &Limits {
        self.inner.limits()
    }

    async fn create_queue(&self, spec: &QueueSpec) -> Result<()> {
        let made = self.inner.create_queue(spec).await;
        self.done(Moment::QueueMade);
        made
    }

    async fn ensure_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.inner.ensure_queue(spec).await
    }

    fn inspect(&self) -> &dyn Inspect {
        self.inner.inspect()
    }

    async fn delete_queue(&self, queue: &Queue, when: Delete) -> Result<Deletion> {
        self.inner.delete_queue(queue, when).await
    }

    async fn delete_queues_if_empty(&self, queues: &[Queue]) -> Result<Deletion> {
        let deleted = self.inner.delete_queues_if_empty(queues).await;
        self.done(Moment::QueuesDeleted);
        deleted
    }

    async fn queue_exists(&self, queue: &Queue) -> Result<bool> {
        self.inner.queue_exists(queue).await
    }

    async fn producer(&self, topic: &Topic) -> Result<Box<dyn Producer>> {
        let inner = self.inner.producer(topic).await?;
        if topic.as_str() != "request:tg:config" {
            return Ok(inner);
        }
        Ok(Box::new(CutProducer { inner, state: self.state.clone() }))
    }

    async fn consumer(&self, topic: &Topic, subscription: &Subscription, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        let sharing = if self.pretends.load(Ordering::SeqCst) { Sharing::Competing } else { options.sharing };
        self.inner.consumer(topic, subscription, ConsumerOptions { sharing, ..options }).await
    }

    fn settle(&self, receipt: &Receipt, outputs: Vec<Output>) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        self.inner.settle(receipt, outputs)
    }

    async fn requeue(&self, receipt: &Receipt) -> Result<()> {
        self.inner.requeue(receipt).await
    }

    async fn lock(&self, name: &LockName) -> Result<Box<dyn Lock>> {
        if self.pretends.load(Ordering::SeqCst) {
            return Ok(Box::new(Pretended));
        }
        self.inner.lock(name).await
    }

    async fn failed(&self) -> String {
        self.inner.failed().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
