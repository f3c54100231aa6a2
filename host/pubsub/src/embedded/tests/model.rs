//! Random operations against models that are too simple to be wrong.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use super::queue_view::shown;
use crate::backend::{Backend, Consumer, ConsumerOptions, Delivery, Inspect, Output, QueueSpec, Receipt, Routing, Settled, Sharing};
use crate::embedded::definition::QueueDefinition;
use crate::embedded::refusal::WriteFailure;
use crate::embedded::state::{Body, BrokerState, Group, Operation, Outgoing, Prefetch, Stored};
use crate::embedded::{EmbeddedBroker, EmbeddedOptions, SyncMode};
use crate::message::Message;
use crate::topic::{Class, Queue, Topic};

/// Queues 1 and 2 read topic `a`, queue 3 reads topic `b`.
const QUEUES: [(u64, &str); 3] = [(1, "a"), (2, "a"), (3, "b")];

/// A few messages, so that everything about segments happens all the time.
const SEGMENT_BYTES: u64 = 600;

fn topic(name: &str) -> Topic {
    format!("flow:tg:{name}").parse().unwrap()
}

fn queue(number: u64, name: &str) -> Queue {
    Queue::new(topic(name), format!("s{number}").parse().unwrap()).unwrap()
}

#[derive(Clone, Debug)]
enum Op {
    Publish { topic: usize },
    Receive { consumer: usize },
    Settle { consumer: usize, nth: usize, output: Option<usize> },
    Requeue { consumer: usize, nth: usize },
    Leave { consumer: usize },
    Take { queue: usize, nth: usize },
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..2_usize).prop_map(|topic| Op::Publish { topic }),
        4 => (0..6_usize).prop_map(|consumer| Op::Receive { consumer }),
        4 => (0..6_usize, 0..4_usize, prop::option::of(0..2_usize))
            .prop_map(|(consumer, nth, output)| Op::Settle { consumer, nth, output }),
        2 => (0..6_usize, 0..4_usize).prop_map(|(consumer, nth)| Op::Requeue { consumer, nth }),
        1 => (0..6_usize).prop_map(|consumer| Op::Leave { consumer }),
        1 => (0..3_usize, 0..4_usize).prop_map(|(queue, nth)| Op::Take { queue, nth }),
        1 => Just(Op::Reopen),
    ]
}

/// A message of the model.
#[derive(Clone, Debug, PartialEq)]
struct Kept {
    body: String,
    holder: Option<usize>,
    deliveries: u32,
}

/// The content of each queue, in order.
#[derive(Default)]
struct Model {
    queues: [BTreeMap<u64, Kept>; 3],
    next: u64,
}

impl Model {
    fn publish(&mut self, name: &str) -> String {
        self.next += 1;
        let body = format!("body {}", self.next);
        for (queue, _) in self.queues.iter_mut().zip(QUEUES).filter(|(_, (_, topic))| *topic == name) {
            queue.insert(self.next, Kept { body: body.clone(), holder: None, deliveries: 0 });
        }
        body
    }

    /// Delivers the first message that is not held.
    fn receive(&mut self, queue: usize, consumer: usize) -> Option<Kept> {
        let kept = self.queues[queue].values_mut().find(|kept| kept.holder.is_none())?;
        kept.holder = Some(consumer);
        kept.deliveries += 1;
        Some(kept.clone())
    }

    fn at(&mut self, queue: usize, body: &str) -> Option<u64> {
        self.queues[queue].iter().find(|(_, kept)| kept.body == body).map(|(at, _)| *at)
    }

    fn requeue(&mut self, queue: usize, consumer: usize) {
        self.queues[queue].values_mut().filter(|kept| kept.holder == Some(consumer)).for_each(|kept| kept.holder = None);
    }
}

/// The state machine on its own: consumer `c` reads queue `c % 3`; every other settle cannot be written.
struct StateMachineFixture {
    state: BrokerState,
    consumers: [u64; 6],
    held: [Vec<(u64, String)>; 6],
    /// The deliveries that each consumer must repeat or requeue before it can settle others, in order.
    refused: [Vec<u64>; 6],
    model: Model,
    settles: usize,
}

impl StateMachineFixture {
    fn new() -> Self {
        let mut state = BrokerState::new(EmbeddedOptions::default());
        for (number, name) in QUEUES {
            state.restore_queue(QueueDefinition::new(number, &QueueSpec::new(queue(number, name))), 0, std::iter::empty());
        }
        let (held, refused) = (Default::default(), Default::default());
        let mut machine = StateMachineFixture { state, consumers: [0; 6], held, refused, model: Model::default(), settles: 0 };
        (0..6).for_each(|consumer| machine.join(consumer));
        machine
    }

    fn join(&mut self, consumer: usize) {
        let (number, name) = QUEUES[consumer % 3];
        self.consumers[consumer] = self.state.add_consumer(&queue(number, name), ConsumerOptions::default()).unwrap().0;
    }

    /// Decides, and applies or undoes.
    fn run(&mut self, operation: Operation, is_written: bool) {
        let mut group = Group::default();
        self.state.decide(operation, &mut group, Instant::now());
        let steps = std::mem::take(&mut group.steps);
        if is_written {
            drop(self.state.apply(steps));
            group.answer();
        } else {
            let failure = WriteFailure::unavailable("not written");
            drop(self.state.undo(steps, &failure));
            group.fail(&failure);
        }
    }

    fn publish(&mut self, name: &str) {
        let body = self.model.publish(name);
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        self.run(
            Operation::Publish {
                topic: topic(name),
                stored: Stored::of(Class::Flow, Message::new(body)),
                permit,
                done: oneshot::channel().0,
            },
            true,
        );
    }

    fn receive(&mut self, consumer: usize) {
        let Prefetch::Taken(taken) = self.state.prefetch(self.consumers[consumer], Instant::now()) else { panic!("the queue is gone") };
        for prefetched in taken {
            let Body::Memory(stored) = prefetched.body else { panic!("there is no log") };
            let kept = self.model.receive(consumer % 3, consumer).expect("the model has no more");
            assert_eq!((stored.message.body.as_ref(), prefetched.deliveries), (kept.body.as_bytes(), kept.deliveries));
            self.held[consumer].push((prefetched.sequence, kept.body));
        }
    }

    fn settle(&mut self, consumer: usize, nth: usize, output: Option<usize>) {
        if nth >= self.held[consumer].len() {
            return;
        }
        self.settles += 1;
        let (sequence, body) = self.held[consumer][nth].clone();
        let refused = &mut self.refused[consumer];
        let is_in_turn = refused.first().is_none_or(|first| *first == sequence);
        let is_written = self.settles.is_multiple_of(2) && is_in_turn;
        refused.retain(|other| *other != sequence || !is_written);
        if !is_written && !refused.contains(&sequence) {
            refused.push(sequence);
        }
        let receipt = Receipt { consumer: self.consumers[consumer], origin: QUEUES[consumer % 3].0, delivery: sequence };
        let name = output.map(|output| ["a", "b"][output]);
        let sent = match name {
            Some(name) if is_written => self.model.publish(name),
            _ => "never".to_owned(),
        };
        let outputs = name.map(|name| Outgoing {
            topic: topic(name),
            stored: Stored::of(Class::Flow, Message::new(sent)),
            routing: Routing::Required,
        });
        let (done, mut outcome) = oneshot::channel();
        self.run(Operation::Settle { receipt, outputs: outputs.into_iter().collect(), done }, is_written);
        let outcome = outcome.try_recv().unwrap();
        assert_eq!(outcome.is_ok(), is_written);
        if is_written {
            self.held[consumer].remove(nth);
            let at = self.model.at(consumer % 3, &body).unwrap();
            self.model.queues[consumer % 3].remove(&at);
        }
    }

    fn requeue(&mut self, consumer: usize, nth: usize) {
        if nth < self.held[consumer].len() {
            let (sequence, body) = self.held[consumer].remove(nth);
            self.refused[consumer].retain(|other| *other != sequence);
            drop(self.state.requeue(QUEUES[consumer % 3].0, sequence, self.consumers[consumer]));
            let at = self.model.at(consumer % 3, &body).unwrap();
            self.model.queues[consumer % 3].get_mut(&at).unwrap().holder = None;
        }
    }

    fn leave(&mut self, consumer: usize) {
        let (holds, _) = self.state.begin_leaving(self.consumers[consumer], Default::default());
        assert_eq!(holds, !self.held[consumer].is_empty());
        drop(self.state.finish_leaving(self.consumers[consumer]));
        self.held[consumer].clear();
        self.refused[consumer].clear();
        self.model.requeue(consumer % 3, consumer);
        self.join(consumer);
    }

    fn take(&mut self, at: usize, nth: usize) {
        let (number, name) = QUEUES[at];
        let Some(entry) = self.state.queues[&number].ready_after(0, 10).get(nth).cloned() else { return };
        let free: Vec<u64> = self.model.queues[at].iter().filter(|(_, kept)| kept.holder.is_none()).map(|(order, _)| *order).collect();
        self.run(Operation::Take { queue: queue(number, name), position: entry.sequence, done: oneshot::channel().0 }, true);
        self.model.queues[at].remove(&free[nth]);
    }

    fn check(&self) {
        for (kept, (number, _)) in self.model.queues.iter().zip(QUEUES) {
            let stats = self.state.queues[&number].stats();
            assert_eq!(stats.depth_count, Some(kept.len() as u64));
            assert_eq!(stats.unsettled_count, Some(kept.values().filter(|kept| kept.holder.is_some()).count() as u64));
            assert_eq!(stats.size_bytes, Some(kept.values().map(|kept| kept.body.len() as u64).sum::<u64>()));
            assert_eq!(self.state.queues[&number].projected_size_bytes(), stats.size_bytes.unwrap());
        }
    }
}

proptest! {
    #[test]
    fn the_state_machine_matches_the_model(ops in vec(op(), 1..120)) {
        let mut machine = StateMachineFixture::new();
        for op in ops {
            match op {
                Op::Publish { topic } => machine.publish(["a", "b"][topic]),
                Op::Receive { consumer } => machine.receive(consumer),
                Op::Settle { consumer, nth, output } => machine.settle(consumer, nth, output),
                Op::Requeue { consumer, nth } => machine.requeue(consumer, nth),
                Op::Leave { consumer } => machine.leave(consumer),
                Op::Take { queue, nth } => machine.take(queue, nth),
                Op::Reopen => {}
            }
            machine.check();
        }
    }
}

/// The whole broker with files; one consumer for each queue, so that the order is determined.
struct BrokerFixture {
    folder: tempfile::TempDir,
    broker: Option<Arc<EmbeddedBroker>>,
    consumers: Vec<Box<dyn Consumer>>,
    held: [Vec<Delivery>; 3],
    model: Model,
}

impl BrokerFixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut fixture = BrokerFixture { folder, broker: None, consumers: Vec::new(), held: Default::default(), model: Model::default() };
        fixture.open();
        for (number, name) in QUEUES {
            fixture.broker().create_queue(&QueueSpec::new(queue(number, name))).await.unwrap();
        }
        fixture.join_all().await;
        fixture
    }

    /// Segments of a few messages and hardly any cache, so that rare cases happen all the time.
    fn open(&mut self) {
        let options =
            EmbeddedOptions { sync: SyncMode::None, segment_bytes: SEGMENT_BYTES, cached_bytes: 1 << 10, ..EmbeddedOptions::default() };
        self.broker = Some(EmbeddedBroker::open(self.folder.path(), options).unwrap());
    }

    fn broker(&self) -> Arc<EmbeddedBroker> {
        self.broker.clone().unwrap()
    }

    async fn join_all(&mut self) {
        for (number, name) in QUEUES {
            self.consumers.push(self.join(number, name).await);
        }
    }

    async fn join(&self, number: u64, name: &str) -> Box<dyn Consumer> {
        let options =
            ConsumerOptions { window: NonZeroU32::MIN.saturating_add(3), sharing: Sharing::Exclusive, ..ConsumerOptions::default() };
        self.broker().consumer(&topic(name), queue(number, name).subscription(), options).await.unwrap()
    }

    async fn publish(&mut self, name: &str) {
        let body = self.model.publish(name);
        self.broker().producer(&topic(name)).await.unwrap().publish_confirmed(Message::new(body)).await.unwrap();
    }

    async fn receive(&mut self, at: usize) {
        if self.held[at].len() == 4 {
            return;
        }
        let Some(kept) = self.model.receive(at, at) else { return };
        let delivery = tokio::time::timeout(Duration::from_secs(20), self.consumers[at].receive()).await.expect("no message").unwrap();
        assert_eq!(delivery.message.body.as_ref(), kept.body.as_bytes());
        // One too many if it was marked together with others and not received before the next opening.
        let too_many = delivery.delivery_count.at_least() - kept.deliveries;
        assert!(too_many <= 1, "{} deliveries counted of {}", delivery.delivery_count.at_least(), kept.deliveries);
        self.held[at].push(delivery);
    }

    async fn settle(&mut self, at: usize, nth: usize, output: Option<usize>) {
        if nth >= self.held[at].len() {
            return;
        }
        let delivery = self.held[at].remove(nth);
        let mut outputs = Vec::new();
        if let Some(name) = output.map(|output| ["a", "b"][output]) {
            let message = Message::new(self.model.publish(name));
            outputs.push(Output { topic: topic(name), message, routing: Routing::Required });
        }
        assert_eq!(self.broker().settle(&delivery.receipt, outputs).await.unwrap(), Settled::Done { dropped_count: 0 });
        let order = self.model.at(at, std::str::from_utf8(&delivery.message.body).unwrap()).unwrap();
        self.model.queues[at].remove(&order);
    }

    async fn requeue(&mut self, at: usize, nth: usize) {
        if nth < self.held[at].len() {
            let delivery = self.held[at].remove(nth);
            self.broker().requeue(&delivery.receipt).await.unwrap();
            let order = self.model.at(at, std::str::from_utf8(&delivery.message.body).unwrap()).unwrap();
            self.model.queues[at].get_mut(&order).unwrap().holder = None;
        }
    }

    async fn leave(&mut self, at: usize) {
        drop(self.consumers.remove(at));
        self.held[at].clear();
        self.model.requeue(at, at);
        let (number, name) = QUEUES[at];
        self.consumers.insert(at, self.join(number, name).await);
    }

    async fn take(&mut self, at: usize, nth: usize) {
        let (number, name) = QUEUES[at];
        let name = queue(number, name);
        let seen = shown(&self.broker(), &name, 9).await;
        let Some(chosen) = seen.get(nth) else { return };
        // A consumer may have prefetched it by then.
        if self.broker().remove(&name, &chosen.named()).await.unwrap() {
            let order = self.model.at(at, std::str::from_utf8(&chosen.message.as_ref().unwrap().body).unwrap()).unwrap();
            self.model.queues[at].remove(&order);
        }
    }

    async fn reopen(&mut self) {
        self.consumers.clear();
        self.held = Default::default();
        (0..3).for_each(|at| self.model.requeue(at, at));
        self.broker.take().unwrap().close().await;
        self.open();
        for (kept, (number, name)) in self.model.queues.iter().zip(QUEUES) {
            assert_eq!(self.broker().stats(&queue(number, name)).await.unwrap().depth_count, Some(kept.len() as u64));
        }
        self.join_all().await;
    }

    /// Whatever happened, the log does not grow beyond the bound for its live messages.
    fn check_log(&self) {
        let held: u64 = self.model.queues.iter().flat_map(BTreeMap::values).map(|kept| kept.body.len() as u64 + 60).sum();
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(Result::unwrap);
        let segments = files.filter(|file| file.path().extension().is_some_and(|it| it == "log"));
        let bytes: u64 = segments.map(|file| file.metadata().map_or(0, |found| found.len())).sum();
        // Each segment begins with the definitions of three queues.
        assert!(bytes <= 4 * held + 4 * SEGMENT_BYTES, "{bytes} bytes of log for {held} that live");
    }

    async fn run(&mut self, ops: Vec<Op>) {
        for op in ops {
            match op {
                Op::Publish { topic } => self.publish(["a", "b"][topic]).await,
                Op::Receive { consumer } => self.receive(consumer % 3).await,
                Op::Settle { consumer, nth, output } => self.settle(consumer % 3, nth, output).await,
                Op::Requeue { consumer, nth } => self.requeue(consumer % 3, nth).await,
                Op::Leave { consumer } => self.leave(consumer % 3).await,
                Op::Take { queue, nth } => self.take(queue, nth).await,
                Op::Reopen => self.reopen().await,
            }
        }
        self.reopen().await;
        self.check_log();
        for at in 0..3 {
            while self.model.queues[at].values().any(|kept| kept.holder.is_none()) {
                self.receive(at).await;
                self.settle(at, 0, None).await;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_broker_matches_the_model_also_after_reopening(ops in vec(op(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async { BrokerFixture::new().await.run(ops).await });
    }
}
