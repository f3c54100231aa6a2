//! A broker whose subscriptions can be cut and counted, and whose calls can panic.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokio::sync::broadcast;
use weir_pubsub::{
    Backend, Class, Confirm, Consumer, ConsumerOptions, Delete, Deletion, Delivery, Inspect, Limits, Lock, LockName, Message, Output,
    Producer, PubsubError, Queue, QueueSpec, Receipt, Result, Settled, Subscription, Topic, Unsettled,
};

/// What happens to all subscriptions to notifications, or to all consumers of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    NotifiesLagged,
    NotifiesCut,
    RequestsCut,
}

/// A call that can panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Limits,
    CreateQueue,
    Consumer,
    /// After it received a message.
    Receive,
    /// Of a delivery with an output to the topic.
    Settle,
    Publish,
}

/// The call that panics next, and its topic; none once it has panicked.
#[derive(Clone, Default)]
struct Panics(Arc<Mutex<Option<(Call, String)>>>);

impl Panics {
    fn check(&self, call: Call, topic: &str) {
        let taken = self.0.lock().unwrap().take_if(|(of, at)| *of == call && at == topic);
        assert!(taken.is_none(), "ordered by a test at {call:?} of {topic}");
    }
}

/// Settles whose first output is to this topic fail with an error of this function.
type Refused = Mutex<Option<(String, fn(&Message) -> Option<PubsubError>)>>;

/// Forwards everything to another broker.
pub(crate) struct Faulty {
    inner: Arc<dyn Backend>,
    faults: broadcast::Sender<Fault>,
    /// Live subscriptions to answers.
    answers_count: Arc<AtomicUsize>,
    panics: Panics,
    refused: Refused,
    refusals_count: AtomicUsize,
    /// If set, no queue is created, for this reason.
    queues_refused: Mutex<Option<&'static str>>,
}

impl Faulty {
    pub(crate) fn over(inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Faulty {
            inner,
            faults: broadcast::channel(16).0,
            answers_count: Arc::default(),
            panics: Panics::default(),
            refused: Refused::default(),
            refusals_count: AtomicUsize::new(0),
            queues_refused: Mutex::default(),
        })
    }

    /// Makes settles fail whose first output is to a topic, with an error of this function.
    pub(crate) fn refuse(&self, topic: &str, error: fn(&Message) -> Option<PubsubError>) {
        *self.refused.lock().unwrap() = Some((topic.to_owned(), error));
        self.refusals_count.store(0, Ordering::SeqCst);
    }

    /// Makes the creation of queues fail from now on.
    pub(crate) fn refuse_queues(&self, reason: &'static str) {
        *self.queues_refused.lock().unwrap() = Some(reason);
    }

    /// Makes nothing fail any more.
    pub(crate) fn accept(&self) {
        *self.refused.lock().unwrap() = None;
        *self.queues_refused.lock().unwrap() = None;
    }

    /// Settles that failed since the last call of `refuse`.
    pub(crate) fn refusals_count(&self) -> usize {
        self.refusals_count.load(Ordering::SeqCst)
    }

    pub(crate) fn fault(&self, fault: Fault) {
        // Between a cut and the next subscription there is nothing to hit.
        let _ = self.faults.send(fault);
    }

    /// The next call of this kind on the topic panics, and none after it.
    pub(crate) fn panic_once(&self, call: Call, topic: &str) {
        *self.panics.0.lock().unwrap() = Some((call, topic.to_owned()));
    }

    /// Whether the requested panic has happened.
    pub(crate) fn has_panicked(&self) -> bool {
        self.panics.0.lock().unwrap().is_none()
    }

    pub(crate) fn answers_count(&self) -> usize {
        self.answers_count.load(Ordering::SeqCst)
    }
}

struct FaultyConsumer {
    inner: Box<dyn Consumer>,
    class: Class,
    faults: tokio::sync::Mutex<broadcast::Receiver<Fault>>,
    counted: Option<Arc<AtomicUsize>>,
    topic: String,
    panics: Panics,
}

impl FaultyConsumer {
    async fn next_fault(&self) -> PubsubError {
        let mut faults = self.faults.lock().await;
        loop {
            let Ok(fault) = faults.recv().await else { std::future::pending().await };
            match (self.class, fault) {
                (Class::Notify, Fault::NotifiesLagged) => return PubsubError::Lagged { missed_count: 3 },
                (Class::Notify, Fault::NotifiesCut) | (Class::Request, Fault::RequestsCut) => {
                    return PubsubError::unavailable("cut");
                }
                _ => {}
            }
        }
    }
}

#[async_trait]
impl Consumer for FaultyConsumer {
    async fn receive(&self) -> Result<Delivery> {
        tokio::select! {
            biased;
            fault = self.next_fault() => Err(fault),
            delivery = self.inner.receive() => {
                self.panics.check(Call::Receive, &self.topic);
                delivery
            }
        }
    }

    async fn readable(&self) -> Result<()> {
        self.inner.readable().await
    }

    fn set_window(&self, window: NonZeroU32) {
        self.inner.set_window(window);
    }
}

impl Drop for FaultyConsumer {
    fn drop(&mut self) {
        if let Some(count) = &self.counted {
            count.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

struct FaultyProducer {
    inner: Box<dyn Producer>,
    topic: String,
    panics: Panics,
}

#[async_trait]
impl Producer for FaultyProducer {
    async fn publish(&self, message: Message) -> Result<Confirm> {
        self.panics.check(Call::Publish, &self.topic);
        self.inner.publish(message).await
    }
}

#[async_trait]
impl Backend for Faulty {
    fn limits(&self) -> &Limits {
        self.panics.check(Call::Limits, "");
        self.inner.limits()
    }

    async fn create_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.panics.check(Call::CreateQueue, &spec.queue.topic().to_string());
        self.inner.create_queue(spec).await
    }

    async fn ensure_queue(&self, spec: &QueueSpec) -> Result<()> {
        if let Some(reason) = *self.queues_refused.lock().unwrap() {
            return Err(PubsubError::unavailable(reason));
        }
        self.inner.ensure_queue(spec).await
    }

    fn inspect(&self) -> &dyn Inspect {
        self.inner.inspect()
    }

    async fn delete_queue(&self, queue: &Queue, when: Delete) -> Result<Deletion> {
        self.inner.delete_queue(queue, when).await
    }

    async fn delete_queues_if_empty(&self, queues: &[Queue]) -> Result<Deletion> {
        self.inner.delete_queues_if_empty(queues).await
    }

    async fn queue_exists(&self, queue: &Queue) -> Result<bool> {
        self.inner.queue_exists(queue).await
    }

    async fn producer(&self, topic: &Topic) -> Result<Box<dyn Producer>> {
        let inner = self.inner.producer(topic).await?;
        Ok(Box::new(FaultyProducer { inner, topic: topic.to_string(), panics: self.panics.clone() }))
    }

    async fn consumer(&self, topic: &Topic, subscription: &Subscription, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        self.panics.check(Call::Consumer, &topic.to_string());
        let faults = tokio::sync::Mutex::new(self.faults.subscribe());
        let inner = self.inner.consumer(topic, subscription, options).await?;
        let counted = (topic.class() == Class::Response).then(|| self.answers_count.clone());
        if let Some(count) = &counted {
            count.fetch_add(1, Ordering::SeqCst);
        }
        Ok(Box::new(FaultyConsumer { inner, class: topic.class(), faults, counted, topic: topic.to_string(), panics: self.panics.clone() }))
    }

    fn settle(&self, receipt: &Receipt, outputs: Vec<Output>) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        if let Some(output) = outputs.first() {
            self.panics.check(Call::Settle, &output.topic.to_string());
            let refused = self.refused.lock().unwrap().clone();
            let error = refused.filter(|(topic, _)| *topic == output.topic.to_string()).and_then(|(_, error)| error(&output.message));
            if let Some(error) = error {
                self.refusals_count.fetch_add(1, Ordering::SeqCst);
                return ready(Err(Unsettled::whole(error, outputs.len()))).boxed();
            }
        }
        self.inner.settle(receipt, outputs)
    }

    async fn requeue(&self, receipt: &Receipt) -> Result<()> {
        self.inner.requeue(receipt).await
    }

    async fn lock(&self, name: &LockName) -> Result<Box<dyn Lock>> {
        self.inner.lock(name).await
    }

    async fn failed(&self) -> String {
        self.inner.failed().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
