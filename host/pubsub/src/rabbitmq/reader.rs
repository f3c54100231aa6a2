//! Consuming a shared queue, on a channel of its own, so that a slow consumer does not block others and acknowledgements do not affect their
//! messages.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::broker_error::BrokerError;
use super::channel_pool::{call, open};
use super::envelope::Incoming;
use super::held::HeldMessages;
use super::names;
use super::settling::{requeue, settle};
use super::shared::Shared;
use crate::backend::{Consumer, ConsumerOptions, Delivery, DeliveryCount, Receipt, Sharing};
use crate::error::{PubsubError, Result};
use crate::topic::Queue;

/// How long a leaving consumer waits for messages that are being settled.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The waits between checks whether a queue is gone after the broker has ended its consumer.
const DELETION_WAITS: [Duration; 5] = [
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(600),
];
/// The maximum number of ready deliveries taken at a time before other events are handled.
const BURST_COUNT: u32 = 64;
/// The maximum number of settles in flight of one consumer: more than the largest window in AMQP.
const SETTLES_COUNT: usize = 1 << 16;

/// A consumer of a shared queue.
pub(super) struct QueueConsumer {
    number: u64,
    held: Arc<HeldMessages>,
    window: watch::Sender<NonZeroU32>,
    left: CancellationToken,
}

impl QueueConsumer {
    /// Subscribes to an existing queue.
    pub(super) async fn open(shared: &Arc<Shared>, queue: Queue, options: ConsumerOptions) -> Result<Self> {
        let name = names::queue(&queue)?;
        // Uses a channel of the pool, whose time-out does not cost other consumers their connection.
        shared.lifecycle.passive(&queue, &name).await?;
        let up = shared.consuming.up()?;
        let channel = open(&shared.consuming, &up).await?;
        let held = Arc::new(HeldMessages::default());
        let consume = Consume {
            shared: shared.clone(),
            channel: channel.clone(),
            queue: queue.clone(),
            name,
            sharing: options.sharing,
            held: held.clone(),
        };
        let stream = consume.begin(options.window).await?;
        let (settles, given) = mpsc::channel(SETTLES_COUNT);
        let (window, windows) = watch::channel(options.window);
        let settling = tokio::spawn(settle(channel.clone(), held.clone(), given, windows.clone()));
        let number = shared.consumers.add(queue, channel, held.clone(), settles);
        let left = CancellationToken::new();
        let pump = ConsumerTask { consume, number, held: held.clone(), windows, left: left.clone(), link_number: up.number, settling };
        tokio::spawn(pump.run(stream));
        Ok(QueueConsumer { number, held, window, left })
    }
}

#[async_trait]
impl Consumer for QueueConsumer {
    async fn receive(&self) -> Result<Delivery> {
        let (tag, incoming) = self.held.receive().await?;
        let mut message = incoming.message;
        if let Some(at) = incoming.expires_at {
            message.expires_in = Some(at.saturating_duration_since(tokio::time::Instant::now()));
        }
        let receipt = Receipt::new(self.number, 0, tag);
        Ok(Delivery { message, receipt, delivery_count: DeliveryCount::AtLeast(incoming.delivered_count) })
    }

    async fn readable(&self) -> Result<()> {
        self.held.readable().await
    }

    fn set_window(&self, window: NonZeroU32) {
        self.window.send_if_modified(|before| std::mem::replace(before, window) != window);
    }
}

impl Drop for QueueConsumer {
    fn drop(&mut self) {
        self.left.cancel();
    }
}

/// How a queue is consumed.
struct Consume {
    shared: Arc<Shared>,
    channel: Channel,
    queue: Queue,
    name: ShortString,
    sharing: Sharing,
    held: Arc<HeldMessages>,
}

impl Consume {
    async fn begin(&self, window: NonZeroU32) -> Result<lapin::Consumer> {
        let link = &self.shared.consuming;
        let prefetch = u16::try_from(window.get()).unwrap_or(u16::MAX);
        let window = self.channel.basic_qos(prefetch, BasicQosOptions::default());
        call(link, "setting the window of a consumer", window).await.map_err(|refusal| refusal.about(&self.queue))?;
        let options = BasicConsumeOptions { exclusive: self.sharing == Sharing::Exclusive, ..BasicConsumeOptions::default() };
        let consuming = self.channel.basic_consume(self.name.clone(), ShortString::default(), options, FieldTable::default());
        let stream = call(link, "consuming a queue", consuming).await.map_err(|refusal| refusal.about(&self.queue))?;
        self.held.begun();
        Ok(stream)
    }

    async fn cancel(&self, stream: &lapin::Consumer) {
        self.held.stopped();
        let cancelled = self.channel.basic_cancel(stream.tag(), BasicCancelOptions::default());
        let _ = call(&self.shared.consuming, "ending a consumer", cancelled).await;
    }
}

/// The task of a consumer: takes deliveries from the channel until it leaves or is ended.
struct ConsumerTask {
    consume: Consume,
    number: u64,
    held: Arc<HeldMessages>,
    windows: watch::Receiver<NonZeroU32>,
    left: CancellationToken,
    link_number: u64,
    settling: JoinHandle<()>,
}

/// Why a pump stopped.
enum Stopped {
    /// The consumer was dropped.
    Left(lapin::Consumer),
    /// It is exclusive, and its window was changed, for which it would have to release the queue.
    Changed(lapin::Consumer),
    /// It was ended by the broker or a lost connection.
    Ended(Option<BrokerError>),
}

impl ConsumerTask {
    async fn run(mut self, stream: lapin::Consumer) {
        match self.take(stream).await {
            Stopped::Left(stream) => self.consume.cancel(&stream).await,
            Stopped::Changed(stream) => {
                self.consume.cancel(&stream).await;
                self.held.end(PubsubError::unavailable("RabbitMQ cannot change the window of an exclusive consumer"));
            }
            Stopped::Ended(refusal) => {
                self.held.stopped();
                let error = self.reason(refusal).await;
                if !matches!(error, PubsubError::QueueNotFound { .. }) {
                    tracing::debug!(queue = %self.consume.queue, error = %crate::error_text::chain(&error), "consumer ended");
                }
                self.held.end(error);
            }
        }
        self.leave().await;
    }

    async fn take(&mut self, mut stream: lapin::Consumer) -> Stopped {
        let link = self.consume.shared.consuming.clone();
        // The newest delivery that counts towards an earlier window; 0 for none.
        let mut older = 0;
        loop {
            tokio::select! {
                biased;
                () = self.left.cancelled() => return Stopped::Left(stream),
                () = link.gone(self.link_number) => return Stopped::Ended(None),
                Ok(()) = self.windows.changed() => {
                    self.windows.borrow_and_update();
                    if self.consume.sharing == Sharing::Exclusive {
                        return Stopped::Changed(stream);
                    }
                    match self.change_window(stream).await {
                        Ok((again, last_tag)) => {
                            stream = again;
                            older = last_tag;
                        }
                        Err(()) => return Stopped::Ended(None),
                    }
                }
                // The deliveries held at the change are gone: consume again with the full window. Deliveries since then do not count towards it.
                () = self.held.fewer_up_to(older, 1), if older > 0 => {
                    older = 0;
                    self.drain(stream).await;
                    let window = *self.windows.borrow();
                    match self.consume.begin(window).await {
                        Ok(again) => stream = again,
                        Err(_) => return Stopped::Ended(None),
                    }
                }
                delivery = stream.next() => if let Some(stopped) = self.arrived_with(delivery, &mut stream).await {
                    return stopped;
                },
            }
        }
    }

    /// The broker counts a window for each `basic.consume`, and applies another only to a new one, reduced here by the deliveries already held.
    /// Returns the tag of the newest delivery that is held.
    async fn change_window(&mut self, stream: lapin::Consumer) -> Result<(lapin::Consumer, u64), ()> {
        self.drain(stream).await;
        let last_tag = self.held.last_tag();
        loop {
            let window = *self.windows.borrow_and_update();
            tokio::select! {
                () = self.left.cancelled() => return Err(()),
                Ok(()) = self.windows.changed() => {}
                () = self.held.fewer_up_to(last_tag, window.get() as usize) => {
                    let held_count = u32::try_from(self.held.count_up_to(last_tag)).unwrap_or(u32::MAX);
                    let free = NonZeroU32::new(window.get().saturating_sub(held_count)).unwrap_or(NonZeroU32::MIN);
                    let older = if held_count == 0 { 0 } else { last_tag };
                    return self.consume.begin(free).await.map(|stream| (stream, older)).map_err(|_| ());
                }
            }
        }
    }

    /// Cancels a stream and takes its remaining deliveries.
    async fn drain(&self, mut stream: lapin::Consumer) {
        self.consume.cancel(&stream).await;
        while let Some(Ok(delivery)) = stream.next().await {
            self.arrived(delivery).await;
        }
    }

    /// Takes a delivery and those that are ready after it; returns why no more will arrive, if so.
    async fn arrived_with(&self, first: Option<lapin::Result<lapin::message::Delivery>>, stream: &mut lapin::Consumer) -> Option<Stopped> {
        let mut next = Some(first);
        let mut left_count = BURST_COUNT;
        while let Some(delivery) = next {
            match delivery {
                Some(Ok(delivery)) => self.arrived(delivery).await,
                Some(Err(error)) => return Some(Stopped::Ended(Some(error.into()))),
                None => return Some(Stopped::Ended(None)),
            }
            left_count -= 1;
            next = if left_count > 0 { stream.next().now_or_never() } else { None };
        }
        None
    }

    async fn arrived(&self, delivery: lapin::message::Delivery) {
        let tag = delivery.delivery_tag;
        let incoming = Incoming::read(self.consume.queue.topic().class(), self.consume.queue.subscription(), delivery);
        if incoming.has_expired() {
            let _ = self.consume.channel.basic_ack(tag, BasicAckOptions::default()).await;
            return;
        }
        self.held.arrived(tag, incoming);
    }

    /// Why the broker has ended the consumer, which it reports only for a lost connection or channel.
    async fn reason(&self, refusal: Option<BrokerError>) -> PubsubError {
        let Shared { lifecycle, consuming, .. } = &*self.consume.shared;
        let mut looked = Ok(());
        for wait in DELETION_WAITS {
            looked = lifecycle.passive(&self.consume.queue, &self.consume.name).await.map(|_| ());
            if looked.is_err() || consuming.lost(self.link_number).is_some() {
                break;
            }
            // A quorum queue that is being deleted ends its consumers before it is gone.
            tokio::time::sleep(wait).await;
        }
        if let Some(lost) = consuming.lost(self.link_number) {
            return lost;
        }
        if let Err(missing @ PubsubError::QueueNotFound { .. }) = looked {
            self.held.mark_received_lost();
            return missing;
        }
        let ended = || PubsubError::unavailable("the broker closed the consumer: its node or the connection to it is lost");
        refusal.map_or_else(ended, BrokerError::plain)
    }

    /// Requeues deliveries that are not being settled, waits for the others, and closes the channel.
    async fn leave(self) {
        let channel = &self.consume.channel;
        let is_there = channel.status().connected();
        if is_there {
            let leaving = self.held.release_all();
            requeue(channel, &self.held, leaving).await;
            // A consumer that the broker has ended may still settle its deliveries.
            if !self.left.is_cancelled() {
                let link = self.consume.shared.consuming.clone();
                tokio::select! {
                    () = self.left.cancelled() => {}
                    () = link.gone(self.link_number) => {}
                }
            }
            let _ = timeout(SETTLE_TIMEOUT, self.held.quiet()).await;
        }
        self.consume.shared.consumers.remove(self.number);
        if !channel.status().connected() {
            self.held.mark_lost();
        }
        let _ = timeout(SETTLE_TIMEOUT, self.settling).await;
        let _ = timeout(super::channel_pool::CALL_TIME, channel.close(200, "done".into())).await;
    }
}
