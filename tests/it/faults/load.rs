//! Numbers sent from outside into a flow of echo during faults, and its output.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use weir_pubsub::{Backend, ConsumerOptions, Message, Producer, PubsubError, Queue};
use weir_tests::tally::Tally;
use weir_tests::wait::{eventually, pass};

use super::space::TestBroker;
use crate::guests::ECHO;

/// Surviving faults takes longer than other tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(150);
/// How many numbers are sent at a time.
const BURST_COUNT: u64 = 50;
/// Above all numbers sent by the load itself.
const FIRST_RESERVED: u64 = 1 << 40;

/// The rate at which numbers are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The maximum of numbers in flight, so that what is sent can be taken in time.
    under_way_count: usize,
    /// The time between two bursts.
    pause: Duration,
}

impl Pace {
    /// As fast as the flow handles them.
    pub(crate) const FULL: Pace = Pace { under_way_count: 4_000, pause: Duration::ZERO };
    /// Leaves time for processes that start.
    pub(crate) const STEADY: Pace = Pace { under_way_count: 500, pause: Duration::from_millis(25) };
}

/// A sender and a reader of the flow `one` that bypass the faults.
pub(crate) struct Load {
    /// Also for the checks.
    pub(crate) backend: Arc<dyn Backend>,
    input: Queue,
    pace: Pace,
    counted: Arc<Mutex<Counted>>,
    reading: tokio::task::JoinHandle<()>,
}

/// What was sent and seen since the load began.
#[derive(Debug, Default)]
struct Counted {
    /// The next number to send.
    next: u64,
    reserved_count: u64,
    /// How many were confirmed.
    sent_count: u64,
    /// Confirmed numbers that were not seen yet.
    awaited: HashSet<u64>,
    /// How often each number was seen.
    seen: HashMap<u64, u64>,
    doubled_count: u64,
}

impl Counted {
    fn confirm(&mut self, number: u64) {
        self.sent_count += 1;
        if !self.seen.contains_key(&number) {
            self.awaited.insert(number);
        }
    }

    fn see(&mut self, number: u64) {
        self.seen.entry(number).or_default();
        self.awaited.remove(&number);
    }

    fn settled(&mut self, number: u64) {
        let times = self.seen.entry(number).or_default();
        *times += 1;
        self.doubled_count += u64::from(*times == 2);
    }

    fn tally(&self) -> Tally {
        Tally { sent_count: self.sent_count, lost_count: self.awaited.len() as u64, doubled_count: self.doubled_count }
    }
}

impl Load {
    /// In a topicspace.
    pub(crate) async fn on(space: &TestBroker, pace: Pace) -> Self {
        let backend = space.client(None).await.backend();
        let [input, out] = space.queues_of(ECHO, "one");
        let counted = Arc::new(Mutex::default());
        let reading = tokio::spawn(read(backend.clone(), out, counted.clone()));
        Load { backend, input, pace, counted, reading }
    }

    /// Sends numbers until the faults are over, each until it is confirmed.
    pub(crate) async fn send_during<T>(&self, faults: impl Future<Output = T>) -> T {
        let mut faults = std::pin::pin!(faults);
        let mut producer = None;
        loop {
            let used = producer.take();
            let mut sending = std::pin::pin!(async move {
                while self.counted().awaited.len() > self.pace.under_way_count {
                    pass(Duration::from_millis(10)).await;
                }
                let producer = match used {
                    Some(producer) => producer,
                    None => producer_of(&*self.backend, &self.input).await,
                };
                let first = self.counted().next;
                self.counted().next += BURST_COUNT;
                let numbers = first..first + BURST_COUNT;
                futures_util::future::join_all(numbers.map(|number| self.send(&*producer, number))).await;
                pass(self.pace.pause).await;
                producer
            });
            tokio::select! {
                biased;
                result = &mut faults => {
                    // A burst is always completed, so that the next one begins with new numbers.
                    sending.await;
                    return result;
                }
                used = &mut sending => producer = Some(used),
            }
        }
    }

    async fn send(&self, producer: &dyn Producer, number: u64) {
        publish(producer, number).await;
        self.counted().confirm(number);
    }

    /// Numbers that no other sender uses, for another path into the flow.
    pub(crate) fn reserve(&self, count: u64) -> Range<u64> {
        let mut counted = self.counted();
        let first = FIRST_RESERVED + counted.reserved_count;
        counted.reserved_count += count;
        first..first + count
    }

    /// Records that a reserved number was confirmed: it must arrive, too.
    pub(crate) fn note(&self, number: u64) {
        self.counted().confirm(number);
    }

    /// How many different numbers were seen.
    pub(crate) fn seen_count(&self) -> u64 {
        self.counted().seen.len() as u64
    }

    /// Waits, for a limited time, until all numbers sent since the load began have arrived.
    pub(crate) async fn arrived(&self) -> Tally {
        let all = eventually(2 * DEADLINE, "all messages", || async { self.counted().awaited.is_empty().then_some(()) });
        let _ = tokio::time::timeout(DEADLINE, all).await;
        self.counted().tally()
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn producer_of(backend: &dyn Backend, queue: &Queue) -> Box<dyn Producer> {
    eventually(DEADLINE, "a producer", || async { backend.producer(queue.topic()).await.ok() }).await
}

async fn publish(producer: &dyn Producer, number: u64) {
    loop {
        match producer.publish_confirmed(Message::new(number.to_string())).await {
            Ok(()) => return,
            Err(PubsubError::Unavailable { .. } | PubsubError::OutcomeUnknown { .. }) => pass(Duration::from_millis(20)).await,
            // A queue declared just before, or one that its owner has not recreated yet.
            Err(PubsubError::QueueNotFound { .. }) => pass(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn read(backend: Arc<dyn Backend>, out: Queue, counted: Arc<Mutex<Counted>>) {
    loop {
        if let Ok(consumer) = backend.consumer(out.topic(), out.subscription(), ConsumerOptions::default()).await {
            while let Ok(delivery) = consumer.receive().await {
                let number: u64 = std::str::from_utf8(&delivery.message.body).unwrap().parse().unwrap();
                counted.lock().unwrap().see(number);
                // One that could not be acknowledged is redelivered, and does not count as duplicated by what is tested.
                if backend.settle(&delivery.receipt, Vec::new()).await.is_ok() {
                    counted.lock().unwrap().settled(number);
                }
            }
        }
        pass(Duration::from_millis(20)).await;
    }
}
