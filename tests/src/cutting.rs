//! A broker over a network that can be cut: what a RabbitMQ or Pulsar does differently from the embedded broker, over the embedded one.
//!
//! - [`Cutting::cut`] loses the connection: consumers end with `Unavailable` and what they hold is delivered again; what is published and not
//!   confirmed ends with `OutcomeUnknown`, stored or not. [`Cutting::down`] keeps it away until [`Cutting::up`]; every call fails meanwhile.
//! - [`Cutting::restart`] is a broker that ends and comes back: its `request` queues are gone besides.
//! - A settle is not atomic: its outputs are published one after the other, each confirmed, then the delivery is acknowledged. One that fails
//!   on the way names the outputs that were not sent. The outputs of a delivery that is no longer held are not sent.
//! - Deliveries are not counted, only whether one is the first; figures, a list of queues and a deletion of several at once are missing.

use std::collections::{HashMap, HashSet};
use std::io;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{mpsc, oneshot, watch};
use weir_pubsub::{
    Backend, Cause, Class, Confirm, Consumer, ConsumerOptions, Delete, Deletion, Delivery, DeliveryCount, Inspect, Limits, Message, Named,
    Output, Overflow, Page, Producer, PubsubError, Queue, QueueSpec, QueueStats, Receipt, Result, Routing, Settled, Start, Subscription,
    Topic, Unsettled,
};

use crate::wait::pass;

/// Settles of one consumer that may be under way: more than any window.
const UNDER_WAY: usize = 1 << 16;

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Connection {
    /// Rises with every loss.
    number: u64,
    is_up: bool,
}

/// Passes everything on to another broker, over a connection that can be lost.
pub struct Cutting {
    link: Arc<Link>,
}

struct Link {
    inner: Arc<dyn Backend>,
    connection: watch::Sender<Connection>,
    consumers: Mutex<Vec<Weak<Line>>>,
    /// One for each consumer, so that its settles are done in their order.
    settlers: Mutex<HashMap<u64, mpsc::Sender<Settle>>>,
    /// Deliveries that can be settled, with their queues.
    held: Mutex<HashMap<Receipt, Held>>,
    /// Whether it counts nothing and has no bounds.
    is_plain: AtomicBool,
    /// Numbers of consumers that were given.
    numbers: AtomicU64,
}

struct Held {
    queue: Queue,
    /// The number of the consumer.
    consumer: u64,
}

/// A consumer's way to the broker: empty once it was lost.
type Line = Mutex<Option<Arc<dyn Consumer>>>;

struct Settle {
    receipt: Receipt,
    outputs: Vec<Output>,
    connection: Connection,
    done: oneshot::Sender<Result<Settled, Unsettled>>,
}

impl Cutting {
    /// Over another broker.
    pub fn over(inner: Arc<dyn Backend>) -> Arc<Self> {
        let (connection, _) = watch::channel(Connection { number: 0, is_up: true });
        let link = Arc::new(Link {
            inner,
            connection,
            consumers: Mutex::default(),
            settlers: Mutex::default(),
            held: Mutex::default(),
            numbers: AtomicU64::new(0),
            is_plain: AtomicBool::new(false),
        });
        Arc::new(Cutting { link })
    }

    /// From now on a broker that counts nothing and does not support bounds of queues.
    pub fn be_plain(&self) {
        self.link.is_plain.store(true, Ordering::Relaxed);
    }

    /// Loses the connection, which is there again at once.
    pub fn cut(&self) {
        self.down();
        self.up();
    }

    /// Loses the connection until [`Cutting::up`].
    pub fn down(&self) {
        self.link.connection.send_modify(|connection| *connection = Connection { number: connection.number + 1, is_up: false });
        // The broker sees it too: what the consumers held is free again.
        for line in self.link.consumers.lock().unwrap().drain(..).filter_map(|line| line.upgrade()) {
            line.lock().unwrap().take();
        }
        self.link.settlers.lock().unwrap().clear();
        self.link.held.lock().unwrap().clear();
    }

    /// Brings the connection back.
    pub fn up(&self) {
        self.link.connection.send_modify(|connection| connection.is_up = true);
    }

    /// The broker ends and is there again: `request` queues are gone with what is in them.
    pub async fn restart(&self) {
        self.down();
        for queue in self.link.inner.inspect().list_queues().await.unwrap() {
            if queue.topic().class() == Class::Request {
                self.link.inner.delete_queue(&queue, Delete::Always).await.unwrap();
            }
        }
        self.up();
    }

    /// Cuts again and again, at moments that the seed decides, until what is returned is dropped. Each tenth time the broker is restarted,
    /// and each tenth time the connection stays away for some time.
    pub fn keep_cutting(self: &Arc<Self>, seed: u64, longest_pause: Duration) -> KeepsCutting {
        eprintln!("connections are cut by seed {seed}");
        let cutting = self.clone();
        KeepsCutting(tokio::spawn(async move {
            let mut rng = StdRng::seed_from_u64(seed);
            loop {
                pass(longest_pause.mul_f64(rng.random_range(0.1..=1.0))).await;
                match rng.random_range(0..10) {
                    0 => cutting.restart().await,
                    1 => {
                        cutting.down();
                        pass(longest_pause.mul_f64(rng.random_range(0.0..=1.0))).await;
                        cutting.up();
                    }
                    _ => cutting.cut(),
                }
            }
        }))
    }

    /// How often the connection was lost.
    pub fn losses_count(&self) -> u64 {
        self.link.connection.borrow().number
    }
}

/// Cuts until it is dropped; then the connection is there.
pub struct KeepsCutting(tokio::task::JoinHandle<()>);

impl KeepsCutting {
    /// Ends the cutting.
    pub async fn end(mut self, cutting: &Cutting) {
        self.0.abort();
        let _ = (&mut self.0).await;
        cutting.up();
    }
}

impl Drop for KeepsCutting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the operating system reports of a connection that was cut.
fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by a test")
}

fn lost() -> PubsubError {
    PubsubError::unavailable_because("the connection was lost", reset())
}

fn in_doubt() -> PubsubError {
    PubsubError::OutcomeUnknown { reason: "the connection was lost".to_owned(), source: Some(Cause::of(reset())) }
}

impl Link {
    /// The connection, if there is one.
    fn connected(&self) -> Result<Connection> {
        let connection = *self.connection.borrow();
        if connection.is_up { Ok(connection) } else { Err(lost()) }
    }

    fn check_bound(&self, spec: &QueueSpec) -> Result<()> {
        match self.is_plain.load(Ordering::Relaxed) && spec.overflow != Overflow::None {
            true => Err(PubsubError::Unsupported { what: "bounds of queues" }),
            false => Ok(()),
        }
    }

    fn is_lost(&self, since: Connection) -> bool {
        self.connection.borrow().number != since.number
    }

    /// Waits until this connection is lost.
    async fn loss(&self, of: Connection) {
        let mut connection = self.connection.subscribe();
        let _ = connection.wait_for(|now| now.number != of.number).await;
    }

    /// Does something over the connection; its answer is lost with it.
    async fn over<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let connection = self.connected()?;
        tokio::select! {
            biased;
            () = self.loss(connection) => Err(lost()),
            done = work => done,
        }
    }

    /// Publishes and confirms one output.
    async fn send(&self, output: &Output) -> Result<bool> {
        let producer = self.inner.producer(&output.topic).await?;
        match producer.publish_confirmed(output.message.clone()).await {
            Err(PubsubError::QueueNotFound { .. }) if output.routing == Routing::Optional => Ok(false),
            sent => sent.map(|()| true),
        }
    }

    async fn settle(&self, receipt: Receipt, outputs: &[Output], connection: Connection) -> Result<Settled, Unsettled> {
        if !self.held.lock().unwrap().contains_key(&receipt) {
            return Ok(Settled::NoLongerHeld);
        }
        let mut dropped_count = 0;
        for (place, output) in outputs.iter().enumerate() {
            let failed = |error| Unsettled { error, unsent: (place..outputs.len()).collect() };
            if self.is_lost(connection) {
                return Err(failed(lost()));
            }
            dropped_count += u32::from(!self.send(output).await.map_err(failed)?);
        }
        if self.is_lost(connection) {
            return Err(Unsettled { error: lost(), unsent: Vec::new() });
        }
        let settled = self.inner.settle(&receipt, Vec::new()).await?;
        self.held.lock().unwrap().remove(&receipt);
        Ok(match settled {
            Settled::Done { .. } => Settled::Done { dropped_count },
            Settled::NoLongerHeld => Settled::NoLongerHeld,
        })
    }

    fn held_of(&self, queue: &Queue) -> HashSet<Receipt> {
        self.held.lock().unwrap().iter().filter(|(_, held)| held.queue == *queue).map(|(receipt, _)| *receipt).collect()
    }

    /// Passes on a delivery, of which only the first is known as such, and keeps that it is held.
    fn hold(&self, queue: Option<&Queue>, consumer: u64, connection: Connection, mut delivery: Delivery) -> Result<Delivery> {
        let Some(queue) = queue.filter(|_| delivery.receipt.is_some()) else { return Ok(delivery) };
        self.held.lock().unwrap().insert(delivery.receipt, Held { queue: queue.clone(), consumer });
        if self.is_lost(connection) {
            self.held.lock().unwrap().remove(&delivery.receipt);
            return Err(lost());
        }
        delivery.delivery_count = DeliveryCount::AtLeast(delivery.delivery_count.at_least().min(2));
        Ok(delivery)
    }

    /// A consumer that ends with the connection.
    fn consumer(self: &Arc<Self>, queue: Option<Queue>, inner: Box<dyn Consumer>) -> Result<Box<dyn Consumer>> {
        let line = Arc::new(Mutex::new(Some(Arc::<dyn Consumer>::from(inner))));
        self.consumers.lock().unwrap().push(Arc::downgrade(&line));
        // One that was cut in the meantime is among those that the next cut ends, so it is ended here.
        let connection = self.connected().inspect_err(|_| drop(line.lock().unwrap().take()))?;
        Ok(Box::new(CuttingConsumer { link: self.clone(), queue, connection, line, number: self.numbers.fetch_add(1, Ordering::Relaxed) }))
    }
}

struct CuttingProducer {
    link: Arc<Link>,
    inner: Arc<dyn Producer>,
}

#[async_trait]
impl Producer for CuttingProducer {
    async fn publish(&self, message: Message) -> Result<Confirm> {
        let connection = self.link.connected()?;
        // On its way: a loss now is one before the broker had it.
        tokio::task::yield_now().await;
        if self.link.is_lost(connection) {
            return Ok(Confirm::known(Err(in_doubt())));
        }
        let confirm = self.inner.publish(message).await?;
        let (done, outcome) = oneshot::channel();
        let link = self.link.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = link.loss(connection) => drop(done.send(Err(in_doubt()))),
                confirmed = confirm => drop(done.send(confirmed)),
            }
        });
        Ok(Confirm::waiting(outcome))
    }
}

struct CuttingConsumer {
    link: Arc<Link>,
    /// None on topics without queues.
    queue: Option<Queue>,
    connection: Connection,
    line: Arc<Line>,
    number: u64,
}

impl CuttingConsumer {
    fn inner(&self) -> Result<Arc<dyn Consumer>> {
        self.line.lock().unwrap().clone().ok_or_else(lost)
    }
}

#[async_trait]
impl Consumer for CuttingConsumer {
    async fn receive(&self) -> Result<Delivery> {
        let inner = self.inner()?;
        let delivery = tokio::select! {
            biased;
            () = self.link.loss(self.connection) => return Err(lost()),
            delivery = inner.receive() => delivery?,
        };
        self.link.hold(self.queue.as_ref(), self.number, self.connection, delivery)
    }

    async fn readable(&self) -> Result<()> {
        let inner = self.inner()?;
        tokio::select! {
            biased;
            () = self.link.loss(self.connection) => Err(lost()),
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

#[async_trait]
impl Backend for Cutting {
    fn limits(&self) -> &Limits {
        self.link.inner.limits()
    }

    fn inspect(&self) -> &dyn Inspect {
        self
    }

    async fn create_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.link.check_bound(spec)?;
        self.link.over(self.link.inner.create_queue(spec)).await
    }

    async fn ensure_queue(&self, spec: &QueueSpec) -> Result<()> {
        self.link.check_bound(spec)?;
        self.link.over(self.link.inner.ensure_queue(spec)).await
    }

    async fn delete_queue(&self, queue: &Queue, when: Delete) -> Result<Deletion> {
        let held = self.link.held_of(queue);
        let deletion = self.link.over(self.link.inner.delete_queue(queue, when)).await?;
        if deletion == Deletion::Deleted {
            self.link.held.lock().unwrap().retain(|receipt, _| !held.contains(receipt));
        }
        Ok(deletion)
    }

    async fn queue_exists(&self, queue: &Queue) -> Result<bool> {
        self.link.over(self.link.inner.queue_exists(queue)).await
    }

    async fn producer(&self, topic: &Topic) -> Result<Box<dyn Producer>> {
        let inner = self.link.over(self.link.inner.producer(topic)).await?.into();
        Ok(Box::new(CuttingProducer { link: self.link.clone(), inner }))
    }

    async fn consumer(&self, topic: &Topic, subscription: &Subscription, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        self.link.connected()?;
        let inner = self.link.inner.consumer(topic, subscription, options).await?;
        let queue = Queue::new(topic.clone(), subscription.clone()).ok().filter(|_| topic.class().has_queues());
        self.link.consumer(queue, inner)
    }

    fn settle(&self, receipt: &Receipt, outputs: Vec<Output>) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        let outputs_count = outputs.len();
        let connection = match self.link.connected() {
            Ok(_) if !receipt.is_some() => return std::future::ready(Ok(Settled::NoLongerHeld)).boxed(),
            Ok(connection) => connection,
            Err(error) => return std::future::ready(Err(Unsettled::whole(error, outputs_count))).boxed(),
        };
        let mut checks = outputs.iter().map(|output| self.limits().check(&output.topic, &output.message));
        if let Err(error) = self.limits().check_settle(&outputs).and_then(|()| checks.try_for_each(|check| check)) {
            return std::future::ready(Err(Unsettled::whole(error, outputs_count))).boxed();
        }
        let held = self.link.held.lock().unwrap().get(receipt).map(|held| held.consumer);
        let Some(consumer) = held else { return std::future::ready(Ok(Settled::NoLongerHeld)).boxed() };
        let (done, outcome) = oneshot::channel();
        let mut settlers = self.link.settlers.lock().unwrap();
        let settler = settlers.entry(consumer).or_insert_with(|| {
            let (sender, mut settles) = mpsc::channel(UNDER_WAY);
            let link = self.link.clone();
            tokio::spawn(async move {
                while let Some(Settle { receipt, outputs, connection, done }) = settles.recv().await {
                    let _ = done.send(link.settle(receipt, &outputs, connection).await);
                }
            });
            sender
        });
        // One that does not fit drops `done`: nothing of it was sent.
        let _ = settler.try_send(Settle { receipt: *receipt, outputs, connection, done });
        outcome.map(move |outcome| outcome.unwrap_or_else(|_| Err(Unsettled::whole(lost(), outputs_count)))).boxed()
    }

    async fn give_back(&self, receipt: &Receipt) -> Result<()> {
        // First: it may be delivered again by the same receipt before the answer is here.
        self.link.held.lock().unwrap().remove(receipt);
        self.link.over(self.link.inner.give_back(receipt)).await
    }

    async fn failed(&self) -> String {
        self.link.inner.failed().await
    }

    async fn close(&self) {
        self.link.inner.close().await;
    }
}

#[async_trait]
impl Inspect for Cutting {
    async fn stats(&self, queue: &Queue) -> Result<QueueStats> {
        let known = self.link.over(self.link.inner.inspect().stats(queue)).await?;
        if self.link.is_plain.load(Ordering::Relaxed) {
            return Ok(QueueStats::default());
        }
        Ok(QueueStats { depth_count: known.depth_count, consumer_count: known.consumer_count, ..QueueStats::default() })
    }

    async fn tap(&self, topic: &Topic, buffer_count: NonZeroU32) -> Result<Box<dyn Consumer>> {
        self.link.connected()?;
        let inner = self.link.inner.inspect().tap(topic, buffer_count).await?;
        self.link.consumer(None, inner)
    }

    async fn browse(&self, queue: &Queue, start: Start, limit_count: u32, body_bytes: usize) -> Result<Page> {
        self.link.over(self.link.inner.inspect().browse(queue, start, limit_count, body_bytes)).await
    }

    async fn remove(&self, queue: &Queue, message: &Named) -> Result<bool> {
        self.link.over(self.link.inner.inspect().remove(queue, message)).await
    }

    async fn redrive(&self, from: &Queue, message: &Named, to: &Queue, sent: Message) -> Result<bool> {
        self.link.over(self.link.inner.inspect().redrive(from, message, to, sent)).await
    }
}
