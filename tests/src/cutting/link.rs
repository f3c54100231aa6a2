//! What consumers, producers and settles of one backend share: its connections, and what the broker beneath holds for them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use weir_pubsub::{
    Backend, Class, Consumer, Delete, Delivery, DeliveryCount, Output, Overflow, PubsubError, Queue, QueueSpec, Receipt, Result, Routing,
    Settled, Topic, Unsettled,
};

use super::ends::CuttingConsumer;
use super::wire::{Connection, Wire, in_doubt, lost};

pub(super) struct Link {
    pub(super) inner: Arc<dyn Backend>,
    /// Publishes, and outputs of settles.
    pub(super) publishing: Wire,
    /// Everything else.
    pub(super) consuming: Wire,
    /// Whether publishers wait, as under a memory alarm.
    is_blocked: watch::Sender<bool>,
    /// Whether consumers are stalled.
    pub(super) is_stalled: watch::Sender<bool>,
    /// How long blocked publishers wait.
    longest_block_ms: AtomicU64,
    /// Whether the next stored message loses its connection: before the confirmation of any message, or of one of this topic.
    loses_confirm: Mutex<Option<Option<Topic>>>,
    /// Whether the user has no permissions.
    is_denied: AtomicBool,
    lines: Mutex<Vec<(Topic, Weak<Line>)>>,
    /// Queues without the binding to their topic.
    pub(super) unbound: Mutex<HashSet<Queue>>,
    /// Consumers created for each topic.
    made_counts: Mutex<HashMap<Topic, u64>>,
    /// One for each consumer, so that its settles are executed in order.
    pub(super) settlers: Mutex<HashMap<u64, mpsc::Sender<Settle>>>,
    /// Settles that are not completed yet.
    pub(super) settles_count: watch::Sender<usize>,
    /// Deliveries that can be settled, with their queues.
    pub(super) held: Mutex<HashMap<Receipt, Held>>,
    /// Whether it counts nothing and has no limits.
    pub(super) is_plain: AtomicBool,
    /// The consumer numbers assigned so far.
    numbers: AtomicU64,
    pub(super) losses_count: AtomicU64,
    pub(super) stalls_count: AtomicU64,
}

/// A delivery that can be settled.
pub(super) struct Held {
    queue: Queue,
    /// The number of its consumer.
    pub(super) consumer: u64,
}

/// A consumer's connection to the broker: empty once it was lost.
pub(super) struct Line {
    pub(super) inner: Mutex<Option<Arc<dyn Consumer>>>,
    /// Whether it is connected.
    pub(super) is_there: watch::Sender<bool>,
}

impl Line {
    fn lose(&self) {
        self.inner.lock().unwrap().take();
        self.is_there.send_replace(false);
    }
}

pub(super) struct Settle {
    pub(super) receipt: Receipt,
    pub(super) outputs: Vec<Output>,
    pub(super) connection: Connection,
    pub(super) done: oneshot::Sender<Result<Settled, Unsettled>>,
}

impl Link {
    pub(super) fn new(inner: Arc<dyn Backend>) -> Self {
        Link {
            inner,
            publishing: Wire::new(),
            consuming: Wire::new(),
            is_blocked: watch::Sender::new(false),
            is_stalled: watch::Sender::new(false),
            longest_block_ms: AtomicU64::new(0),
            loses_confirm: Mutex::default(),
            is_denied: AtomicBool::new(false),
            lines: Mutex::default(),
            unbound: Mutex::default(),
            made_counts: Mutex::default(),
            settlers: Mutex::default(),
            settles_count: watch::Sender::new(0),
            held: Mutex::default(),
            is_plain: AtomicBool::new(false),
            numbers: AtomicU64::new(0),
            losses_count: AtomicU64::new(0),
            stalls_count: AtomicU64::new(0),
        }
    }

    pub(super) fn publishing_down(&self) {
        self.losses_count.fetch_add(1, Ordering::SeqCst);
        self.publishing.down();
    }

    pub(super) fn consuming_down(&self) {
        self.losses_count.fetch_add(1, Ordering::SeqCst);
        self.consuming.down();
        // The broker detects it too: what the consumers held is free again.
        for line in self.lines.lock().unwrap().drain(..).filter_map(|(_, line)| line.upgrade()) {
            line.lose();
        }
        self.settlers.lock().unwrap().clear();
        self.held.lock().unwrap().clear();
    }

    /// Blocks publishers for at most this time.
    pub(super) fn block(&self, longest: Duration) {
        self.longest_block_ms.store(longest.as_millis() as u64, Ordering::SeqCst);
        self.is_blocked.send_replace(true);
    }

    pub(super) fn unblock(&self) {
        self.is_blocked.send_replace(false);
    }

    /// Waits until no settle is in flight.
    pub(super) async fn settled(&self) {
        let _ = self.settles_count.subscribe().wait_for(|count| *count == 0).await;
    }

    pub(super) fn is_blocked(&self) -> bool {
        *self.is_blocked.borrow()
    }

    pub(super) fn set_denied(&self, is_denied: bool) {
        self.is_denied.store(is_denied, Ordering::SeqCst);
    }

    pub(super) fn lose_next_confirm(&self, of: Option<Topic>) {
        *self.loses_confirm.lock().unwrap() = Some(of);
    }

    /// Whether the confirmation of the message being published is to be lost.
    pub(super) fn takes_loss(&self, topic: &Topic) -> bool {
        let mut loses = self.loses_confirm.lock().unwrap();
        loses.take_if(|of| of.as_ref().is_none_or(|of| of == topic)).is_some()
    }

    /// Ends the consumers of one topic, like a broker that closes their channels.
    pub(super) fn end_consumers_of(&self, topic: &Topic) {
        for line in self.lines.lock().unwrap().iter().filter(|(of, _)| of == topic).filter_map(|(_, line)| line.upgrade()) {
            line.lose();
        }
    }

    pub(super) fn made_count(&self, topic: &Topic) -> u64 {
        self.made_counts.lock().unwrap().get(topic).copied().unwrap_or_default()
    }

    /// Deletes the broker's `request` queues.
    pub(super) async fn forget_requests(&self) {
        for queue in self.inner.inspect().list_queues().await.unwrap() {
            if queue.topic().class() == Class::Request {
                self.inner.delete_queue(&queue, Delete::Always).await.unwrap();
            }
        }
    }

    pub(super) fn check_bound(&self, spec: &QueueSpec) -> Result<()> {
        match self.is_plain.load(Ordering::Relaxed) && spec.overflow != Overflow::None {
            true => Err(PubsubError::Unsupported { what: "bounds of queues" }),
            false => Ok(()),
        }
    }

    /// Whether the user has permission.
    pub(super) fn permitted(&self) -> Result<()> {
        if self.is_denied.load(Ordering::SeqCst) {
            let reason = "user `weir` has no rights: give it rights on this virtual host".to_owned();
            return Err(PubsubError::Refused { reason, source: None });
        }
        Ok(())
    }

    /// Whether a topic is routed to queues, as far as their bindings go: not if one of them has lost its binding.
    pub(super) fn routed(&self, topic: &Topic) -> Result<()> {
        let is_unbound = self.unbound.lock().unwrap().iter().any(|queue| queue.topic() == topic);
        if is_unbound { Err(PubsubError::no_queue_of(topic)) } else { Ok(()) }
    }

    /// The publishing connection, once the broker accepts messages.
    pub(super) async fn may_publish(&self) -> Result<Connection> {
        let mut is_blocked = self.is_blocked.subscribe();
        let connection = self.publishing.connected()?;
        let longest = Duration::from_millis(self.longest_block_ms.load(Ordering::SeqCst));
        tokio::select! {
            biased;
            () = self.publishing.loss(connection) => return Err(lost()),
            waited = tokio::time::timeout(longest, is_blocked.wait_for(|is_blocked| !is_blocked)) => {
                waited.map_err(|_| PubsubError::unavailable("the broker blocks its publishers"))?.expect("the link has the sender");
            }
        }
        self.permitted()?;
        Ok(connection)
    }

    /// The outcome that the publisher gets for a stored message: none if the connection was lost meanwhile; it is lost now if this
    /// confirmation is to be lost.
    pub(super) fn confirmed(&self, connection: Connection, loses: bool, stored: Result<()>) -> Result<()> {
        if stored.is_ok() && loses {
            self.publishing_down();
            self.publishing.up();
        }
        if self.publishing.is_lost(connection) { Err(in_doubt()) } else { stored }
    }

    /// Publishes one output and waits for its confirmation; returns whether it found a queue.
    async fn send(&self, output: &Output) -> Result<bool> {
        let connection = self.may_publish().await?;
        // In transit: a loss now happens before the broker has it.
        tokio::task::yield_now().await;
        if self.publishing.is_lost(connection) {
            return Err(in_doubt());
        }
        let producer = self.inner.producer(&output.topic).await?;
        let loses = self.takes_loss(&output.topic);
        let stored = match self.routed(&output.topic) {
            Ok(()) => producer.publish_confirmed(output.message.clone()).await,
            unrouted => unrouted,
        };
        match self.confirmed(connection, loses, stored) {
            Err(PubsubError::QueueNotFound { .. }) if output.routing == Routing::Optional => Ok(false),
            sent => sent.map(|()| true),
        }
    }

    pub(super) async fn settle(&self, receipt: Receipt, outputs: &[Output], connection: Connection) -> Result<Settled, Unsettled> {
        let mut dropped_count = 0;
        for (place, output) in outputs.iter().enumerate() {
            let failed = move |error| Unsettled { error, unsent: (place..outputs.len()).collect(), dropped_count };
            if self.consuming.is_lost(connection) {
                return Err(failed(lost()));
            }
            if !self.held.lock().unwrap().contains_key(&receipt) {
                return if place == 0 { Ok(Settled::NoLongerHeld) } else { Err(failed(in_doubt())) };
            }
            dropped_count += u32::from(!self.send(output).await.map_err(failed)?);
        }
        if self.consuming.is_lost(connection) {
            return Err(Unsettled::unacknowledged(lost(), dropped_count));
        }
        let gone = || match outputs.len() {
            0 => Ok(Settled::NoLongerHeld),
            _ => Err(Unsettled::unacknowledged(in_doubt(), dropped_count)),
        };
        if !self.held.lock().unwrap().contains_key(&receipt) {
            return gone();
        }
        let settled = self.inner.settle(&receipt, Vec::new()).await?;
        self.held.lock().unwrap().remove(&receipt);
        match settled {
            Settled::Done { .. } => Ok(Settled::Done { dropped_count }),
            Settled::NoLongerHeld => gone(),
        }
    }

    pub(super) fn held_of(&self, queue: &Queue) -> HashSet<Receipt> {
        self.held.lock().unwrap().iter().filter(|(_, held)| held.queue == *queue).map(|(receipt, _)| *receipt).collect()
    }

    /// Passes on a delivery, marking only the first as such, and records that it is held.
    pub(super) fn hold(&self, queue: Option<&Queue>, consumer: u64, line: &Line, mut delivery: Delivery) -> Result<Delivery> {
        let Some(queue) = queue.filter(|_| delivery.receipt.is_some()) else { return Ok(delivery) };
        self.held.lock().unwrap().insert(delivery.receipt, Held { queue: queue.clone(), consumer });
        if line.inner.lock().unwrap().is_none() {
            self.held.lock().unwrap().remove(&delivery.receipt);
            return Err(lost());
        }
        delivery.delivery_count = DeliveryCount::AtLeast(delivery.delivery_count.at_least().min(2));
        Ok(delivery)
    }

    /// A consumer that ends with the connection.
    pub(super) fn consumer(
        self: &Arc<Self>,
        topic: &Topic,
        queue: Option<Queue>,
        inner: Box<dyn Consumer>,
        connection: Connection,
    ) -> Result<Box<dyn Consumer>> {
        let line = Arc::new(Line { inner: Mutex::new(Some(Arc::from(inner))), is_there: watch::Sender::new(true) });
        self.lines.lock().unwrap().push((topic.clone(), Arc::downgrade(&line)));
        *self.made_counts.lock().unwrap().entry(topic.clone()).or_default() += 1;
        // A consumer cut in the meantime would be ended only by the next cut, so it is ended here.
        if self.consuming.is_lost(connection) {
            line.lose();
            return Err(lost());
        }
        Ok(Box::new(CuttingConsumer { link: self.clone(), queue, line, number: self.numbers.fetch_add(1, Ordering::Relaxed) }))
    }
}
